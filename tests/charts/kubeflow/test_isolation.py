"""May one team reach another's notebooks, runs, artifacts, secrets and volumes? For every pair of three teams.

Each layer answers for itself: network policies, policies of the mesh, RBAC. A layer that fails is seen, even where
another one would still refuse. What the roles of teams may do in AWS is in ``tests/stacks/cluster/test_kubeflow.py``.
"""

import copy
import functools
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import cdk8s
import pytest

from charts.edge.istio.objects import Mesh
from charts.kit.chart import ComponentChart
from charts.kit.kubeflow import TEAM_LABEL
from charts.kit.stores import Database
from charts.kubeflow.model_registry.objects import ModelRegistry, ModelRegistryPage
from charts.kubeflow.teams.objects import Team, Teams
from tests.charts.kubeflow import runs
from tests.charts.kubeflow.core import CATALOG, charts, of_kind, place
from tests.charts.kubeflow.tenancy import GATEWAY, Pod, Tenancy, added_by_controllers

TEAMS = {name: f"{name}@example.com" for name in ("one", "two", "three")}
"""Owner by team."""
MEMBERS = {name: f"member-of-{name}@example.com" for name in TEAMS}
PAIRS = list(itertools.permutations(TEAMS, 2))
RESOURCES = [
    ("", "pods/exec", "create"),
    ("", "pods/log", "get"),
    ("", "pods/portforward", "create"),
    ("", "secrets", "get"),
    ("", "persistentvolumeclaims", "get"),
    ("", "persistentvolumeclaims", "create"),
    ("", "services/proxy", "get"),
    ("kubeflow.org", "notebooks", "get"),
    ("kubeflow.org", "poddefaults", "create"),
    ("kubeflow.org", "scheduledworkflows", "get"),
    ("tensorboard.kubeflow.org", "tensorboards", "create"),
    ("argoproj.io", "workflows", "get"),
    ("pipelines.kubeflow.org", "runs", "get"),
    ("pipelines.kubeflow.org", "runs", "create"),
    ("pipelines.kubeflow.org", "runs", "readArtifact"),
    ("pipelines.kubeflow.org", "experiments", "get"),
    ("pipelines.kubeflow.org", "jobs", "create"),
]
"""By group, resource and verb: what would reach into a team. Pipelines asks the cluster for rights on runs."""
OF_PLATFORM = [
    ("rbac.authorization.k8s.io", "rolebindings", "create"),
    ("security.istio.io", "authorizationpolicies", "create"),
    ("networking.k8s.io", "networkpolicies", "create"),
    ("", "persistentvolumes", "create"),
]
"""What would open a team to others, which teams may not even do in their own namespace; owners may bind roles."""


def platform() -> list[Any]:
    """All objects of Kubeflow and the mesh, with three teams and what controllers add."""
    app = cdk8s.App(outdir="/dev/null")
    teams = Teams(
        app,
        "ThreeTeams",
        teams=[Team(name=name, owner=owner, contributors=[MEMBERS[name]]) for name, owner in TEAMS.items()],
        tensorboard_image=CATALOG.images.reference("tensorboard"),
    )
    others = [one for name, chart in charts().items() if name != "kubeflow/teams" for one in chart.to_json()]
    pipelines = [
        one
        for name, chart in runs.charts(runs.BUCKET, runs.rds).items()
        if name != "profile"
        for one in chart.to_json()
    ]
    profiles = [one for name in TEAMS for one in runs.profile(name).to_json()]
    added = [one for name, owner in TEAMS.items() for one in added_by_controllers(name, owner)]
    models = [one for chart in registries(app) for one in chart.to_json()]
    return [*others, *pipelines, *Mesh(app, "Mesh").to_json(), *teams.to_json(), *profiles, *models, *added]


def registries(app: cdk8s.App) -> Iterator[ComponentChart]:
    """The model registry of each team, and the page of all."""
    page = CATALOG.images.reference("model-registry-ui")
    yield ModelRegistryPage(app, "Models", image=page, gateway="kubeflow/kubeflow-gateway", placement={})
    image = CATALOG.images.reference("model-registry-server")
    for name in TEAMS:
        database = Database(host="database.example.com", name=name, secret="model-registry-database")
        yield ModelRegistry(app, f"Models-{name}", namespace=name, image=image, database=database)


OBJECTS = platform()
TENANCY = Tenancy(OBJECTS)


def named(name: str) -> tuple[tuple[str, str], ...]:
    return (("app.kubernetes.io/name", name),)


API = Pod("kubeflow", "ml-pipeline", named("ml-pipeline"))
PAGE = Pod("kubeflow", "ml-pipeline-ui", named("ml-pipeline-ui"))
PAGE_OF_MODELS = Pod("kubeflow", "model-registry-ui", named("model-registry-ui"))
"""It asks the API server whether a person may see a registry, and then calls the registry in its own name."""


METADATA = Pod("kubeflow", "metadata-grpc-server", named("metadata-grpc-server"))
METADATA_PROXY = Pod("kubeflow", "metadata-envoy-service", named("metadata-envoy-service"))
"""The store of what runs have recorded, which knows no users, and what answers browsers from it."""
LISTS = ("GetArtifacts", "GetArtifactsByType", "GetContexts", "GetContextsByType", "GetExecutions")
"""Methods of the metadata store that answer with the records of all teams."""


def step(team: str) -> Pod:
    """A step of a pipeline. It has no sidecar, hence no identity in the mesh."""
    return Pod(team, "", (("workflows.argoproj.io/workflow", "mine"), ("workflows.argoproj.io/completed", "false")))


def method(name: str) -> str:
    return f"/ml_metadata.MetadataStoreService/{name}"


def notebook(team: str) -> Pod:
    return Pod(team, "default-editor", (("statefulset", "mine"), ("notebook-name", "mine")))


def proxy(team: str) -> Pod:
    """What shows the artifacts of a team, with its role."""
    return Pod(team, "default-editor", named("ml-pipeline-ui-artifact"))


def registry(team: str) -> Pod:
    """The service that knows the models of a team. It does not authenticate callers."""
    return Pod(team, "model-registry-server", named("model-registry"))


def people(team: str) -> list[Mapping[str, Any]]:
    """The identities of a team: its people, and the service account of its pods."""
    account = {"kind": "ServiceAccount", "name": "default-editor", "namespace": team}
    return [{"kind": "User", "name": TEAMS[team]}, {"kind": "User", "name": MEMBERS[team]}, account]


def reached(tenancy: Tenancy, team: str, other: str) -> Iterator[str]:
    """Every way in which a team reaches another one."""
    source = notebook(team)
    mine, theirs = (TEAMS[team], MEMBERS[team]), (TEAMS[other], MEMBERS[other])
    for what, target in (("notebook", notebook(other)), ("artifacts", proxy(other)), ("models", registry(other))):
        if tenancy.connects(source, target):
            yield f"connects to {what}"
        for user in ("", *mine, *theirs):  # a pod may claim to be any user
            for path in ("/", f"/notebook/{other}/mine/api/kernels"):
                if tenancy.calls(source, target, path=path, user=user):
                    yield f"calls {what} {path} as {user}"
        for user in mine:  # the gateway writes who it is, and the page of Pipelines passes it on
            for through in (GATEWAY, PAGE):
                if tenancy.calls(through, target, user=user):
                    yield f"opens {what} through {through.account} as {user}"
    for user in (*mine, *theirs):
        if tenancy.calls(source, API, user=user):
            yield f"asks for runs as {user}"
        if tenancy.connects(source, PAGE) or tenancy.calls(source, PAGE, user=user):
            yield f"asks the page of runs as {user}"
        if tenancy.connects(source, PAGE_OF_MODELS) or tenancy.calls(source, PAGE_OF_MODELS, user=user):
            yield f"asks the page of models as {user}"
    for subject in people(team):
        for group, resource, verb in (*RESOURCES, *OF_PLATFORM):
            if tenancy.may(subject, verb, resource, other, group):
                yield f"{subject['name']} may {verb} {resource}"


@pytest.mark.promise("notebook-access", "team-isolation")
@pytest.mark.parametrize(("team", "other"), PAIRS)
def test_no_team_reaches_another(team: str, other: str) -> None:
    assert list(reached(TENANCY, team, other)) == []


@pytest.mark.promise("notebook-access")
@pytest.mark.parametrize("team", TEAMS)
def test_a_team_reaches_itself(team: str) -> None:
    """Or the answers above would be worth nothing."""
    for target in (notebook(team), proxy(team)):
        assert TENANCY.connects(notebook(team), target)
        assert TENANCY.calls(notebook(team), target)
        for user in (TEAMS[team], MEMBERS[team]):
            for through in (GATEWAY, PAGE):
                assert TENANCY.calls(through, target, user=user)
    for source in (notebook(team), PAGE_OF_MODELS):
        assert TENANCY.connects(source, registry(team))
        assert TENANCY.calls(source, registry(team))
    assert TENANCY.connects(GATEWAY, PAGE_OF_MODELS)
    assert TENANCY.calls(GATEWAY, PAGE_OF_MODELS)
    assert TENANCY.connects(GATEWAY, notebook(team))
    assert TENANCY.connects(PAGE, proxy(team))
    assert TENANCY.connects(notebook(team), API)
    assert TENANCY.calls(notebook(team), API), "with the token of its service account, and no name"
    assert TENANCY.calls(PAGE, API, user=TEAMS[team])
    for subject in people(team):
        for group, resource, verb in RESOURCES:
            assert TENANCY.may(subject, verb, resource, team, group), (subject, resource)
    assert TENANCY.may({"kind": "User", "name": TEAMS[team]}, "create", "rolebindings", team, OF_PLATFORM[0][0])


Weaker = Callable[[list[Any]], None]
"""Takes one rule away from objects, in place."""


def one_object(objects: Sequence[Any], kind: str, name: str) -> Any:
    (found,) = [one for one in objects if (one["kind"], place(one)) == (kind, name)]
    return found


def without_peers(kind_of_peer: int, name: str, objects: list[Any]) -> None:
    """A rule of a network policy no longer names the namespace of one of its peers."""
    policy = one_object(objects, "NetworkPolicy", name)
    policy["spec"]["ingress"][0]["from"][kind_of_peer] = {"namespaceSelector": {"matchLabels": TEAM_LABEL}}


def without_policies(team: str, objects: list[Any]) -> None:
    """No network policy selects the pods of a team. One of them alone would still close what it does not open."""
    objects[:] = [one for one in objects if one["kind"] != "NetworkPolicy" or one["metadata"]["namespace"] != team]


def without_part(part: str, number: int, name: str, objects: list[Any]) -> None:
    """A rule of the mesh no longer asks where a call comes from, or for whom it is."""
    del one_object(objects, "AuthorizationPolicy", name)["spec"]["rules"][number][part]


def admitting_the_page(team: str, objects: list[Any]) -> None:
    """The proxy of artifacts admits the page of Pipelines for any user."""
    rule = {"from": [{"source": {"principals": [PAGE.principal]}}]}
    selector = {"matchLabels": dict(proxy(team).labels)}
    objects.append(
        {
            "kind": "AuthorizationPolicy",
            "metadata": {"name": "page", "namespace": team},
            "spec": {"action": "ALLOW", "selector": selector, "rules": [rule]},
        }
    )


def without_default(name: str, objects: list[Any]) -> None:
    """Neither the mesh nor a team says who may call, so that every call is allowed."""
    gone = {"istio-system/default-deny", name}
    objects[:] = [one for one in objects if one["kind"] != "AuthorizationPolicy" or not _is_of(one, gone)]


def _is_of(found: Any, names: set[str]) -> bool:
    return place(found) in names or found["metadata"]["namespace"] in names


def in_all_namespaces(binding: str, objects: list[Any]) -> None:
    """A binding of a team's rights holds in the whole cluster."""
    found = one_object(objects, "RoleBinding", binding)
    found["kind"] = "ClusterRoleBinding"
    del found["metadata"]["namespace"]


def bound_to_everybody(binding: str, objects: list[Any]) -> None:
    """A binding of a team's rights names the people of another team, too."""
    one_object(objects, "RoleBinding", binding)["subjects"].extend(people("one"))


PLATFORM_POLICIES = ("kubeflow/ml-pipeline", "kubeflow/ml-pipeline-ui", "kubeflow/model-registry-ui")
"""Policies of the mesh for the platform's own pods that know the data of teams."""


def restrictions() -> Iterator[tuple[str, Weaker]]:
    """Every rule that keeps team ``one`` from team ``two``, with what takes it away."""
    yield "network policies", functools.partial(without_policies, "two")
    peers = one_object(OBJECTS, "NetworkPolicy", "two/team-and-gateway")["spec"]["ingress"][0]["from"]
    for number in range(len(peers)):
        yield f"peer {number} of the team", functools.partial(without_peers, number, "two/team-and-gateway")
    yield (
        "peer of the proxy of artifacts",
        functools.partial(without_peers, 0, "two/ml-pipeline-ui-artifact"),
    )
    for number in range(2):
        yield (
            f"peer {number} of the registry of models",
            functools.partial(without_peers, number, "two/model-registry"),
        )
    yield "peer of the page of models", functools.partial(without_peers, 0, "kubeflow/model-registry-ui")
    yield "peer of the page of runs", functools.partial(without_peers, 0, "kubeflow/ml-pipeline-ui")
    for policy in of_kind(OBJECTS, "AuthorizationPolicy"):
        name, namespace = place(policy), policy["metadata"]["namespace"]
        if namespace == "two" or name in PLATFORM_POLICIES:
            for number, rule in enumerate(policy["spec"]["rules"]):
                for part in [key for key in ("from", "when") if key in rule]:
                    yield f"{part} of {name} {number}", functools.partial(without_part, part, number, name)
    yield "the name of a person at the proxy of artifacts", functools.partial(admitting_the_page, "two")
    yield "default of the mesh", functools.partial(without_default, "two")
    for bound in of_kind(OBJECTS, "RoleBinding"):
        name, namespace = place(bound), bound["metadata"].get("namespace")
        if namespace == "one":
            yield f"namespace of {name}", functools.partial(in_all_namespaces, name)
        if namespace == "two":
            yield f"subjects of {name}", functools.partial(bound_to_everybody, name)


RESTRICTIONS = dict(restrictions())
WITHOUT_EFFECT = {
    "namespace of one/default-viewer": "the service account that has it runs no pod of a team",
    "from of two/ns-owner-access-istio 3": "it admits a path that shows whether a kernel is busy",
}
"""Rules whose lack opens nothing by itself, each with the reason."""


def test_there_are_rules_of_every_layer() -> None:
    kinds = [name.partition(" ")[0] for name in RESTRICTIONS]
    assert len(RESTRICTIONS) > 20
    assert {"network", "peer", "from", "when", "default", "namespace", "subjects"} <= set(kinds)
    assert set(WITHOUT_EFFECT) <= set(RESTRICTIONS)


@pytest.mark.promise("team-isolation")
@pytest.mark.parametrize("rule", [name for name in RESTRICTIONS if name not in WITHOUT_EFFECT])
def test_without_any_one_rule_a_team_reaches_another(rule: str) -> None:
    weaker = copy.deepcopy(OBJECTS)
    RESTRICTIONS[rule](weaker)
    assert list(reached(Tenancy(weaker), "one", "two"))


def test_members_and_pods_of_a_team_cannot_open_it_to_others() -> None:
    for team in TEAMS:
        _, member, account = people(team)
        for subject in (member, account):
            for group, resource, verb in OF_PLATFORM:
                assert not TENANCY.may(subject, verb, resource, team, group), (subject, resource)
        for group, resource, verb in OF_PLATFORM[1:]:
            assert not TENANCY.may({"kind": "User", "name": TEAMS[team]}, verb, resource, team, group), resource


@pytest.mark.promise("team-isolation")
@pytest.mark.parametrize("name", LISTS)
def test_no_caller_lists_what_the_runs_of_all_teams_recorded(name: str) -> None:
    for source in (METADATA_PROXY, step("one"), notebook("one"), GATEWAY):
        assert not TENANCY.calls(source, METADATA, path=method(name), user=TEAMS["one"]), source


@pytest.mark.promise("team-isolation")
@pytest.mark.parametrize("name", ["PutArtifacts", "PutContexts", "PutExecution", "PutLineageSubgraph"])
def test_browsers_read_what_a_run_recorded_and_change_nothing(name: str) -> None:
    assert TENANCY.connects(GATEWAY, METADATA_PROXY)
    assert TENANCY.calls(GATEWAY, METADATA_PROXY, path=method("GetExecutionsByContext"), user=TEAMS["one"])
    assert TENANCY.connects(METADATA_PROXY, METADATA)
    assert TENANCY.calls(METADATA_PROXY, METADATA, path=method("GetExecutionsByContext"))
    assert not TENANCY.calls(METADATA_PROXY, METADATA, path=method(name), user=TEAMS["one"])


@pytest.mark.promise("team-isolation")
@pytest.mark.parametrize("team", TEAMS)
def test_of_the_pods_of_a_team_only_steps_of_pipelines_reach_the_metadata_store(team: str) -> None:
    assert TENANCY.connects(step(team), METADATA)
    for name in ("PutExecution", "PutArtifacts", "GetExecutionsByContext"):
        assert TENANCY.calls(step(team), METADATA, path=method(name)), name
    for source in (notebook(team), proxy(team), registry(team)):
        assert not TENANCY.connects(source, METADATA), source
        assert not TENANCY.connects(source, METADATA_PROXY), source


@pytest.mark.parametrize("team", TEAMS)
def test_who_can_label_a_pod_as_a_step_can_run_any_step(team: str) -> None:
    viewer = {"kind": "ServiceAccount", "name": "default-viewer", "namespace": team}
    makers = [("", "pods"), ("apps", "deployments"), ("batch", "jobs"), ("kubeflow.org", "notebooks")]
    for subject, runs_steps in [*((one, True) for one in people(team)), (viewer, False)]:
        verbs = ("create", "update", "patch")
        labels = [TENANCY.may(subject, verb, kind, team, group) for group, kind in makers for verb in verbs]
        assert any(labels) == runs_steps, subject
        assert TENANCY.may(subject, "create", "workflows", team, "argoproj.io") == runs_steps, subject


def test_the_page_of_runs_opens_artifacts_in_the_name_of_a_person_alone() -> None:
    assert not TENANCY.calls(PAGE, proxy("two"))
    assert not TENANCY.calls(PAGE, proxy("two"), user="stranger@example.com")


def test_the_mesh_denies_calls_while_the_profile_controller_has_not_been_there() -> None:
    left = [one for one in OBJECTS if place(one) != "two/ns-owner-access-istio"]
    assert len(left) == len(OBJECTS) - 1
    assert not Tenancy(left).calls(notebook("one"), notebook("two"), user=TEAMS["two"])
    assert not Tenancy(left).calls(GATEWAY, notebook("two"), user=TEAMS["two"])


def test_the_controller_of_notebooks_sees_kernels_and_nothing_else() -> None:
    controller = Pod("kubeflow", "notebook-controller", named("notebook-controller"))
    target = notebook("one")
    assert TENANCY.connects(controller, target)
    assert TENANCY.calls(controller, target, path="/notebook/one/mine/api/kernels")
    assert not TENANCY.calls(controller, target, path="/notebook/one/mine/lab", user=TEAMS["one"])


def test_a_person_of_no_team_reaches_none() -> None:
    stranger = "stranger@example.com"
    for name in TEAMS:
        assert not TENANCY.calls(GATEWAY, notebook(name), user=stranger)
        assert not any(
            TENANCY.may({"kind": "User", "name": stranger}, verb, resource, name, group)
            for group, resource, verb in (*RESOURCES, *OF_PLATFORM)
        )

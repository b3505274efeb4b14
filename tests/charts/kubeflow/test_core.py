"""What holds for every component of Kubeflow's core, and what makes each of them safe for teams that share it."""

import copy
import json
import re
import secrets
from collections.abc import Iterator
from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion

from charts.kit.chart import pod_specs
from charts.kit.istio import GATEWAY_ACCOUNT, principal
from charts.kit.listed_images import unlisted_objects
from charts.kubeflow.jupyter_web_app.objects import JUPYTER
from kubernetes_rehearsal.client import ApiClient, ApiFailure
from kubernetes_rehearsal.interface import ADMINISTRATOR
from kubernetes_rehearsal.standin import StandIn
from tests.charts.kubeflow.core import CATALOG, HOST, TEAMS, charts, notebook, notebook_form, of_kind, place
from tests.charts.kubeflow.everything import strings
from tests.kubernetes_rehearsal.kubernetes_apis import offer

WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet")
FOREIGN_KINDS = ("base/cert_manager", "base/secrets_store", "edge/istio", "edge/load_balancer_controller")
"""Components that bring kinds of which these have objects."""

OBJECTS: dict[str, list[Any]] = {name: chart.to_json() for name, chart in charts().items()}
EVERYTHING = [one for objects in OBJECTS.values() for one in objects]
every_component = pytest.mark.parametrize("name", OBJECTS, ids=lambda name: name.partition("/")[2])


@pytest.fixture(scope="module")
def api() -> Iterator[ApiClient]:
    """The API of a stand-in cluster that has the definitions of all components, and their namespaces."""
    kubernetes, token = StandIn(), secrets.token_urlsafe()
    kubernetes.start(lambda given: ADMINISTRATOR if given == token else None)
    client = ApiClient(kubernetes.create_cluster("training", "1.35"), token)
    defining = [*FOREIGN_KINDS, *(name for name in OBJECTS if name in CATALOG.components)]
    for definition in (found for name in defining for found in CATALOG.definitions(name)):
        client.request("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", dict(definition))
    client.request("POST", "/api/v1/namespaces", {"metadata": {"name": "istio-system"}})
    for found in of_kind(EVERYTHING, "Namespace"):
        client.request("POST", "/api/v1/namespaces", found)
    yield client
    client.close()
    kubernetes.stop()


@every_component
def test_objects(name: str, snapshot_json: SnapshotAssertion) -> None:
    assert OBJECTS[name] == snapshot_json


@every_component
def test_the_api_accepts_every_object(api: ApiClient, name: str) -> None:
    for found in OBJECTS[name]:
        if found["kind"] != "Namespace":
            assert offer(api, found) == found["kind"]


@every_component
@pytest.mark.promise("pinned-images")
def test_every_image_is_listed_wherever_it_stands(name: str) -> None:
    assert list(unlisted_objects(OBJECTS[name], CATALOG.images)) == []


@every_component
@pytest.mark.promise("probes-set", "requests-set")
def test_every_container_has_requests_a_limit_of_memory_probes_and_a_restricted_security_context(name: str) -> None:
    for found in of_kind(OBJECTS[name], *WORKLOADS):
        for spec in pod_specs(found):
            assert spec["securityContext"]["runAsNonRoot"] is True
            assert spec["securityContext"]["runAsUser"] > 0
            assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
            for container in [*spec["containers"], *spec.get("initContainers", [])]:
                assert set(container["resources"]["requests"]) == {"cpu", "memory"}, container["name"]
                assert container["resources"]["limits"]["memory"], container["name"]
                assert container["securityContext"]["allowPrivilegeEscalation"] is False
                assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
                assert container["securityContext"]["readOnlyRootFilesystem"] is True, container["name"]
            for container in spec["containers"]:
                assert {"livenessProbe", "readinessProbe"} <= set(container), container["name"]


@every_component
def test_every_workload_has_two_replicas_over_zones_and_a_disruption_budget(name: str) -> None:
    budgets = {place(found) for found in of_kind(OBJECTS[name], "PodDisruptionBudget")}
    for found in of_kind(OBJECTS[name], *WORKLOADS):
        assert found["spec"]["replicas"] == 2, place(found)
        assert place(found) in budgets, place(found)
        (spread,) = found["spec"]["template"]["spec"]["topologySpreadConstraints"]
        assert spread["topologyKey"] == "topology.kubernetes.io/zone"


@every_component
def test_every_workload_takes_only_the_connections_that_a_policy_names(name: str) -> None:
    objects = OBJECTS[name]
    selected = [found["spec"]["podSelector"] for found in of_kind(objects, "NetworkPolicy")]
    for found in of_kind(objects, *WORKLOADS):
        labels = found["spec"]["template"]["metadata"]["labels"]
        assert any(wanted.get("matchLabels", {"": ""}).items() <= labels.items() for wanted in selected), place(found)


def test_every_namespace_refuses_connections_unless_a_policy_allows_them() -> None:
    closed = {
        found["metadata"]["namespace"]
        for found in of_kind(EVERYTHING, "NetworkPolicy")
        if found["spec"] == {"podSelector": {}, "policyTypes": ["Ingress"]}
    }
    assert closed == {place(found) for found in of_kind(EVERYTHING, "Namespace")}


@every_component
def test_no_right_of_a_service_account_is_a_wildcard(name: str) -> None:
    for found in of_kind(OBJECTS[name], "Role", "ClusterRole"):
        for rule in found.get("rules", []):
            assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]], place(found)


def test_no_subject_is_bound_to_a_role_over_everything() -> None:
    bound = {found["roleRef"]["name"] for found in of_kind(EVERYTHING, "ClusterRoleBinding", "RoleBinding")}
    assert not bound & {"admin", "cluster-admin", "edit"}


@pytest.mark.promise("team-namespaces", "role-per-team")
def test_the_profile_controller_can_hand_out_the_roles_of_teams_and_no_others() -> None:
    for found in of_kind(OBJECTS["kubeflow/profiles"], "ClusterRole"):
        verbs = [rule for rule in found.get("rules", []) if {"bind", "escalate", "impersonate"} & set(rule["verbs"])]
        assert [rule["resourceNames"] for rule in verbs] == [["kubeflow-admin", "kubeflow-edit", "kubeflow-view"]]
        profiles = next(rule for rule in found["rules"] if "profiles" in rule["resources"])
        assert not {"create", "delete"} & set(profiles["verbs"])  # the account file names the teams
    assert "iam" not in json.dumps(OBJECTS["kubeflow/profiles"]).lower()


@pytest.mark.promise("dashboard")
def test_a_web_application_is_called_by_the_gateway_alone() -> None:
    applications = {"dashboard", "jupyter-web-app", "volumes-web-app", "tensorboards-web-app"}
    policies = {place(found): found["spec"] for found in of_kind(EVERYTHING, "AuthorizationPolicy")}
    for name in applications:
        spec = policies[f"kubeflow/{name}"]
        assert spec["selector"] == {"matchLabels": {"app.kubernetes.io/name": name}}
        assert spec["rules"] == [{"from": [{"source": {"principals": [principal(GATEWAY_ACCOUNT)]}}]}]
    routed = {place(found) for found in of_kind(EVERYTHING, "VirtualService")}
    assert routed == {f"kubeflow/{name}" for name in applications} | {
        "kubeflow-auth/dex",
        "kubeflow-auth/oauth2-proxy",
    }


def test_access_management_is_called_by_the_dashboard_alone() -> None:
    (policy,) = of_kind(OBJECTS["kubeflow/profiles"], "AuthorizationPolicy")
    assert policy["spec"]["rules"] == [{"from": [{"source": {"principals": [principal("kubeflow/dashboard")]}}]}]


def test_policies_and_controllers_name_service_accounts_that_exist() -> None:
    accounts = {principal(place(found)) for found in of_kind(EVERYTHING, "ServiceAccount")}
    others = {principal(GATEWAY_ACCOUNT), principal("kubeflow/ml-pipeline-ui")}
    named = {text for text in strings(EVERYTHING) if text.startswith("cluster.local/ns/")}
    assert named <= accounts | others


def test_every_webhook_fails_closed_and_has_an_authority() -> None:
    certificates = {place(found) for found in of_kind(EVERYTHING, "Certificate")}
    found = of_kind(EVERYTHING, "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration")
    assert len(found) == 3
    for one in found:
        assert one["metadata"]["annotations"]["cert-manager.io/inject-ca-from"] in certificates
        assert all(hook["failurePolicy"] == "Fail" for hook in one["webhooks"])


def test_pods_of_the_platform_do_not_wait_for_the_webhook_of_teams() -> None:
    (found,) = of_kind(OBJECTS["kubeflow/pod_defaults"], "MutatingWebhookConfiguration")
    wanted = found["webhooks"][0]["namespaceSelector"]["matchLabels"]
    homes = {place(one): one["metadata"]["labels"] for one in of_kind(EVERYTHING, "Namespace")}
    assert {name for name, labels in homes.items() if wanted.items() <= labels.items()} == {t.name for t in TEAMS}


@pytest.mark.promise("identity-in-mesh")
def test_the_gateway_listens_for_the_platforms_name_alone() -> None:
    (found,) = of_kind(OBJECTS["kubeflow/entry_point"], "Gateway")
    assert [server["hosts"] for server in found["spec"]["servers"]] == [[HOST]]


@pytest.mark.promise("idle-notebooks-stop")
def test_idle_notebooks_stop_and_release_their_gpus() -> None:
    (found,) = of_kind(OBJECTS["kubeflow/notebook_controller"], "Deployment")
    variables = {one["name"]: one["value"] for one in found["spec"]["template"]["spec"]["containers"][0]["env"]}
    assert (variables["ENABLE_CULLING"], variables["CULL_IDLE_TIME"]) == ("true", "90")
    assert int(variables["IDLENESS_CHECK_PERIOD"]) < 90
    labels = found["spec"]["template"]["metadata"]["labels"]
    assert labels["sidecar.istio.io/inject"] == "true"  # it asks notebooks, which take calls of the mesh alone


@pytest.mark.promise("notebooks")
def test_notebooks_start_with_cpus_or_gpus_in_three_kinds_of_editor() -> None:
    found = notebook_form()
    assert found["image"]["options"] == [CATALOG.images.reference(name) for name in JUPYTER]
    assert sum("cuda" in image for image in found["image"]["options"]) == 2
    assert "cuda" not in found["image"]["value"]
    assert "codeserver" in found["imageGroupOne"]["value"]
    assert "rstudio" in found["imageGroupTwo"]["value"]


@pytest.mark.promise("notebooks")
def test_gpus_are_chosen_by_the_purpose_of_their_nodes() -> None:
    found = notebook_form()
    assert found["gpus"]["value"]["vendors"] == [{"limitsKey": "nvidia.com/gpu", "uiName": "NVIDIA"}]
    (group,) = found["tolerationGroup"]["options"]
    (affinity,) = found["affinityConfig"]["options"]
    assert group["groupKey"] == affinity["configKey"] == "training"
    assert group["tolerations"][0]["key"] == "nvidia.com/gpu"
    terms = affinity["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert terms["nodeSelectorTerms"][0]["matchExpressions"][0]["values"] == ["training"]


@pytest.mark.promise("notebooks")
def test_a_notebook_of_the_page_is_accepted(api: ApiClient) -> None:
    assert offer(api, notebook()) == "Notebook"


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("spec.template.spec.containers", [], "containers"),
        ("spec.tempalte", {}, "unknown field"),
        ("spec.template.spec.containers", [{"name": "no-image"}], "image"),
    ],
)
def test_a_wrong_notebook_is_refused_by_the_api(api: ApiClient, path: str, value: Any, message: str) -> None:
    changed = copy.deepcopy(notebook())
    *parents, last = path.split(".")
    inside = changed
    for parent in parents:
        inside = inside[parent]
    inside[last] = value
    with pytest.raises(ApiFailure, match=message):
        offer(api, changed)


@pytest.mark.parametrize(
    "wrong",
    [
        {"apiVersion": "kubeflow.org/v1", "kind": "Profile", "metadata": {"name": "x"}, "spec": {}},
        {
            "apiVersion": "kubeflow.org/v1",
            "kind": "Profile",
            "metadata": {"name": "x"},
            "spec": {"owner": {"kind": "Robot", "name": "x"}},
        },
        {
            "apiVersion": "kubeflow.org/v1alpha1",
            "kind": "PodDefault",
            "metadata": {"name": "x", "namespace": "churn"},
            "spec": {"desc": "selects nothing"},
        },
        {
            "apiVersion": "tensorboard.kubeflow.org/v1alpha1",
            "kind": "Tensorboard",
            "metadata": {"name": "x", "namespace": "churn"},
            "spec": {"logspath": "somewhere"},
        },
        {
            "apiVersion": "kubeflow.org/v1alpha1",
            "kind": "PVCViewer",
            "metadata": {"name": "x", "namespace": "churn"},
            "spec": {"pvc": "", "podSpec": {}},
        },
    ],
    ids=lambda wrong: wrong["kind"],
)
def test_a_wrong_object_is_refused_by_the_api(api: ApiClient, wrong: dict[str, Any]) -> None:
    with pytest.raises(ApiFailure, match=r"spec\."):
        offer(api, wrong)


def team(name: str) -> list[Any]:
    return [found for found in OBJECTS["kubeflow/teams"] if name in (found["metadata"].get("namespace"), place(found))]


@pytest.mark.promise("team-namespaces")
def test_a_team_has_a_namespace_of_its_owner_with_a_quota_of_gpus() -> None:
    found = {one["kind"]: one for one in team("churn")}
    assert found["Namespace"]["metadata"]["annotations"]["owner"] == found["Profile"]["spec"]["owner"]["name"]
    assert found["Profile"]["spec"]["resourceQuotaSpec"] == {"hard": {"requests.nvidia.com/gpu": "2"}}
    labels = found["Namespace"]["metadata"]["labels"]
    assert labels["istio-injection"] == "enabled"
    assert labels["pod-security.kubernetes.io/enforce"] == "baseline"
    quota = next(one["spec"] for one in team("fraud") if one["kind"] == "Profile")["resourceQuotaSpec"]["hard"]
    assert quota == {"requests.nvidia.com/gpu": "0"}  # no quota is no GPU, not any number


@pytest.mark.promise("notebook-access")
def test_members_may_do_in_the_namespace_what_contributors_may_and_are_shown_by_the_dashboard() -> None:
    name = "user-chi-li-example-com-clusterrole-edit"
    marks = {"user": "Chi.Li@example.com", "role": "edit"}
    (bound,) = of_kind(team("churn"), "RoleBinding")
    (policy,) = of_kind(team("churn"), "AuthorizationPolicy")
    for found in (bound, policy):
        assert (found["metadata"]["name"], found["metadata"]["annotations"]) == (name, marks)
    assert bound["roleRef"]["name"] == "kubeflow-edit"
    assert bound["subjects"][0]["name"] == "Chi.Li@example.com"
    (rule,) = policy["spec"]["rules"]
    assert rule["when"] == [{"key": "request.headers[kubeflow-userid]", "values": ["Chi.Li@example.com"]}]
    assert principal(GATEWAY_ACCOUNT) in rule["from"][0]["source"]["principals"]
    assert not of_kind(team("fraud"), "RoleBinding", "AuthorizationPolicy")


def test_no_policy_of_a_team_admits_another_team() -> None:
    names = {one.name for one in TEAMS}
    for name in names:
        text = json.dumps([one for one in team(name) if one["kind"] in ("NetworkPolicy", "AuthorizationPolicy")])
        others = names - {name}
        assert not [other for other in others if f'"{other}"' in text]
        peers = [
            peer
            for policy in of_kind(team(name), "NetworkPolicy")
            for rule in policy["spec"].get("ingress", [])
            for peer in rule["from"]
        ]
        # Its own pods, the gateway, the controllers of notebooks and experiments, and Prometheus for metrics.
        assert len(peers) == 5
        assert all(peer.get("namespaceSelector") != {} for peer in peers)


def test_pods_of_a_team_find_its_bucket_and_file_systems_by_label() -> None:
    defaults = {one["metadata"]["name"]: one["spec"] for one in of_kind(team("churn"), "PodDefault")}
    assert set(defaults) == {"platform-storage", "pipelines-access", "shared-files", "training-data"}
    for name, spec in defaults.items():
        assert spec["selector"] == {"matchLabels": {name: "true"}}
    claims = {one["metadata"]["name"]: one["spec"] for one in of_kind(team("churn"), "PersistentVolumeClaim")}
    assert claims["training-data"]["storageClassName"] == "training-data"
    assert "volumeName" not in claims["training-data"], "a volume is reserved for the claim, whatever its name"
    assert {"name": "AWS_REGION", "value": "eu-west-1"} in defaults["platform-storage"]["env"]


def test_a_tensorboard_that_asks_for_the_bucket_runs_as_who_reads_it() -> None:
    """Its controller names no service account, and that of the namespace has no role in AWS."""
    (found,) = [one for one in team("churn") if place(one) == "churn/platform-storage"]
    accounts = {place(one): one["metadata"].get("annotations", {}) for one in of_kind(team("churn"), "ServiceAccount")}
    assert "eks.amazonaws.com/role-arn" in accounts[f"churn/{found['spec']['serviceAccountName']}"]


def test_the_controller_of_tensorboards_may_hold_both_locks_of_its_election() -> None:
    """https://github.com/kubernetes-sigs/controller-runtime/blob/v0.11.0/pkg/leaderelection/leader_election.go"""
    (role,) = of_kind(OBJECTS["kubeflow/tensorboard_controller"], "Role")
    rights = {
        (resource, verb): rule.get("resourceNames")
        for rule in role["rules"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    for resource in ("leases", "configmaps"):
        assert rights[resource, "create"] is None
        assert rights[resource, "get"] == rights[resource, "update"] == ["kubeflow-tensorboard-controller"]


@pytest.mark.promise("no-long-lived-keys")
def test_a_notebook_calls_pipelines_with_a_token_that_expires() -> None:
    (found,) = [one for one in team("churn") if place(one) == "churn/pipelines-access"]
    ((source,),) = [volume["projected"]["sources"] for volume in found["spec"]["volumes"]]
    token = source["serviceAccountToken"]
    assert token["audience"] == "pipelines.kubeflow.org"
    assert token["expirationSeconds"] <= 7200
    (mount,) = found["spec"]["volumeMounts"]
    assert found["spec"]["env"] == [
        {"name": "KF_PIPELINES_SA_TOKEN_PATH", "value": f"{mount['mountPath']}/{token['path']}"}
    ]


def test_a_token_of_dex_outlives_the_session_that_the_proxy_keeps() -> None:
    """The gateway refuses an expired token, and the proxy, which does not look at its expiry, signs nobody in again."""
    (configuration,) = of_kind(OBJECTS["kubeflow/dex"], "ConfigMap")
    token = json.loads(configuration["data"]["config.yaml"])["expiry"]["idTokens"]
    (proxy,) = of_kind(OBJECTS["kubeflow/oauth2_proxy"], "Deployment")
    arguments = proxy["spec"]["template"]["spec"]["containers"][0]["args"]
    (session,) = [each.partition("=")[2] for each in arguments if each.startswith("--cookie-expire=")]
    assert (token, session) == ("13h", "12h")


@pytest.mark.promise("no-long-lived-keys")
def test_no_password_is_shipped() -> None:
    text = json.dumps(EVERYTHING)
    assert not re.search(r"\$2[aby]\$", text)  # a hash by bcrypt
    assert not of_kind(EVERYTHING, "Secret")
    (configuration,) = of_kind(OBJECTS["kubeflow/dex"], "ConfigMap")
    people = json.loads(configuration["data"]["config.yaml"])["staticPasswords"]
    assert {one["email"]: one["hash"] for one in people} == {
        "ben@example.com": "@person-0@",
        "chi@example.com": "@person-1@",
    }


def test_dex_may_not_create_definitions() -> None:
    assert not of_kind(OBJECTS["kubeflow/dex"], "ClusterRole")


def test_whatever_a_client_sends_as_authorization_the_proxy_is_asked() -> None:
    asked = next(
        one for one in of_kind(OBJECTS["kubeflow/oauth2_proxy"], "AuthorizationPolicy") if "provider" in one["spec"]
    )
    assert asked["spec"]["rules"] == [{"to": [{"operation": {"notPaths": ["/dex/*", "/oauth2/*"]}}]}]

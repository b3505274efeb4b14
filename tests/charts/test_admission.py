"""What the admission policies refuse, asked of a real API server."""

import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import cdk8s
import pytest

from charts.base.cluster_access.objects import GROUPS, OPERATORS, VIEWERS, ClusterAccess
from charts.base.tenant_limits.objects import TenantLimits
from charts.kit import workloads
from charts.kit.objects import namespace
from charts.kit.rbac import service_account
from charts.serving.model_namespaces.objects import ModelNamespace, ModelNamespaces, deployers
from kubernetes_rehearsal.binaries import find
from kubernetes_rehearsal.client import APPLY_PATCH, ApiClient, ApiFailure
from kubernetes_rehearsal.interface import Identity
from kubernetes_rehearsal.kube_apiserver import KubeApiServer

FOUND = find(os.environ)
pytestmark = pytest.mark.skipif(not FOUND, reason="kube-apiserver is not built; run make kube-apiserver")
IDENTITIES = {
    "administrator": Identity("grace", ("system:masters",)),
    "operator": Identity("olga", (OPERATORS, "system:authenticated")),
    "deployer": Identity("pipelines", (deployers("churn"), "system:authenticated")),
    "viewer": Identity("vera", (VIEWERS, "system:authenticated")),
}
COLLECTIONS = {
    "ClusterRole": "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "ClusterRoleBinding": "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
    "CronJob": "/apis/batch/v1/namespaces/{namespace}/cronjobs",
    "Deployment": "/apis/apps/v1/namespaces/{namespace}/deployments",
    "Namespace": "/api/v1/namespaces",
    "NetworkPolicy": "/apis/networking.k8s.io/v1/namespaces/{namespace}/networkpolicies",
    "Node": "/api/v1/nodes",
    "Pod": "/api/v1/namespaces/{namespace}/pods",
    "Role": "/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/roles",
    "RoleBinding": "/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings",
    "ServiceAccount": "/api/v1/namespaces/{namespace}/serviceaccounts",
    "ValidatingAdmissionPolicy": "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies",
    "ValidatingAdmissionPolicyBinding": "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings",
}
MERGE = "application/strategic-merge-patch+json"
PLAIN_MERGE = "application/merge-patch+json"
CONTAINER = workloads.container("c", "r.io/a:1", resources=workloads.resources(cpu="1m", memory="1Mi"))
POD = workloads.pod(CONTAINER, service_account="own")


def path(found: Any) -> str:
    metadata = found["metadata"]
    return f"{COLLECTIONS[found['kind']].format(**metadata)}/{metadata['name']}"


def applied(api: ApiClient, *objects: Any) -> None:
    for found in objects:
        api.request("PATCH", f"{path(found)}?fieldManager=test&force=true", found, APPLY_PATCH)


def pod(place: str, name: str, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": place},
        "spec": {**POD, **spec},
    }


def schedule(place: str) -> dict[str, Any]:
    job = {"template": {"spec": {**POD, "restartPolicy": "Never"}}}
    about = {"name": "nightly", "namespace": place}
    spec = {"schedule": "0 1 * * *", "jobTemplate": {"spec": job}}
    return {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": about, "spec": spec}


@pytest.fixture(scope="module")
def clients() -> Iterator[Callable[[str], ApiClient]]:
    """Clients of one cluster by identity, with workloads in a tenant's namespace and two of the platform."""
    api = KubeApiServer(FOUND)
    api.start(IDENTITIES.get)
    opened: list[ApiClient] = []
    try:
        access = api.create_cluster("test", FOUND[-1].minor)

        def client(identity: str) -> ApiClient:
            opened.append(ApiClient(access, identity))
            return opened[-1]

        grace = client("administrator")
        applied(grace, namespace("team"), namespace("kubeflow", **{"mlplatform/system": "true"}))
        for place in ("team", "kube-system", "kubeflow"):
            applied(grace, service_account("own", place), schedule(place), pod(place, "own"))
            applied(grace, workloads.deployment("web", place, POD, replicas=1))
        applied(grace, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}, "spec": {}})
        app = cdk8s.App()
        applied(grace, *ModelNamespaces(app, "Models", teams=[ModelNamespace(name="churn")]).to_json())
        applied(grace, *ClusterAccess(app, "Access", groups=GROUPS).to_json(), *TenantLimits(app, "Tenants").to_json())
        _wait_until_refused(grace, PODS.format("team"), pod("team", "x", tolerations=[ANY]), "may tolerate the taint")
        _wait_until_refused(client("deployer"), MODELS, model_server(serviceAccountName="batch-serving"), "pods as")
        yield client
    finally:
        for each in opened:
            each.close()
        api.stop()


def _wait_until_refused(api: ApiClient, where: str, body: Any, said: str) -> None:
    """The API server compiles policies in the background, and learns of roles likewise."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        try:
            api.request("POST", where, body)
        except ApiFailure as refused:
            if said in str(refused):
                return
        time.sleep(0.5)
    raise AssertionError(f"no policy in force refuses: {said}")


PODS = "/api/v1/namespaces/{}/pods?dryRun=All"
MODELS = "/apis/apps/v1/namespaces/churn/deployments?dryRun=All"


def model_server(**spec: Any) -> dict[str, Any]:
    """A Deployment in the namespace of the models of the team churn."""
    return workloads.deployment("model", "churn", {**POD, "serviceAccountName": "model-server", **spec}, replicas=1)


ANY = {"operator": "Exists"}
RESTART = {"spec": {"template": {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "2026-01-01"}}}}}


def web(place: str = "team") -> str:
    return f"/apis/apps/v1/namespaces/{place}/deployments/web"


@pytest.mark.promise("groups-have-rights")
@pytest.mark.parametrize(
    ("method", "where", "body", "kind"),
    [
        ("PATCH", web(), RESTART, MERGE),
        ("PATCH", f"{web()}/scale", {"spec": {"replicas": 2}}, PLAIN_MERGE),
        ("PATCH", web(), {"spec": {"replicas": 3}}, MERGE),
        ("PATCH", "/api/v1/nodes/n1", {"spec": {"unschedulable": True}}, MERGE),
        ("PATCH", "/apis/batch/v1/namespaces/team/cronjobs/nightly", {"spec": {"suspend": True}}, MERGE),
        ("DELETE", "/api/v1/namespaces/team/pods/own?dryRun=All", None, None),
        ("GET", "/api/v1/namespaces/kube-system/pods", None, None),
    ],
)
def test_operators_restart_scale_drain_and_suspend(
    clients: Any, method: str, where: str, body: Any, kind: str | None
) -> None:
    assert clients("operator").request(method, where, body, *([kind] if kind else []))


def test_operators_evict_pods_of_every_namespace_because_a_drain_does(clients: Any) -> None:
    for place in ("team", "kube-system"):
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "own", "namespace": place}}
        where = f"/api/v1/namespaces/{place}/pods/own/eviction?dryRun=All"
        assert clients("operator").request("POST", where, {**eviction, "deleteOptions": {"dryRun": ["All"]}})


def of_pod(**spec: Any) -> dict[str, Any]:
    return {"spec": {"template": {"spec": spec}}}


@pytest.mark.promise("groups-have-rights")
@pytest.mark.parametrize(
    ("where", "body"),
    [
        (web(), of_pod(containers=[{"name": "c", "image": "evil/miner:1"}])),
        (web(), of_pod(containers=[{"name": "more", "image": "evil/miner:1"}])),
        (web(), of_pod(serviceAccountName="default")),
        (web(), of_pod(hostNetwork=True)),
        (web(), of_pod(volumes=[{"name": "root", "hostPath": {"path": "/"}}])),
        (web(), of_pod(volumes=[{"name": "s", "secret": {"secretName": "any"}}])),
        (web(), {"spec": {"template": {"metadata": {"annotations": {"inject.istio.io/templates": "evil"}}}}}),
        (web(), {"spec": {"template": {"metadata": {"labels": {"more": "x"}}}}}),
        (web(), {"metadata": {"labels": {"more": "x"}}}),
        (web(), {"metadata": {"annotations": {"more": "x"}}}),
        (web(), {"metadata": {"finalizers": ["example.com/held"]}}),
        ("/api/v1/nodes/n1", {"metadata": {"labels": {"mlplatform/purpose": "system"}}}),
        ("/api/v1/nodes/n1", {"spec": {"taints": [{"key": "a", "effect": "NoExecute"}]}}),
        (
            "/apis/batch/v1/namespaces/team/cronjobs/nightly",
            {"spec": {"jobTemplate": {"spec": {"template": {"spec": {"serviceAccountName": "default"}}}}}},
        ),
        ("/apis/batch/v1/namespaces/team/cronjobs/nightly", {"spec": {"schedule": "* * * * *"}}),
    ],
)
def test_operators_change_nothing_else(clients: Any, where: str, body: Any) -> None:
    with pytest.raises(ApiFailure, match="operators may") as failure:
        clients("operator").request("PATCH", where, body, MERGE)
    assert failure.value.code == 403
    clients("administrator").request("PATCH", f"{where}?dryRun=All", body, MERGE)


@pytest.mark.promise("groups-have-rights")
@pytest.mark.parametrize("place", ["kube-system", "kubeflow"])
@pytest.mark.parametrize(
    ("method", "where", "body", "kind"),
    [
        ("PATCH", "/apis/apps/v1/namespaces/{}/deployments/web", RESTART, MERGE),
        ("PATCH", "/apis/apps/v1/namespaces/{}/deployments/web/scale", {"spec": {"replicas": 0}}, PLAIN_MERGE),
        ("DELETE", "/api/v1/namespaces/{}/pods/own", None, None),
        ("PATCH", "/apis/batch/v1/namespaces/{}/cronjobs/nightly", {"spec": {"suspend": True}}, MERGE),
    ],
)
def test_operators_reach_into_no_system_namespace(
    clients: Any, place: str, method: str, where: str, body: Any, kind: str | None
) -> None:
    with pytest.raises(ApiFailure, match="system namespaces belong to the platform; ask an administrator"):
        clients("operator").request(method, where.format(place), body, *([kind] if kind else []))


@pytest.mark.promise("groups-have-rights")
@pytest.mark.parametrize("identity", ["operator", "viewer"])
@pytest.mark.parametrize(
    ("method", "where", "body"),
    [
        ("GET", "/api/v1/namespaces/team/secrets", None),
        ("POST", "/api/v1/namespaces/team/pods/own/portforward", {}),
        ("POST", "/api/v1/namespaces/team/pods/own/exec?command=sh", {}),
        ("POST", "/api/v1/namespaces/team/serviceaccounts/own/token", {}),
        ("POST", "/api/v1/namespaces/team/pods", pod("team", "new")),
        ("PATCH", "/api/v1/nodes/n1/status", {"status": {}}),
    ],
)
def test_operators_and_viewers_read_no_secrets_open_no_shell_and_create_no_pods(
    clients: Any, identity: str, method: str, where: str, body: Any
) -> None:
    with pytest.raises(ApiFailure) as failure:
        clients(identity).request(method, where, body, *([MERGE] if method == "PATCH" else []))
    assert failure.value.code == 403


def test_viewers_change_nothing(clients: Any) -> None:
    for where, body in ((web(), RESTART), ("/api/v1/nodes/n1", {"spec": {"unschedulable": True}})):
        with pytest.raises(ApiFailure, match="forbidden"):
            clients("viewer").request("PATCH", where, body, MERGE)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"tolerations": [{"key": "CriticalAddonsOnly", "operator": "Exists"}]}, "may tolerate the taint"),
        ({"tolerations": [ANY]}, "may tolerate the taint"),
        ({"volumes": [{"name": "root", "hostPath": {"path": "/var/lib"}}]}, "may mount host paths"),
        ({"priorityClassName": "system-cluster-critical"}, "may have a system priority"),
    ],
)
def test_pods_of_tenants_stay_away_from_the_platforms_nodes(clients: Any, spec: dict[str, Any], said: str) -> None:
    """In a namespace without a level of pod security, which would refuse a host path first."""
    grace = clients("administrator")
    applied(grace, namespace("open", security="privileged"), service_account("own", "open"))
    with pytest.raises(ApiFailure, match=said):
        grace.request("POST", PODS.format("open"), pod("open", "x", **spec))
    grace.request("POST", PODS.format("kube-system"), pod("kube-system", "x", **spec))


def test_pods_of_tenants_may_tolerate_the_taints_of_their_own_nodes(clients: Any) -> None:
    toleration = {"key": "mlplatform/purpose", "value": "training", "effect": "NoSchedule"}
    grace = clients("administrator")
    applied(grace, namespace("open", security="privileged"), service_account("own", "open"))
    own = pod("open", "x", tolerations=[toleration])
    assert toleration in grace.request("POST", "/api/v1/namespaces/open/pods?dryRun=All", own)["spec"]["tolerations"]


FROM_SECRET = {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "own", "key": "key"}}}


@pytest.mark.promise("team-isolation")
@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"serviceAccountName": "batch-serving"}, "service account model-server only"),
        ({"serviceAccountName": ""}, "service account model-server only"),
        ({"volumes": [{"name": "keys", "secret": {"secretName": "own"}}]}, "may mount no Secret"),
        (
            {"volumes": [{"name": "keys", "projected": {"sources": [{"secret": {"name": "own"}}]}}]},
            "may mount no Secret",
        ),
        ({"containers": [{**CONTAINER, "env": [FROM_SECRET]}]}, "no Secret into the environment"),
        (
            {"initContainers": [{**CONTAINER, "name": "i", "envFrom": [{"secretRef": {"name": "own"}}]}]},
            "no Secret into",
        ),
    ],
    ids=["account of batches", "default account", "secret", "projected secret", "variable", "all variables"],
)
def test_deployers_of_models_run_as_the_account_of_servers_and_read_no_secret(
    clients: Any, spec: dict[str, Any], said: str
) -> None:
    with pytest.raises(ApiFailure, match=said):
        clients("deployer").request("POST", MODELS, model_server(**spec))
    clients("administrator").request("POST", MODELS, model_server(**spec))


def test_deployers_of_models_start_model_servers(clients: Any) -> None:
    made = clients("deployer").request("POST", MODELS, model_server())
    assert made["spec"]["template"]["spec"]["serviceAccountName"] == "model-server"

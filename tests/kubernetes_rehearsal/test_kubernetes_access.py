"""Who may do what in a cluster, at the stand-in and at kube-apiserver alike."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kubernetes_rehearsal.client import ApiClient, ApiFailure
from kubernetes_rehearsal.interface import ClusterAccess, Identity
from tests.kubernetes_rehearsal.kubernetes_apis import APIS, IDENTITIES, MINOR, Programs, client, new_api

RBAC = "/apis/rbac.authorization.k8s.io/v1"
POLICIES = {
    "viewer": Identity("vera", ("eks:access-policy:AmazonEKSViewPolicy",)),
    "editor": Identity("edith", ("eks:access-policy:AmazonEKSEditPolicy",)),
    "auditor": Identity("aldo", ("eks:access-policy:AmazonEKSAdminViewPolicy",)),
}


@pytest.fixture(scope="module", params=APIS)
def access(request: pytest.FixtureRequest) -> Iterator[ClusterAccess]:
    api = new_api(request.param)
    api.start((IDENTITIES | POLICIES).get)
    try:
        yield api.create_cluster("test", MINOR)
    finally:
        api.stop()


@pytest.fixture
def administrator(access: ClusterAccess) -> Iterator[ApiClient]:
    made = client(access)
    yield made
    made.close()


def allows(access: ClusterAccess, token: str, method: str, path: str, body: dict[str, object] | None = None) -> bool:
    """Whether a caller passes access control."""
    asked = client(access, token)
    try:
        asked.request(method, path, body)
    except ApiFailure as failure:
        if failure.code != 403:
            raise
        return False
    finally:
        asked.close()
    return True


def test_an_unknown_caller_has_no_access(access: ClusterAccess) -> None:
    with pytest.raises(ApiFailure, match="401"):
        client(access, "forged").get("/api/v1/namespaces")


@pytest.mark.promise("access-entries")
def test_the_cluster_knows_a_caller_by_name_and_groups(access: ClusterAccess, tmp_path: Path) -> None:
    said = Programs(access, tmp_path, token="reader").kubectl("auth", "whoami")
    assert "Username ada" in said.text
    assert "readers" in said.text
    assert "system:authenticated" in said.text


@pytest.mark.promise("access-entries")
def test_a_group_may_do_what_its_bindings_say_and_nothing_else(access: ClusterAccess, administrator: ApiClient) -> None:
    maps, secrets = "/api/v1/namespaces/default/configmaps", "/api/v1/namespaces/default/secrets"
    assert not allows(access, "reader", "GET", maps)
    rule = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list"]}
    administrator.request(
        "POST", f"{RBAC}/namespaces/default/roles", {"metadata": {"name": "reading"}, "rules": [rule]}
    )
    binding = {
        "metadata": {"name": "reading"},
        "roleRef": {"kind": "Role", "name": "reading", "apiGroup": "rbac.authorization.k8s.io"},
        "subjects": [{"kind": "Group", "name": "readers", "apiGroup": "rbac.authorization.k8s.io"}],
    }
    administrator.request("POST", f"{RBAC}/namespaces/default/rolebindings", binding)
    assert allows(access, "reader", "GET", maps)
    assert not allows(access, "reader", "GET", secrets)
    assert not allows(access, "reader", "GET", "/api/v1/configmaps")
    assert not allows(access, "reader", "POST", maps, {"metadata": {"name": "x"}})


def test_kubectl_tells_what_a_caller_may_do(access: ClusterAccess, tmp_path: Path) -> None:
    reader, administrator = (Programs(access, tmp_path, token=token) for token in ("reader", "administrator"))
    assert reader.kubectl("auth", "can-i", "delete", "pods").text == "no"
    assert administrator.kubectl("auth", "can-i", "delete", "pods").text == "yes"


def test_no_caller_grants_permissions_that_it_does_not_have(access: ClusterAccess, administrator: ApiClient) -> None:
    roles = {"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["clusterroles"], "verbs": ["create"]}
    maps = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}
    administrator.request("POST", f"{RBAC}/clusterroles", {"metadata": {"name": "granting"}, "rules": [roles, maps]})
    binding = {
        "metadata": {"name": "granting"},
        "roleRef": {"kind": "ClusterRole", "name": "granting", "apiGroup": "rbac.authorization.k8s.io"},
        "subjects": [{"kind": "User", "name": "ada", "apiGroup": "rbac.authorization.k8s.io"}],
    }
    administrator.request("POST", f"{RBAC}/clusterrolebindings", binding)
    everything = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}
    more, same = (
        {"metadata": {"name": name}, "rules": [rule]} for name, rule in (("more", everything), ("same", maps))
    )
    assert not allows(access, "reader", "POST", f"{RBAC}/clusterroles", more)
    assert allows(access, "reader", "POST", f"{RBAC}/clusterroles", same)


def test_roles_with_a_label_are_part_of_an_aggregated_role(access: ClusterAccess, administrator: ApiClient) -> None:
    labels = {"rbac.authorization.k8s.io/aggregate-to-view": "true"}
    rule = {"apiGroups": ["kubeflow.org"], "resources": ["notebooks"], "verbs": ["get"]}
    administrator.request(
        "POST", f"{RBAC}/clusterroles", {"metadata": {"name": "n-view", "labels": labels}, "rules": [rule]}
    )
    for _ in range(50):
        if rule in administrator.get(f"{RBAC}/clusterroles/view")["rules"]:
            return
        time.sleep(0.1)
    pytest.fail("the role view does not have the rule")


@pytest.mark.promise("access-entries")
@pytest.mark.parametrize(
    ("token", "method", "path", "allowed"),
    [
        ("viewer", "GET", "/api/v1/configmaps", True),
        ("viewer", "GET", "/api/v1/secrets", False),
        ("viewer", "POST", "/api/v1/namespaces/default/configmaps", False),
        ("editor", "GET", "/api/v1/secrets", True),
        ("editor", "POST", "/api/v1/namespaces/default/configmaps", True),
        ("editor", "GET", f"{RBAC}/roles", False),
        ("auditor", "GET", "/api/v1/secrets", True),
        ("auditor", "POST", "/api/v1/namespaces/default/configmaps", False),
    ],
)
def test_an_access_policy_allows_what_it_is_described_by(
    access: ClusterAccess, token: str, method: str, path: str, allowed: bool
) -> None:
    body = {"metadata": {"name": f"by-{token}"}} if method == "POST" else None
    assert allows(access, token, method, path, body) == allowed

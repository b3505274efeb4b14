"""The weekly restart by which programs read a rotated password, run by kubectl with the rights of its own account."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cdk8s
import pytest

from charts.catalog import Catalog
from charts.kit.objects import namespace
from charts.kit.workloads import container, deployment, pod, resources
from charts.kubeflow.database_access.renewal import LoginRenewal
from kubernetes_rehearsal.client import ApiClient, ApiFailure
from kubernetes_rehearsal.interface import ClusterAccess, Identity
from kubernetes_rehearsal.objects import collection_of, path_of
from tests.kubernetes_rehearsal.kubernetes_apis import APIS, IDENTITIES, MINOR, Programs, client, new_api, offer

TEAM, READERS, OTHER = "churn", ["model-registry", "model-cache"], "notebook"
ACCOUNT = Identity(
    f"system:serviceaccount:{TEAM}:database-login-renewal",
    ("system:serviceaccounts", f"system:serviceaccounts:{TEAM}"),
)
CATALOG = Catalog.load()
RESTARTED = "kubectl.kubernetes.io/restartedAt"


def renewal() -> list[Any]:
    image = CATALOG.images.reference("kubectl")
    app = cdk8s.App(outdir="/dev/null")
    found: list[Any] = LoginRenewal(app, "Renewal", namespace=TEAM, deployments=READERS, image=image).to_json()
    return found


def schedule() -> Any:
    (found,) = [one for one in renewal() if one["kind"] == "CronJob"]
    return found


def arguments() -> list[str]:
    (ran,) = schedule()["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    assert "command" not in ran, "kubectl is what the image runs"
    listed: list[str] = ran["args"]
    return listed


@pytest.fixture(params=APIS)
def access(request: pytest.FixtureRequest) -> Iterator[ClusterAccess]:
    """A cluster with the objects of the restart, two Deployments that read a login, and another one."""
    api = new_api(request.param)
    api.start((IDENTITIES | {"account": ACCOUNT}).get)
    try:
        made = api.create_cluster("test", MINOR)
        administrator = client(made)
        server = pod(container("server", "example.org/server:1", resources=resources(cpu="10m", memory="16Mi")))
        workloads = [deployment(name, TEAM, server) for name in (*READERS, OTHER)]
        for one in (namespace(TEAM), *workloads, *renewal()):
            administrator.request("POST", collection_of(administrator, one), one)
        administrator.close()
        yield made
    finally:
        api.stop()


def restarted(api: ApiClient) -> set[str]:
    """Deployments whose pods are replaced."""
    found = {}
    for name in (*READERS, OTHER):
        about = api.get(f"/apis/apps/v1/namespaces/{TEAM}/deployments/{name}")["spec"]["template"]["metadata"]
        found[name] = RESTARTED in about.get("annotations", {})
    return {name for name, is_ in found.items() if is_}


@pytest.mark.promise("database-logins-renewed")
def test_its_account_restarts_the_readers_of_a_login_and_can_change_nothing_else(
    access: ClusterAccess, tmp_path: Path
) -> None:
    administrator, programs = client(access), Programs(access, tmp_path, token="account")
    try:
        said = programs.kubectl(*arguments())
        assert said.status == 0, said.text
        assert restarted(administrator) == set(READERS)
        refused = programs.kubectl("rollout", "restart", f"--namespace={TEAM}", f"deployment/{OTHER}")
        assert refused.status != 0
        assert "forbidden" in refused.text
        for resource in ("secrets", "pods", "deployments"):
            assert programs.kubectl("get", resource, f"--namespace={TEAM}").status != 0, resource
        assert restarted(administrator) == set(READERS)
    finally:
        administrator.close()


@pytest.mark.promise("database-logins-renewed")
def test_without_its_role_nothing_is_restarted(access: ClusterAccess, tmp_path: Path) -> None:
    administrator = client(access)
    try:
        (bound,) = [one for one in renewal() if one["kind"] == "RoleBinding"]
        administrator.request("DELETE", path_of(administrator, bound))
        said = Programs(access, tmp_path, token="account").kubectl(*arguments())
        assert said.status != 0
        assert restarted(administrator) == set()
    finally:
        administrator.close()


@pytest.mark.promise("database-logins-renewed")
def test_a_login_is_read_at_least_three_times_while_the_former_password_is_valid() -> None:
    """Passwords are rotated every 30 days, and the former one is valid until the next rotation."""
    minute, hour, *days, weekday = schedule()["spec"]["schedule"].split()
    assert (minute.isdigit(), hour.isdigit(), days, weekday.isdigit()) == (True, True, ["*", "*"], True), "weekly"
    assert schedule()["spec"]["timeZone"] == "Etc/UTC"


def test_a_schedule_with_a_wrong_field_is_refused(access: ClusterAccess) -> None:
    administrator = client(access)
    try:
        good = {**schedule(), "metadata": {**schedule()["metadata"], "name": "other"}}
        assert offer(administrator, good) == "CronJob"
        with pytest.raises(ApiFailure, match="schedule"):
            offer(administrator, {**good, "spec": {**good["spec"], "schedule": "every week"}})
    finally:
        administrator.close()

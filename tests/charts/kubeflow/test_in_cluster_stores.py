"""The database and the object store inside the cluster: generated secrets, named clients, nothing open."""

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion

from charts.kit.chart import pod_specs
from charts.kit.listed_images import unlisted_objects
from tests.charts.kubeflow.runs import CATALOG, stores
from tests.outlines import outline

ARN = "arn:aws:secretsmanager:eu-west-1:111111111111:secret:store-AbCdEf"
CLIENTS = ["ml-pipeline", "metadata-grpc-server"]


@pytest.fixture(params=["mysql", "seaweedfs"])
def objects(request: pytest.FixtureRequest) -> list[Any]:
    return stores()[request.param].to_json()


def of_kind(objects: list[Any], kind: str) -> Any:
    [found] = [one for one in objects if one["kind"] == kind]
    return found


def test_objects(objects: list[Any], snapshot: SnapshotAssertion) -> None:
    assert outline(objects) == snapshot


def test_every_password_of_the_database_comes_from_the_generated_secret() -> None:
    objects = stores()["mysql"].to_json()
    [found] = [one for one in objects if (one["kind"], one["metadata"]["name"]) == ("SecretProviderClass", "mysql")]
    [spec] = pod_specs(of_kind(objects, "StatefulSet"))
    variables = spec["containers"][0]["env"]
    assert len(variables) == 3
    assert all(each["valueFrom"]["secretKeyRef"]["name"] == found["metadata"]["name"] for each in variables)
    assert ARN in found["spec"]["parameters"]["objects"]
    assert any("csi" in volume for volume in spec["volumes"])


def written_users(tmp_path: Path, secrets: Mapping[str, str]) -> Any:
    """What the container of the store writes, run with files in the places of its volumes."""
    objects = stores()["seaweedfs"].to_json()
    [spec] = pod_specs(of_kind(objects, "StatefulSet"))
    [writing] = spec["initContainers"]
    folders = {mount["mountPath"]: tmp_path / mount["name"] for mount in writing["volumeMounts"]}
    for folder in folders.values():
        folder.mkdir()
    (actions,) = [one for one in objects if one["kind"] == "ConfigMap"]
    for user, allowed in actions["data"].items():
        (folders["/actions"] / user).write_text(allowed, encoding="utf-8")
    for user, secret in secrets.items():
        (folders["/keys"] / user).write_text(secret, encoding="utf-8")
    script = writing["command"][2]
    for path, folder in folders.items():
        script = script.replace(f"{path}/", f"{folder}/")
    subprocess.run(["sh", "-c", script, *writing["command"][3:]], check=True)
    return json.loads((folders["/etc/seaweedfs-users"] / "s3.json").read_text(encoding="utf-8"))


@pytest.mark.promise("team-isolation")
def test_each_team_has_keys_of_its_own_for_its_own_prefix(tmp_path: Path) -> None:
    users = ("kubeflow", "churn", "fraud")
    secrets = {user: json.dumps({"accessKey": user, "secretKey": f"secret-of-{user}"}) for user in users}
    found = {one["name"]: one for one in written_users(tmp_path, secrets)["identities"]}
    assert {name: one["credentials"] for name, one in found.items()} == {
        user: [{"accessKey": user, "secretKey": f"secret-of-{user}"}] for user in users
    }
    assert found["kubeflow"]["actions"] == ["Admin"]
    for team, other in (("churn", "fraud"), ("fraud", "churn")):
        assert may(found[team]["actions"], "Read", f"mlpipeline/{team}/pipelines/model")
        assert may(found[team]["actions"], "Write", f"mlpipeline/{team}/pipelines/model")
        for action in ("Read", "Write", "Tagging", "Admin"):
            assert not may(found[team]["actions"], action, f"mlpipeline/{other}/pipelines/model")
            assert not may(found[team]["actions"], action, f"mlpipeline/{team}2/pipelines/model")


def may(actions: list[str], action: str, key: str) -> bool:
    """As the server decides: an action alone, of a bucket, or of keys that start with what stands before a star."""
    bucket = key.partition("/")[0]
    return any(
        each in ("Admin", action, f"{action}:{bucket}")
        or (each.endswith("*") and f"{action}:{key}".startswith(each[:-1]))
        for each in actions
    )


def test_a_new_team_starts_the_store_again() -> None:
    """It reads its users when it starts."""
    [spec] = pod_specs(of_kind(stores()["seaweedfs"].to_json(), "StatefulSet"))
    assert spec["initContainers"][0]["command"][-2:] == ["churn", "fraud"]


def test_images_are_listed(objects: list[Any]) -> None:
    assert list(unlisted_objects(objects, CATALOG.images)) == []


def test_only_named_clients_and_pods_of_teams_may_connect(objects: list[Any]) -> None:
    peers = of_kind(objects, "NetworkPolicy")["spec"]["ingress"][0]["from"]
    labels = [peer["podSelector"]["matchLabels"] for peer in peers if "namespaceSelector" not in peer]
    assert [label["app.kubernetes.io/name"] for label in labels] == CLIENTS


def test_of_the_pods_of_a_team_only_its_model_registry_connects_to_the_database() -> None:
    peers = of_kind(stores()["mysql"].to_json(), "NetworkPolicy")["spec"]["ingress"][0]["from"]
    elsewhere = [peer for peer in peers if "namespaceSelector" in peer]
    assert elsewhere == [
        {
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": team}},
            "podSelector": {"matchLabels": {"app.kubernetes.io/name": "model-registry"}},
        }
        for team in ("churn", "fraud")
    ]


def test_the_database_admits_named_service_accounts_alone() -> None:
    policy = of_kind(stores()["mysql"].to_json(), "AuthorizationPolicy")["spec"]
    principals = policy["rules"][0]["from"][0]["source"]["principals"]
    registries = [f"cluster.local/ns/{team}/sa/model-registry-server" for team in ("churn", "fraud")]
    assert principals == [*(f"cluster.local/ns/kubeflow/sa/{client}" for client in CLIENTS), *registries]


def mysql_pod() -> Any:
    [spec] = pod_specs(of_kind(stores()["mysql"].to_json(), "StatefulSet"))
    return spec


@pytest.mark.promise("model-registry", "team-isolation")
def test_each_model_registry_owns_one_database_and_reaches_no_other(tmp_path: Path) -> None:
    [writing] = mysql_pod()["initContainers"]
    for name in ("modelschurn", "modelsfraud"):
        (tmp_path / name).write_text(f"password0of0{name}", encoding="utf-8")
    script = writing["command"][2].replace("/passwords/", f"{tmp_path}/").replace("/etc/mysql-owners/", f"{tmp_path}/")
    subprocess.run([*writing["command"][:2], script, *writing["command"][3:]], check=True)
    written = (tmp_path / "owners.sql").read_text(encoding="utf-8").splitlines()
    assert written == [
        line
        for name in ("modelschurn", "modelsfraud")
        for line in (
            f"CREATE DATABASE IF NOT EXISTS {name};",
            f"CREATE USER IF NOT EXISTS '{name}'@'%' IDENTIFIED BY 'password0of0{name}';",
            f"ALTER USER '{name}'@'%' IDENTIFIED BY 'password0of0{name}';",
            f"GRANT ALL ON {name}.* TO '{name}'@'%';",
        )
    ]


@pytest.mark.promise("model-registry")
@pytest.mark.parametrize("used", [False, True], ids=["empty disk", "used disk"])
def test_a_used_disk_gets_new_owners_when_the_server_starts(tmp_path: Path, used: bool) -> None:
    """On an empty disk the server refuses users in that file, and the image's own scripts create them."""
    [server] = mysql_pod()["containers"]
    entry = tmp_path / "docker-entrypoint.sh"
    entry.write_text('#!/bin/sh\necho "$@"\n', encoding="utf-8")
    entry.chmod(0o755)
    if used:
        (tmp_path / "mysql").mkdir()
    script = server["command"][2].replace("/var/lib/mysql/", f"{tmp_path}/")
    ran = subprocess.run(
        [*server["command"][:2], script, *server["command"][3:], *server["args"]],
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        check=True,
        capture_output=True,
        text=True,
    )
    assert ran.stdout.split()[: len(server["args"]) + 1] == ["mysqld", *server["args"]]
    assert ("--init-file=/etc/mysql-owners/owners.sql" in ran.stdout) is used
    first = of_kind(stores()["mysql"].to_json(), "ConfigMap")["data"]["databases.sh"]
    assert "docker_process_sql < /etc/mysql-owners/owners.sql" in first


def test_a_database_is_created_for_each_service_and_granted_to_one_user() -> None:
    script = of_kind(stores()["mysql"].to_json(), "ConfigMap")["data"]["databases.sh"]
    assert "for name in mlpipeline metadb; do" in script
    assert "GRANT ALL ON $name.* TO '$MYSQL_USER'@'%'" in script


def test_data_is_on_a_disk_that_outlives_the_pod(objects: list[Any]) -> None:
    [claim] = of_kind(objects, "StatefulSet")["spec"]["volumeClaimTemplates"]
    assert claim["spec"]["resources"]["requests"]["storage"] == "20Gi"
    assert "emptyDir" not in json.dumps(claim)

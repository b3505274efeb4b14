"""Katib: its kinds of trials exist, its programs pass the restricted level, its database is reached as it must be."""

import json
from typing import Any

import cdk8s
import pytest

from charts.catalog import Catalog
from charts.kit.stores import Database
from charts.kubeflow.katib.objects import TRAIN_JOB, TRAINING_JOBS, Katib

CATALOG = Catalog.load()
DATABASE = Database(host="db.example.org", name="katib", secret="katib-database")


def objects(**changes: Any) -> list[Any]:
    given = {
        "images": CATALOG.images,
        "database": DATABASE,
        "gateway": "kubeflow/kubeflow-gateway",
        "placement": {},
        **changes,
    }
    return Katib(cdk8s.App(outdir="/dev/null"), "Katib", **given).to_json()


def configuration(found: list[Any]) -> Any:
    (stored,) = (one for one in found if one["kind"] == "ConfigMap" and one["metadata"]["name"] == "katib-config")
    return json.loads(stored["data"]["katib-config.yaml"])


def manager(found: list[Any]) -> Any:
    (one,) = (one for one in found if one["kind"] == "Deployment" and one["metadata"]["name"] == "katib-db-manager")
    return one["spec"]["template"]["spec"]


def variables(pod: Any) -> dict[str, Any]:
    return {one["name"]: one.get("value", one.get("valueFrom")) for one in pod["containers"][0]["env"]}


@pytest.mark.parametrize("kind", [TRAIN_JOB, *TRAINING_JOBS], ids=lambda kind: kind.kind)
def test_a_trial_names_the_version_that_the_definition_of_its_kind_serves(kind: Any) -> None:
    """Katib's own configuration names MPIJob v1, which the platform does not serve."""
    (served,) = (
        definition["spec"]["versions"]
        for component in CATALOG.components.values()
        for definition in component.definitions
        if definition["metadata"]["name"] == f"{kind.plural}.{kind.group}"
    )
    assert kind.version in [version["name"] for version in served if version["served"]]


def test_the_controller_may_run_the_kinds_of_trials_that_it_watches_and_no_others() -> None:
    found = objects(kinds=[TRAIN_JOB])
    assert configuration(found)["init"]["controller"]["trialResources"] == ["TrainJob.v1alpha1.trainer.kubeflow.org"]
    (role,) = (one for one in found if one["kind"] == "ClusterRole" and one["metadata"]["name"] == "katib-controller")
    allowed = {resource for rule in role["rules"] for resource in rule["resources"]}
    assert "trainjobs" in allowed
    assert not {"jobs", "tfjobs", "pytorchjobs", "mpijobs"} & allowed


@pytest.mark.promise("experiments")
def test_every_algorithm_runs_in_namespaces_of_the_restricted_level() -> None:
    for suggestion in configuration(objects(shared_storage_class="efs"))["runtime"]["suggestions"]:
        context = suggestion["securityContext"]
        assert context["runAsNonRoot"] is True
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}


def test_a_collector_of_metrics_takes_the_security_context_of_its_trial() -> None:
    assert configuration(objects())["init"]["controller"]["injectSecurityContext"] is True


def test_early_stopping_is_omitted_with_the_rights_that_it_would_need() -> None:
    found = objects()
    assert "earlyStoppings" not in configuration(found)["runtime"]
    for role in (one for one in found if one["kind"] == "ClusterRole"):
        for rule in role["rules"]:
            assert not {"roles", "rolebindings", "serviceaccounts", "secrets"} & set(rule["resources"])


def test_population_based_training_needs_a_volume_that_many_pods_write() -> None:
    names = [one["algorithmName"] for one in configuration(objects())["runtime"]["suggestions"]]
    assert "pbt" not in names
    offered = configuration(objects(shared_storage_class="efs"))["runtime"]["suggestions"]
    (claim,) = (one["persistentVolumeClaimSpec"] for one in offered if one["algorithmName"] == "pbt")
    assert (claim["storageClassName"], claim["accessModes"]) == ("efs", ["ReadWriteMany"])


def test_the_password_comes_from_a_secret_and_no_user_is_root() -> None:
    found = variables(manager(objects()))
    assert found["DB_PASSWORD"] == {"secretKeyRef": {"name": "katib-database", "key": "password"}}
    assert found["DB_USER"] == {"secretKeyRef": {"name": "katib-database", "key": "username"}}


@pytest.mark.promise("experiments")
def test_the_connection_is_encrypted_where_the_database_has_authorities() -> None:
    pod = manager(objects(database=Database(host="h", name="katib", secret="s", authorities="rds")))
    assert variables(pod)["KATIB_MYSQL_DB_DATABASE"].startswith("katib?tls=true&")
    assert variables(pod)["SSL_CERT_DIR"] in [mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]]
    assert variables(manager(objects()))["KATIB_MYSQL_DB_DATABASE"] == "katib"


def test_only_the_controller_the_web_page_and_namespaces_with_trials_reach_the_manager() -> None:
    (policy,) = (
        one for one in objects() if one["kind"] == "NetworkPolicy" and one["metadata"]["name"] == "katib-db-manager"
    )
    (rule,) = policy["spec"]["ingress"]
    names = [peer.get("podSelector", {}).get("matchLabels", {}).get("app.kubernetes.io/name") for peer in rule["from"]]
    assert names == ["katib-controller", "katib-ui", None]
    assert rule["from"][2]["namespaceSelector"] == {
        "matchLabels": {"katib.kubeflow.org/metrics-collector-injection": "enabled"}
    }


def test_a_database_in_the_cluster_admits_the_manager_by_its_service_account() -> None:
    found = objects()
    pod = manager(found)
    assert (pod["serviceAccountName"], pod["automountServiceAccountToken"]) == ("katib-db-manager", False)
    (deployment,) = (
        one for one in found if one["kind"] == "Deployment" and one["metadata"]["name"] == "katib-db-manager"
    )
    assert deployment["spec"]["template"]["metadata"]["labels"]["sidecar.istio.io/inject"] == "true"


def test_trials_outside_of_the_mesh_reach_the_port_of_the_manager_and_no_other() -> None:
    (accepts,) = (one for one in objects() if one["kind"] == "PeerAuthentication")
    assert accepts["spec"] == {
        "selector": {"matchLabels": {"app.kubernetes.io/name": "katib-db-manager"}},
        "mtls": {"mode": "STRICT"},
        "portLevelMtls": {"6789": {"mode": "PERMISSIVE"}},
    }


def test_the_web_page_asks_the_api_server_what_a_person_may_do_and_writes_no_configuration() -> None:
    found = objects()
    (role,) = (one for one in found if one["kind"] == "ClusterRole" and one["metadata"]["name"] == "katib-ui")
    rights = {resource: rule["verbs"] for rule in role["rules"] for resource in rule["resources"]}
    assert rights["subjectaccessreviews"] == ["create"]
    assert rights["configmaps"] == ["get", "list"]
    (page,) = (one for one in found if one["kind"] == "Deployment" and one["metadata"]["name"] == "katib-ui")
    assert variables(page["spec"]["template"]["spec"])["APP_DISABLE_AUTH"] == "false"

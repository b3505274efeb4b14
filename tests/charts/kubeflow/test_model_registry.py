"""The model registry: one for each team, reached by the team and by the web page alone."""

from typing import Any

import cdk8s

from charts.kit.stores import Database
from charts.kubeflow.model_registry.objects import ModelRegistry, ModelRegistryPage

IMAGE = "r.io/registry:1"


def registry(namespace: str, **database: Any) -> dict[str, Any]:
    given = Database(**{"host": "db.example.org", "name": "models", "secret": "model-registry-database", **database})
    app = cdk8s.App(outdir="/dev/null")
    chart = ModelRegistry(app, "Registry", namespace=namespace, image=IMAGE, database=given)
    return {found["kind"]: found for found in chart.to_json()}


def arguments(found: dict[str, Any]) -> list[str]:
    listed: list[str] = found["Deployment"]["spec"]["template"]["spec"]["containers"][0]["args"]
    return listed


def test_everything_of_a_registry_is_in_the_namespace_of_its_team() -> None:
    assert {found["metadata"]["namespace"] for found in registry("vision").values()} == {"vision"}


def test_only_the_team_and_the_web_page_reach_a_registry() -> None:
    found = registry("vision")
    assert found["AuthorizationPolicy"]["spec"]["rules"] == [
        {"from": [{"source": {"principals": ["cluster.local/ns/kubeflow/sa/model-registry-ui"]}}]},
        {"from": [{"source": {"namespaces": ["vision"]}}]},
    ]
    (rule,) = found["NetworkPolicy"]["spec"]["ingress"]
    places = [peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"] for peer in rule["from"]]
    assert places == ["kubeflow", "vision"]
    assert "VirtualService" not in found


def test_a_registry_has_no_token_of_the_api_server() -> None:
    found = registry("vision")
    assert found["Deployment"]["spec"]["template"]["spec"]["automountServiceAccountToken"] is False
    assert not {"Role", "ClusterRole"} & found.keys()


def test_the_password_is_in_no_argument_and_the_connection_is_encrypted_where_it_can_be() -> None:
    (plain,) = (one for one in arguments(registry("vision")) if "dsn" in one)
    assert plain.endswith("=$(DB_USER):$(DB_PASSWORD)@tcp(db.example.org:3306)/models?charset=utf8mb4&parseTime=true")
    encrypted = registry("vision", authorities="rds")
    (address,) = (one for one in arguments(encrypted) if "dsn" in one)
    assert address.endswith("&tls=true")
    variables = encrypted["Deployment"]["spec"]["template"]["spec"]["containers"][0]["env"]
    assert "SSL_CERT_DIR" in [one["name"] for one in variables]


def test_the_web_page_finds_registries_and_asks_what_a_person_may_do() -> None:
    chart = ModelRegistryPage(
        cdk8s.App(outdir="/dev/null"), "Page", image=IMAGE, gateway="kubeflow/kubeflow-gateway", placement={}
    )
    found = {one["kind"]: one for one in chart.to_json()}
    rights = {resource: rule["verbs"] for rule in found["ClusterRole"]["rules"] for resource in rule["resources"]}
    assert rights["services"] == ["get", "list", "watch"]
    assert rights["subjectaccessreviews"] == ["create"]
    assert registry("vision")["Service"]["metadata"]["labels"]["component"] == "model-registry"

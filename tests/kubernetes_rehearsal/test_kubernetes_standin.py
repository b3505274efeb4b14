"""Parts of the stand-in that are easier to test without a running cluster."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from kubernetes_rehearsal.reports import REPORTS, certified, missing_status
from kubernetes_rehearsal.standin import cel, formats
from kubernetes_rehearsal.standin.cron import schedule
from kubernetes_rehearsal.standin.errors import ApiError
from kubernetes_rehearsal.standin.kinds import built_in_types
from kubernetes_rehearsal.standin.requests import Target, parse_target
from kubernetes_rehearsal.standin.schema import definitions
from tests.kubernetes_rehearsal.kubernetes_apis import MINOR, client, cluster, needs_kube_apiserver


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("500m", Decimal("0.5")),
        ("2Gi", Decimal(2**31)),
        ("1.5", Decimal("1.5")),
        ("3k", Decimal(3000)),
        ("1e3", Decimal(1000)),
        (".5", Decimal("0.5")),
        (7, Decimal(7)),
        ("1GB", None),
        ("1 Gi", None),
        ("", None),
        (True, None),
    ],
)
def test_quantities_are_numbers_with_a_suffix(text: Any, number: Decimal | None) -> None:
    assert formats.quantity(text) == number


@pytest.mark.parametrize("text", ["*/15 2-4 * * mon-fri", "0 0 1,15 jan ?", "@hourly", "@every 1h30m", "59 23 31 12 6"])
def test_schedules_have_five_fields_or_a_descriptor(text: str) -> None:
    assert schedule(text) is None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("* * * *", "expected exactly 5 fields, found 4"),
        ("60 * * * *", "above maximum (59)"),
        ("* * 0 * *", "below minimum (1)"),
        ("* 5-2 * * *", "beyond end of range"),
        ("*/0 * * * *", "step of range should be a positive number"),
        ("* * * someday *", "failed to parse int from someday"),
        ("@midweek", "unrecognized descriptor"),
    ],
)
def test_a_wrong_schedule_is_explained(text: str, why: str) -> None:
    assert why in (schedule(text) or "")


@pytest.mark.parametrize(
    ("rule", "value", "holds"),
    [
        ("self.a < self.b", {"a": 1, "b": 2}, True),
        ("!has(self.a) || self.a == 'x'", {}, True),
        ("self.all(one, one.startsWith('a'))", ["ab", "ac"], True),
        ("self.exists_one(one, one.size() > 1)", ["a", "bc", "de"], False),
        ("self.find('^[^@]+') == 'al2023'", "al2023@latest", True),
        ("self.split('@')[1] == 'latest'", "al2023@v1", False),
        ("duration(self) >= duration('1ms')", "5s", True),
        ("url(self).getScheme() in ['https']", "http://a.b", False),
        ("quantity(self).isGreaterThan(quantity('900Mi'))", "1Gi", True),
        ("self.matches('^a+$') ? true : false", "aaa", True),
    ],
)
def test_validation_rules_are_evaluated(rule: str, value: Any, holds: bool) -> None:
    assert cel.compile_rule(rule) is None
    assert cel.evaluate(rule, {"self": value}) is holds


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        ("self.a >", "parse"),
        ("self.a.oops()", "undeclared reference to 'oops'"),
        ("other.a", "undeclared reference to 'other'"),
    ],
)
def test_a_rule_that_does_not_compile_is_explained(rule: str, why: str) -> None:
    assert why in (cel.compile_rule(rule) or "")


def test_a_rule_fails_on_a_field_that_does_not_exist() -> None:
    with pytest.raises(cel.RuleError, match="a"):
        cel.evaluate("self.a == 1", {"self": {}})


def test_a_rule_cannot_read_a_field_that_the_schema_does_not_have() -> None:
    text = {"type": "string"}
    schema = {"type": "object", "properties": {"a": {"type": "object", "properties": {"b": text}}, "my-field": text}}
    assert cel.undefined_field("self.a.b == 'self.x' && self.my__dash__field.size() > 0", schema) is None
    assert cel.undefined_field("has(self.a) && self.a.c == ''", schema) == "undefined field 'c'"
    assert cel.undefined_field("oldSelf.z == 1", schema) == "undefined field 'z'"
    assert (
        cel.undefined_field("self.a.c == ''", {"type": "object", "x-kubernetes-preserve-unknown-fields": True}) is None
    )


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("api/v1/namespaces", Target("", "v1", "namespaces")),
        ("api/v1/namespaces/team", Target("", "v1", "namespaces", name="team")),
        ("api/v1/namespaces/team/finalize", Target("", "v1", "namespaces", name="team", subresource="finalize")),
        ("api/v1/namespaces/team/pods", Target("", "v1", "pods", "team")),
        ("apis/apps/v1/namespaces/a/deployments/b/scale", Target("apps", "v1", "deployments", "a", "b", "scale")),
        ("apis/apps/v1/deployments", Target("apps", "v1", "deployments")),
    ],
)
def test_a_path_names_its_target(path: str, target: Target) -> None:
    assert parse_target(path.split("/")) == target


@pytest.mark.parametrize("path", ["metrics", "api/v1", "apis/apps/v1", "apis/a/v1/namespaces/b/c/d/e/f"])
def test_other_paths_are_not_found(path: str) -> None:
    with pytest.raises(ApiError, match="could not find the requested resource"):
        parse_target(path.split("/"))


def test_every_served_kind_has_a_schema() -> None:
    known = definitions(MINOR)
    assert not [kind for kind in built_in_types() if not known.has_kind(kind.group, kind.version, kind.kind)]


@needs_kube_apiserver
def test_the_stand_in_describes_its_kinds_as_kube_apiserver_does() -> None:
    served = {}
    with cluster("kube-apiserver") as access:
        asked = client(access)
        for version in {kind.api_version for kind in built_in_types()}:
            for one in asked.get(f"/apis/{version}" if "/" in version else f"/api/{version}")["resources"]:
                served[(version, one["name"])] = one
    for kind in built_in_types():
        real = served[(kind.api_version, kind.plural)]
        assert (real["kind"], real["namespaced"]) == (kind.kind, kind.namespaced)
        assert real["singularName"] == kind.singular
        assert sorted(real["verbs"]) == sorted(kind.verbs)
        assert (real.get("shortNames", []), real.get("categories", [])) == (
            list(kind.short_names),
            list(kind.categories),
        )


@pytest.mark.parametrize("collection", REPORTS)
def test_a_report_is_made_once(collection: str) -> None:
    metadata = {"name": "x", "namespace": "y", "generation": 2}
    found: dict[str, Any] = {
        "metadata": metadata,
        "spec": {"type": "LoadBalancer", "replicas": 3, "service": {"name": "x"}},
    }
    found["status"] = missing_status(collection, found, datetime(2026, 1, 1, tzinfo=UTC))
    assert found["status"]
    assert missing_status(collection, found, datetime(2026, 1, 2, tzinfo=UTC)) == {}


def test_an_api_of_the_server_itself_is_not_reported_as_available() -> None:
    assert missing_status("/apis/apiregistration.k8s.io/v1/apiservices", {"metadata": {}, "spec": {}}) == {}


def test_a_suspended_job_is_not_reported_as_done() -> None:
    assert missing_status("/apis/batch/v1/jobs", {"metadata": {}, "spec": {"suspend": True}}) == {}


def test_a_webhook_keeps_the_certificate_authority_that_it_has() -> None:
    webhooks = [{"name": "a", "clientConfig": {"caBundle": "mine"}}, {"name": "b", "clientConfig": {}}]
    filled = certified({"webhooks": webhooks})
    assert filled
    assert filled[0] == webhooks[0]
    assert filled[1]["clientConfig"]["caBundle"]
    assert certified({"webhooks": webhooks[:1]}) is None

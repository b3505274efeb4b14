"""The tables of subjects and rules are complete: nothing of the platform is without one."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from charts.catalog import Catalog
from config.loader import account_names
from delivery.assembly import stacks_of
from delivery.gate import kinds
from delivery.gate.kubernetes import objects
from delivery.gate.rules import rules
from delivery.gate.specification import Specification
from delivery.gate.structure import leaves, names_of, structured
from delivery.gate.subjects import belongs_to, entries, names_in, subject_at, subject_of, types
from delivery.gate.templates import Resource, side


@pytest.fixture(scope="module")
def specification() -> Specification:
    return Specification.load()


@pytest.fixture(scope="module")
def resources(assembly: Path) -> tuple[Resource, ...]:
    """Every resource of every account."""
    return tuple(one for name in account_names() for one in side(stacks_of(name, assembly)).resources())


def types_of_the_assembly(assembly: Path) -> Iterator[str]:
    for path in assembly.rglob("*.template.json"):
        for resource in json.loads(path.read_text(encoding="utf-8")).get("Resources", {}).values():
            yield resource["Type"]


@pytest.mark.promise("gate")
def test_every_type_of_the_platform_has_a_subject(assembly: Path) -> None:
    assert set(types_of_the_assembly(assembly)) <= types()


@pytest.mark.promise("gate")
def test_every_property_of_the_platform_has_a_subject(
    resources: tuple[Resource, ...], specification: Specification
) -> None:
    without = {
        (one.type, names_of(difference.place))
        for one in resources
        for difference in leaves({}, structured(one.properties))
        if subject_at(one.type, names_of(difference.place), specification) is None
    }
    assert not without, "add them to delivery/gate/subjects"


@pytest.mark.promise("gate")
def test_every_property_that_a_type_of_the_platform_may_have_has_a_subject(specification: Specification) -> None:
    without = {
        (type, name)
        for type in types()
        for name in specification.properties_of(type)
        if subject_at(type, (name,), specification) is None
    }
    assert not without, "add them to delivery/gate/subjects"


def test_every_kind_that_the_platform_applies_or_defines_is_known(assembly: Path) -> None:
    applied = {one.kind for name in account_names() for one in objects(side(stacks_of(name, assembly))).values()}
    defined = {
        definition["spec"]["names"]["kind"]
        for component in Catalog.load().components.values()
        for definition in component.definitions
    }
    assert applied
    assert {kind for kind in applied | defined if not kinds.subject_of(kind)} == set(), "add them to kinds.toml"


def test_every_line_of_the_tables_is_about_a_property_that_exists(specification: Specification) -> None:
    for type, names in entries():
        if type.startswith("AWS::"):
            pattern = re.compile(re.escape(names[0]).replace(r"\*", ".*"))
            assert any(pattern.fullmatch(name) for name in specification.properties_of(type)), f"{type}: {names[0]}"


def test_every_property_that_names_what_a_resource_belongs_to_exists(specification: Specification) -> None:
    for type in types():
        if name := belongs_to(type):
            assert name in specification.properties_of(type), f"{type}: {name}"


def test_every_rule_is_about_a_type_that_has_a_subject() -> None:
    assert {type for rule in rules() for type in rule.types} <= types()


def test_an_unknown_type_and_an_unknown_property_have_no_subject(specification: Specification) -> None:
    assert subject_of("AWS::New::Thing") is None
    assert subject_at("AWS::S3::Bucket", ("NewSwitch",), specification) is None


def test_the_longest_name_counts(specification: Specification) -> None:
    def at(*place: str) -> str:
        return str(subject_at("AWS::ElasticLoadBalancingV2::LoadBalancer", place, specification))

    assert at("LoadBalancerAttributes", "new.attribute") == "protection"
    assert at("LoadBalancerAttributes", "access_logs.s3.enabled") == "record"
    assert at("LoadBalancerAttributes", "deletion_protection.enabled") == "data"


def test_a_path_names_properties_and_keys() -> None:
    assert names_in("A.B[c.d].E") == ("A", "B", "c.d", "E")


DECIDING = re.compile(
    r"Role(Arn|ARN)?|.*(RoleArn|RoleARN)|.*Credentials?|Auth|AccessConfigs|InsecureSsl|EncryptionDisabled|.*KMSKeyArn|.*KmsKeyId"
    r"|SecurityGroup(Id)?s|AssignPublicIp|Privileged.*|PubliclyAccessible"
)
"""Names of properties that decide who may do something, from where it is reached, or whether it is encrypted."""


def deciding(specification: Specification, type: str) -> Iterator[tuple[str, ...]]:
    """The places below a type whose name is one of these, to the depth of five."""
    waiting: list[tuple[str, ...]] = [(name,) for name in specification.properties_of(type)]
    while waiting:
        place = waiting.pop()
        if DECIDING.fullmatch(place[-1]):
            yield place
        if len(place) < 5:
            waiting += [(*place, name) for name in specification.properties_at(type, place)]


@pytest.mark.promise("gate")
def test_no_property_that_decides_who_may_do_what_counts_as_mere_operation(specification: Specification) -> None:
    mere = {"operation", "capacity", "cosmetic"}
    found = {
        f"{type} {'.'.join(place)}"
        for type in types()
        for place in deciding(specification, type)
        if subject_at(type, place, specification) in mere
    }
    assert not found, "give them another subject in delivery/gate/subjects"

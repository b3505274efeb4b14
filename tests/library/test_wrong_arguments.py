"""Arguments that Python accepts and AWS would misinterpret are refused at the call, with place, value and fix."""

from collections.abc import Callable
from contextlib import nullcontext as does_not_raise
from datetime import timedelta
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_iam as iam

import mlplatform_constructs as lib
from tests.sign_in import network, user_pool

ZONES = ["eu-west-1a", "eu-west-1b"]
ANY: Any = object()


def reader(stack: cdk.Stack) -> iam.Role:
    return iam.Role(stack, "Reader", assumed_by=iam.AccountRootPrincipal())


def group(**changes: Any) -> lib.FeatureGroup:
    count = lib.Feature(name="orders", aggregate="count", of="price", window=timedelta(hours=1))
    given: dict[str, Any] = {
        "name": "orders",
        "entity": "customer",
        "event_id": "order",
        "event_time": "at",
        "measures": {"price": "double"},
        "online": (count,),
    }
    return lib.FeatureGroup(**{**given, **changes})


WRONG: dict[str, tuple[Callable[[cdk.Stack], object], str]] = {
    "text for a list of zones": (
        lambda stack: lib.Network(stack, "Net", availability_zones="eu-west-1a"),
        "Test/Net: availability_zones must be a list, got 'eu-west-1a'",
    ),
    "a word for an enumeration": (
        lambda stack: lib.Network(stack, "Net", availability_zones=ZONES, nat_gateways="single"),  # type: ignore[arg-type]
        "Test/Net: nat_gateways must be a NatGateways, got 'single'",
    ),
    "a number as text": (
        lambda stack: lib.DataBucket(stack, "Data", restore_days="90"),  # type: ignore[arg-type]
        "Test/Data: restore_days must be a whole number, got '90'",
    ),
    "none for a name": (
        lambda stack: lib.HostedZones(stack, "Zones", domain=None, vpc=network(stack)),  # type: ignore[arg-type]
        "Test/Zones: domain must be text, got None",
    ),
    "a misspelt literal": (
        lambda stack: user_pool(stack, threat_protection="enforce"),
        "Test/Users: threat_protection must be .* got 'enforce'; did you mean 'enforced'",
    ),
    "a prefix that is one object": (
        lambda stack: lib.DataBucket(stack, "Data").grant_read(reader(stack), "churn/"),
        "Test/Data: prefix must end with '\\*', got 'churn/', which is one object; use 'churn/\\*'",
    ),
    "a name for a grantee": (
        lambda stack: lib.DataBucket(stack, "Data").grant_read("trainer"),  # type: ignore[arg-type]
        "Test/Data: grantee must be an? IGrantable, got 'trainer'",
    ),
    "text for package names": (
        lambda stack: lib.PackageRepository(stack, "Packages", domain_name="acme", own_packages="forecasts"),
        "Test/Packages: own_packages must be a list, got 'forecasts'",
    ),
    "no ARN for a role": (
        lambda stack: lib.CollectedData(
            stack, "Collected", source=lib.CollectedDataSource.held(writer_role_arns=["arn:aws:s3:::role/x"])
        ),
        "Test/Collected: writer_role_arns must be an ARN such as arn:aws:iam::123456789012:role/NAME",
    ),
    "no ARN for a person": (
        lambda stack: lib.PersonTrust.principal("ben"),
        "trust: arn must be an ARN such as .*user/NAME, got 'ben'",
    ),
    "a tag for a digest": (lambda stack: lib.PinnedImage(ANY, "latest"), "image: "),
    "an aggregate that does not exist": (
        lambda stack: lib.Feature(name="p99", aggregate="p99", of="price", window=timedelta(hours=1)),  # type: ignore[arg-type]
        "feature 'p99': aggregate must be .* got 'p99'",
    ),
    "a window in seconds": (
        lambda stack: lib.Feature(name="orders", aggregate="count", of="price", window=3600),  # type: ignore[arg-type]
        "feature 'orders': window must be a timedelta, got 3600",
    ),
    "one feature for a tuple": (
        lambda stack: group(online=group().online[0]),
        "feature group 'orders': online must be a list",
    ),
    "a type that is none": (
        lambda stack: group(measures={"price": "float"}),
        "feature group 'orders': measures has at 'price' a value that must be .* got 'float'",
    ),
    "a CDK bucket for ours": (
        lambda stack: lib.FeatureStore(stack, "Store", bucket=cdk.aws_s3.Bucket(stack, "B"), groups=[group()]),  # type: ignore[arg-type]
        "Test/Store: bucket must be a DataBucket",
    ),
    "no group": (
        lambda stack: lib.FeatureStore(stack, "Store", bucket=lib.DataBucket(stack, "B"), groups=[]),
        "Test/Store: groups must be one or more, got none",
    ),
    "text for addresses of DNS servers": (
        lambda stack: lib.DirectoryConnector(
            stack, "Ad", vpc=network(stack), domain_name="corp.example.com", dns_ips="10.0.0.2", credentials=ANY
        ),
        "Test/Ad: dns_ips must be a list, got '10.0.0.2'",
    ),
    "a truth as text": (
        lambda stack: lib.Bastion(stack, "Bastion", vpc=network(stack), highly_available="false"),  # type: ignore[arg-type]
        "Test/Bastion: highly_available must be True or False, got 'false'",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_argument_is_refused(stack: cdk.Stack, case: str) -> None:
    call, refusal = WRONG[case]
    with pytest.raises(lib.ConfigurationError, match=refusal):
        call(stack)


def test_lists_are_taken_where_tuples_are_kept() -> None:
    given = group(online=list(group().online))
    assert given == group()
    assert isinstance(given.online, tuple)


def test_tokens_pass(stack: cdk.Stack) -> None:
    days = cdk.CfnParameter(stack, "Days", type="Number").value_as_number
    with does_not_raise():
        lib.DataBucket(stack, "Data", restore_days=days)  # type: ignore[arg-type]

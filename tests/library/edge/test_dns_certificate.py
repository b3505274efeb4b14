import io
import json
from collections.abc import Callable
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_route53 as route53
from aws_cdk.assertions import Template
from syrupy.assertion import SnapshotAssertion
from syrupy.matchers import path_type

from mlplatform_constructs import DnsCertificate
from mlplatform_constructs._edge.dns_certificate_handler import index
from tests.compliance import assert_complies
from tests.policies import allows, identity_statements
from tests.sign_in import DOMAIN, zone

GONE = cdk.RemovalPolicy.DESTROY


def certificate(stack: cdk.Stack, **options: Any) -> DnsCertificate:
    names = options.pop("domain_names", [DOMAIN, f"*.{DOMAIN}"])
    return DnsCertificate(stack, "Certificate", domain_names=names, hosted_zone=zone(stack), **options)


def test_defaults(stack: cdk.Stack, snapshot_json: SnapshotAssertion) -> None:
    certificate(stack)
    assert Template.from_stack(stack).to_json()["Resources"] == snapshot_json


@pytest.mark.promise("certificates")
def test_it_is_proved_in_the_zone_without_anybodys_help(stack: cdk.Stack) -> None:
    certificate(stack)
    Template.from_stack(stack).has_resource_properties(
        "AWS::CertificateManager::Certificate",
        {
            "DomainName": DOMAIN,
            "SubjectAlternativeNames": [f"*.{DOMAIN}"],
            "ValidationMethod": "DNS",
            "DomainValidationOptions": [{"DomainName": DOMAIN, "HostedZoneId": "Z123456789"}],
        },
    )


def test_what_proved_it_goes_after_it(stack: cdk.Stack, snapshot_json: SnapshotAssertion) -> None:
    """CloudFormation deletes in reverse order: dependencies of the certificate are deleted after it."""
    certificate(stack, removal_policy=GONE)
    template = Template.from_stack(stack)
    (found,) = template.find_resources("AWS::CertificateManager::Certificate").values()
    (records,) = template.find_resources("Custom::CertificateRecords")
    assert records in found["DependsOn"]
    assert template.to_json()["Resources"] == snapshot_json(matcher=path_type({".*S3Key": (str,)}, regex=True))


def test_it_is_deleted_when_nothing_uses_it_any_more(stack: cdk.Stack) -> None:
    """ACM refuses to delete a certificate that a load balancer or a sign-in page had until minutes ago."""
    certificate(stack, removal_policy=GONE)
    template = Template.from_stack(stack)
    (arn,) = template.find_resources("AWS::CertificateManager::Certificate")
    (use,) = template.find_resources("Custom::CertificateUse").values()
    assert use["Properties"]["CertificateArn"] == {"Ref": arn}  # so it is deleted first
    assert int(use["Properties"]["ServiceTimeout"]) > 15 * 60
    (role,) = template.find_resources("AWS::IAM::Role")
    statements = identity_statements(template, role)
    assert allows(statements, "acm:DescribeCertificate", "arn:aws:acm:eu-west-1:111111111111:certificate/1")
    (policy,) = template.find_resources("AWS::IAM::Policy")
    assert policy in template.find_resources("AWS::CertificateManager::Certificate")[arn]["DependsOn"]  # deleted later


def test_the_function_may_delete_cnames_of_the_zone_and_nothing_else(stack: cdk.Stack) -> None:
    certificate(stack, removal_policy=GONE)
    template = Template.from_stack(stack)
    (role,) = template.find_resources("AWS::IAM::Role")
    statements = identity_statements(template, role)
    arn = "arn:aws:route53:::hostedzone/Z123456789"
    (change,) = [each for each in statements if each["Action"] == "route53:ChangeResourceRecordSets"]
    assert change["Resource"] == arn
    assert change["Condition"] == {
        "ForAllValues:StringEquals": {
            "route53:ChangeResourceRecordSetsRecordTypes": ["CNAME"],
            "route53:ChangeResourceRecordSetsActions": ["DELETE"],
        }
    }
    others = [each for each in statements if each is not change]
    assert allows(others, "route53:ListResourceRecordSets", arn)
    assert allows(others, "acm:ListCertificates", "*")
    assert not allows(others, "acm:DeleteCertificate", "arn:aws:acm:eu-west-1:111111111111:certificate/1")
    assert not allows(others, "route53:DeleteHostedZone", arn)


def test_refuses_no_names(stack: cdk.Stack) -> None:
    with pytest.raises(ValueError, match="Test/Certificate: domain_names is empty; name at least one domain"):
        certificate(stack, domain_names=[])


@pytest.mark.parametrize("removal_policy", [GONE, cdk.RemovalPolicy.RETAIN])
def test_passes_the_compliance_pack(app: cdk.App, stack: cdk.Stack, removal_policy: cdk.RemovalPolicy) -> None:
    route53.PublicHostedZone(stack, "Other", zone_name="other.example.com")
    certificate(stack, removal_policy=removal_policy)
    assert_complies(app)


class Zone:
    """A hosted zone of the AWS emulator."""

    def __init__(self, aws: Callable[[str], Any]) -> None:
        client = self._client = aws("route53")
        made = client.create_hosted_zone(Name=DOMAIN, CallerReference=str(id(self)))
        self.id = made["HostedZone"]["Id"].rpartition("/")[2]

    def add(self, name: str, type: str, value: str) -> None:
        record = {"Name": name, "Type": type, "TTL": 300, "ResourceRecords": [{"Value": value}]}
        change = {"Changes": [{"Action": "CREATE", "ResourceRecordSet": record}]}
        self._client.change_resource_record_sets(HostedZoneId=self.id, ChangeBatch=change)

    def names(self) -> set[str]:
        records = self._client.list_resource_record_sets(HostedZoneId=self.id)["ResourceRecordSets"]
        return {record["Name"] for record in records if record["Type"] not in ("NS", "SOA")}


@pytest.fixture
def hosted_zone(aws: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch) -> Zone:
    monkeypatch.setattr(index.boto3, "client", lambda service, region_name=None: aws(service))
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    return Zone(aws)


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The function's response to CloudFormation."""
    sent: list[dict[str, Any]] = []

    def put(request: Any, timeout: int) -> io.BytesIO:
        assert request.get_method() == "PUT"
        sent.append(json.loads(request.data))
        return io.BytesIO()

    monkeypatch.setattr("urllib.request.urlopen", put)
    monkeypatch.setenv("AWS_LAMBDA_LOG_GROUP_NAME", "the-log")
    return sent


def event(kind: str, zone_id: str, **more: str) -> dict[str, Any]:
    return {
        "RequestType": kind,
        "RequestId": "1",
        "StackId": "stack",
        "LogicalResourceId": "Records",
        "ResponseURL": "https://cloudformation.invalid/",
        "ResourceProperties": {"HostedZoneId": zone_id, "DomainNames": [DOMAIN, f"*.{DOMAIN}", f"auth.{DOMAIN}"]},
        **more,
    }


def test_proofs_are_deleted_and_nothing_else_is(hosted_zone: Zone, answers: list[dict[str, Any]]) -> None:
    hosted_zone.add(f"_a1.{DOMAIN}.", "CNAME", "_b2.xyz.acm-validations.aws.")
    hosted_zone.add(f"_c3.auth.{DOMAIN}.", "CNAME", "_d4.xyz.acm-validations.aws.")
    kept = {
        f"_e5.other.{DOMAIN}.": "_f6.xyz.acm-validations.aws.",  # another certificate's
        f"_mail.{DOMAIN}.": "dkim.example.net.",
        f"www.{DOMAIN}.": "_g7.xyz.acm-validations.aws.",
        f"_trick.{DOMAIN}.": "acm-validations.aws.example.net.",
    }
    for name, value in kept.items():
        hosted_zone.add(name, "CNAME", value)
    index.handler(event("Delete", hosted_zone.id, PhysicalResourceId="p"), None)
    assert hosted_zone.names() == set(kept)
    assert [(answer["Status"], answer["PhysicalResourceId"]) for answer in answers] == [("SUCCESS", "p")]


@pytest.mark.parametrize("kind", ["Create", "Update"])
def test_nothing_happens_before_the_deletion(hosted_zone: Zone, answers: list[dict[str, Any]], kind: str) -> None:
    hosted_zone.add(f"_a1.{DOMAIN}.", "CNAME", "_b2.xyz.acm-validations.aws.")
    index.handler(event(kind, hosted_zone.id), None)
    assert hosted_zone.names() == {f"_a1.{DOMAIN}."}
    assert answers[0]["Status"] == "SUCCESS"


class Certificates:
    """What ACM of each region knows."""

    exceptions = type("exceptions", (), {"ResourceNotFoundException": KeyError})

    def __init__(self, **records: dict[str, str]) -> None:
        """:param records: of each certificate, domain to the name of its record."""
        self._records = records

    def get_paginator(self, operation: str) -> Any:
        assert operation == "list_certificates"
        return self

    def paginate(self, Includes: dict[str, list[str]]) -> list[dict[str, Any]]:  # noqa: N803 - as boto3 names it
        assert "EC_prime256v1" in Includes["keyTypes"]
        deleted = {"CertificateArn": "deleted", "DomainName": DOMAIN}
        found = [
            {"CertificateArn": arn, "DomainName": next(iter(names)), "SubjectAlternativeNameSummaries": list(names)}
            for arn, names in self._records.items()
        ]
        return [{"CertificateSummaryList": [deleted, *found]}]

    def describe_certificate(self, CertificateArn: str) -> dict[str, Any]:  # noqa: N803 - as boto3 names it
        options = [
            {"DomainName": domain, "ResourceRecord": {"Name": name}}
            for domain, name in self._records[CertificateArn].items()
        ]
        return {"Certificate": {"DomainValidationOptions": options}}


def test_a_record_that_another_certificate_needs_stays(
    hosted_zone: Zone, answers: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, aws: Callable[[str], Any]
) -> None:
    """A name has one record, regardless of the number and the regions of its certificates."""
    for name in (f"_a1.{DOMAIN}.", f"_c3.auth.{DOMAIN}."):
        hosted_zone.add(name, "CNAME", "_b2.xyz.acm-validations.aws.")
    certificates = {
        "eu-west-1": Certificates(other={f"other.{DOMAIN}": "_x."}),
        "us-east-1": Certificates(edge={f"*.auth.{DOMAIN}": f"_c3.auth.{DOMAIN}."}),
    }
    monkeypatch.setattr(
        index.boto3,
        "client",
        lambda service, region_name="": certificates[region_name] if service == "acm" else aws(service),
    )
    index.handler(event("Delete", hosted_zone.id, PhysicalResourceId="p"), None)
    assert hosted_zone.names() == {f"_c3.auth.{DOMAIN}."}


@pytest.mark.parametrize(
    ("old", "same"),
    [
        ({"HostedZoneId": "Z1", "DomainNames": ["a"], "ServiceToken": "moved"}, True),
        ({"HostedZoneId": "Z1", "DomainNames": ["a", "b"]}, False),
        ({"HostedZoneId": "Z2", "DomainNames": ["a"]}, False),
    ],
)
def test_a_change_of_names_leaves_the_former_records_to_be_deleted(
    answers: list[dict[str, Any]], old: dict[str, Any], same: bool
) -> None:
    """CloudFormation deletes a resource whose physical id changed, with its former properties."""
    new = {"HostedZoneId": "Z1", "DomainNames": ["a"]}
    update = event("Update", "Z1", PhysicalResourceId="p")
    index.handler({**update, "ResourceProperties": new, "OldResourceProperties": old}, None)
    assert (answers[0]["PhysicalResourceId"] == "p") is same


def test_it_is_idempotent(hosted_zone: Zone, answers: list[dict[str, Any]]) -> None:
    hosted_zone.add(f"_a1.{DOMAIN}.", "CNAME", "_b2.xyz.acm-validations.aws.")
    for _ in range(2):
        index.handler(event("Delete", hosted_zone.id), None)
    assert [answer["Reason"] for answer in answers] == [f"deleted: _a1.{DOMAIN}.", "deleted: nothing"]


class Context:
    """What a function knows of its life."""

    def get_remaining_time_in_millis(self) -> int:
        return 900_000


class Acm:
    """A certificate that is used by this many things at each look; after the last look it is gone."""

    class exceptions:  # noqa: N801 - as boto3 names it
        class ResourceNotFoundException(Exception):
            pass

    def __init__(self, *users: int) -> None:
        self._users = list(users)

    def describe_certificate(self, CertificateArn: str) -> dict[str, Any]:  # noqa: N803 - as boto3 names it
        if not self._users:
            raise self.exceptions.ResourceNotFoundException
        return {"Certificate": {"InUseBy": [f"distribution-{one}" for one in range(self._users.pop(0))]}}


def use_event(kind: str) -> dict[str, Any]:
    return {**event(kind, "Z", PhysicalResourceId="p"), "ResourceProperties": {"CertificateArn": "arn"}}


@pytest.mark.parametrize(("users", "looks"), [((0,), 1), ((2, 1, 0), 3), ((1,), 2)])
def test_the_deletion_waits_until_nothing_uses_the_certificate(
    answers: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, users: tuple[int, ...], looks: int
) -> None:
    acm, pauses = Acm(*users), list[float]()
    monkeypatch.setattr(index.boto3, "client", lambda service: acm)
    monkeypatch.setattr(index.time, "sleep", pauses.append)
    index.handler(use_event("Delete"), Context())
    assert [answer["Status"] for answer in answers] == ["SUCCESS"]
    assert len(pauses) == looks - 1


def test_a_certificate_that_stays_in_use_fails_the_deletion_in_time(
    answers: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(index.boto3, "client", lambda service: Acm(*[1] * 1000))
    monkeypatch.setattr(index.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(index.time, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    index.handler(use_event("Delete"), Context())
    assert answers[0]["Status"] == "FAILED"
    assert "still used by distribution-0; delete the stack again later" in answers[0]["Reason"]
    assert 800 < now[0] < 900 - index.ANSWER_SECONDS


def test_a_new_certificate_is_not_waited_for(answers: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index.boto3, "client", lambda service: pytest.fail("nothing is to be asked"))
    for kind in ("Create", "Update"):
        index.handler(use_event(kind), Context())
    assert [answer["Status"] for answer in answers] == ["SUCCESS", "SUCCESS"]


def test_a_zone_that_is_gone_has_no_records(hosted_zone: Zone, answers: list[dict[str, Any]]) -> None:
    index.handler(event("Delete", "Z000000000"), None)
    assert answers[0]["Status"] == "SUCCESS"


@pytest.mark.promise("honest-deletion")
def test_an_error_fails_the_deletion(
    hosted_zone: Zone, answers: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:

    def refused(service: str) -> Any:
        raise RuntimeError("access denied")

    monkeypatch.setattr(index.boto3, "client", refused)
    index.handler(event("Delete", hosted_zone.id), None)
    assert answers[0]["Status"] == "FAILED"
    assert answers[0]["Reason"] == "access denied (log group the-log)"

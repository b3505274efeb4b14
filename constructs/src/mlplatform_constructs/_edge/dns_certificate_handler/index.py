"""Waits until a certificate is unused, and deletes the DNS records that validated it.

CloudFormation creates the records and does not delete them with the certificate, so that the zone itself could not be
deleted. And a load balancer or a sign-in page keeps its certificate for minutes after its deletion, in which ACM
refuses to delete it.

There are two custom resources. ``Custom::CertificateUse`` is deleted before the certificate, and
``Custom::CertificateRecords`` after it. Neither does anything until then. A change that replaces the certificate gives
both a new id, so CloudFormation deletes the former ones around the former certificate.
"""

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import boto3

from ..._functions.custom_resource import ANSWER_SECONDS, answer

_PROOFS = ".acm-validations.aws"
_POLL_SECONDS = 15
_KEY_TYPES = ("RSA_1024", "RSA_2048", "RSA_3072", "RSA_4096", "EC_prime256v1", "EC_secp384r1", "EC_secp521r1")
"""Without them, ACM lists certificates with the two smallest alone."""
_EDGE_REGION = "us-east-1"
"""Where CloudFront reads its certificates."""


def handler(event: Mapping[str, Any], context: Any) -> None:
    """Answer CloudFormation; a deletion succeeds only when the certificate is unused, or the records are deleted."""
    identity = _identity(event)
    properties = event["ResourceProperties"]
    try:
        if event["RequestType"] != "Delete":
            done = "nothing to do yet"
        elif "CertificateArn" in properties:
            remaining = context.get_remaining_time_in_millis() / 1000
            wait_until_unused(properties["CertificateArn"], deadline=time.monotonic() + remaining - ANSWER_SECONDS)
            done = "nothing uses the certificate"
        else:
            done = f"deleted: {', '.join(delete_records(properties)) or 'nothing'}"
        answer(event, "SUCCESS", identity, done)
    except Exception as error:
        # Every error must reach the person who deploys, or CloudFormation waits an hour without effect.
        answer(event, "FAILED", identity, str(error))


def _identity(event: Mapping[str, Any]) -> str:
    """A new physical id for a new resource and for changed properties; else the id that it has."""
    changed = event["RequestType"] == "Update" and _properties(event, "ResourceProperties") != _properties(
        event, "OldResourceProperties"
    )
    former = event.get("PhysicalResourceId")
    return former if former and not changed else f"certificate-{event['RequestId']}"


def _properties(event: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """The properties without the address of the function, which a new one may have."""
    return {
        name: value for name, value in event.get(kind, {}).items() if name not in ("ServiceToken", "ServiceTimeout")
    }


def wait_until_unused(arn: str, *, deadline: float) -> None:
    """Wait until nothing uses the certificate; one that is gone is not used.

    :param deadline: time by which waiting ends, by the monotonic clock.
    :raises RuntimeError: if something uses it still.
    """
    acm = boto3.client("acm")
    while True:
        try:
            users = acm.describe_certificate(CertificateArn=arn)["Certificate"].get("InUseBy", [])
        except acm.exceptions.ResourceNotFoundException:
            return
        if not users:
            return
        if time.monotonic() + _POLL_SECONDS > deadline:
            raise RuntimeError(f"certificate {arn} is still used by {', '.join(users)}; delete the stack again later")
        time.sleep(_POLL_SECONDS)


def delete_records(properties: Mapping[str, Any]) -> list[str]:
    """Delete the validation records of the domains, except those that another certificate needs.

    :param properties: ``HostedZoneId``, and ``DomainNames`` of the certificate. A zone that is gone has no records.
    :returns: the names of the records that were deleted.
    """
    route53 = boto3.client("route53")
    zone = properties["HostedZoneId"]
    try:
        records = list(_proofs(route53, zone, properties["DomainNames"]))
    except route53.exceptions.NoSuchHostedZone:
        return []
    if records:
        needed = set(_needed_records(properties["DomainNames"]))
        records = [record for record in records if record["Name"] not in needed]
    if records:
        changes = [{"Action": "DELETE", "ResourceRecordSet": record} for record in records]
        route53.change_resource_record_sets(HostedZoneId=zone, ChangeBatch={"Changes": changes})
    return [record["Name"] for record in records]


def _needed_records(domains: Sequence[str]) -> Iterator[str]:
    """Names of the records that validate certificates of this account for one of the domains, now and at renewal."""
    bare = {domain.removeprefix("*.") for domain in domains}
    for region in {os.environ["AWS_REGION"], _EDGE_REGION}:
        acm = boto3.client("acm", region_name=region)
        pages = acm.get_paginator("list_certificates").paginate(Includes={"keyTypes": list(_KEY_TYPES)})
        for summary in (each for page in pages for each in page["CertificateSummaryList"]):
            names = {summary["DomainName"], *summary.get("SubjectAlternativeNameSummaries", [])}
            if summary.get("HasAdditionalSubjectAlternativeNames") or bare & {n.removeprefix("*.") for n in names}:
                yield from _records_of(acm, summary["CertificateArn"])


def _records_of(acm: Any, arn: str) -> Iterator[str]:
    try:
        certificate = acm.describe_certificate(CertificateArn=arn)["Certificate"]
    except acm.exceptions.ResourceNotFoundException:
        return  # deleted a moment ago, and still listed
    for validation in certificate.get("DomainValidationOptions", []):
        if "ResourceRecord" in validation:
            yield validation["ResourceRecord"]["Name"]


def _proofs(route53: Any, zone: str, domains: Sequence[str]) -> Iterator[Mapping[str, Any]]:
    """The records ``_<random>.<domain>.`` that point to ACM. A wildcard is proved by the record of its parent."""
    suffixes = {f"{domain.removeprefix('*.')}." for domain in domains}
    for page in route53.get_paginator("list_resource_record_sets").paginate(HostedZoneId=zone):
        for record in page["ResourceRecordSets"]:
            label, _, parent = record["Name"].partition(".")
            targets = [each["Value"] for each in record.get("ResourceRecords", [])]
            ours = record["Type"] == "CNAME" and label.startswith("_") and parent in suffixes
            if ours and targets and all(target.rstrip(".").endswith(_PROOFS) for target in targets):
                yield record

"""Lets certificates go, and takes away what they leave in a hosted zone.

CloudFormation writes the records that prove a domain, and does not delete them with the certificate, so that the zone
itself could not be deleted. And a load balancer or a sign-in page that is gone keeps its certificate for minutes more,
in which ACM refuses to delete it.

Does nothing until one of its custom resources is deleted: the one before the certificate is, the other after it.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import boto3

from ..custom_resource import ANSWER_SECONDS, answer

_PROOFS = ".acm-validations.aws"
_POLL_SECONDS = 15


def handler(event: Mapping[str, Any], context: Any) -> None:
    """Answer CloudFormation; a deletion succeeds only when the certificate is free, or the records are gone."""
    identity = event.get("PhysicalResourceId") or f"certificate-records-{event['RequestId']}"
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
        # Whatever went wrong must reach the person who deletes the stack, or CloudFormation waits an hour for nothing.
        answer(event, "FAILED", identity, str(error))


def wait_until_unused(arn: str, *, deadline: float) -> None:
    """Wait until nothing uses the certificate; one that is gone is not used.

    :param deadline: time by which waiting ends, by the monotonic clock.
    :raises RuntimeError: when something uses it still.
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
    """Delete the proofs of the domains; a zone that is gone has none.

    :param properties: ``HostedZoneId``, and ``DomainNames`` of the certificate.
    :returns: the names of the records that were deleted.
    """
    route53 = boto3.client("route53")
    zone = properties["HostedZoneId"]
    try:
        records = list(_proofs(route53, zone, properties["DomainNames"]))
    except route53.exceptions.NoSuchHostedZone:
        return []
    if records:
        changes = [{"Action": "DELETE", "ResourceRecordSet": record} for record in records]
        route53.change_resource_record_sets(HostedZoneId=zone, ChangeBatch={"Changes": changes})
    return [record["Name"] for record in records]


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

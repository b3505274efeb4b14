"""Takes away what certificates leave in a hosted zone: CloudFormation writes the records that prove a domain, and does
not delete them with the certificate, so that the zone itself could not be deleted.

Does nothing until its custom resource is deleted, which is after the certificate is.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import boto3

from ..custom_resource import answer

_PROOFS = ".acm-validations.aws"


def handler(event: Mapping[str, Any], _context: object) -> None:
    """Answer CloudFormation; a deletion succeeds only when the records are gone."""
    identity = event.get("PhysicalResourceId") or f"certificate-records-{event['RequestId']}"
    try:
        names = delete_records(event["ResourceProperties"]) if event["RequestType"] == "Delete" else []
        answer(event, "SUCCESS", identity, f"deleted: {', '.join(names) or 'nothing'}")
    except Exception as error:
        # Whatever went wrong must reach the person who deletes the stack, or CloudFormation waits an hour for nothing.
        answer(event, "FAILED", identity, str(error))


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

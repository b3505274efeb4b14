"""What services of Kubeflow need to reach RDS: their users, and the authorities of the Region."""

from pathlib import Path
from typing import Any

import cdk8s
import pytest

from charts.kubeflow.database_access.objects import DatabaseAccess
from mlplatform_constructs import ConfigurationError, MetadataDatabase

ARN = "arn:aws:secretsmanager:eu-west-1:111111111111:secret:"
NAMES = {"pipelines": "mlpipeline", "katib": "katib"}


def access(region: str = "eu-west-1", authorities: Path = MetadataDatabase.CERTIFICATE_AUTHORITIES) -> DatabaseAccess:
    return DatabaseAccess(
        cdk8s.App(outdir="/dev/null"),
        "Access",
        host="database.example.com",
        names=NAMES,
        secret_arns={service: f"{ARN}{service}" for service in NAMES},
        region=region,
        authorities=authorities,
    )


@pytest.mark.promise("state-options")
def test_each_service_has_a_database_of_its_name_and_a_secret_of_its_own() -> None:
    found = access()
    classes = {one["metadata"]["name"]: one["spec"] for one in found.to_json() if one["kind"] == "SecretProviderClass"}
    assert {service: database.name for service, database in found.databases.items()} == NAMES
    for service, database in found.databases.items():
        assert f"{ARN}{service}" in classes[database.secret]["parameters"]["objects"]
        assert database.synced
        assert database.go_authorities == {"SSL_CERT_DIR": "/etc/database-authorities"}


def authorities(found: DatabaseAccess) -> str:
    (one,) = [each for each in found.to_json() if each["kind"] == "ConfigMap"]
    text: Any = one["data"]["authorities.pem"]
    return str(text)


def test_clients_trust_the_authority_of_their_region_alone() -> None:
    here, there = authorities(access()), authorities(access("us-east-1"))
    assert here.count("BEGIN CERTIFICATE") == there.count("BEGIN CERTIFICATE") == 1
    assert here != there
    assert here in MetadataDatabase.CERTIFICATE_AUTHORITIES.read_text(encoding="ascii")


def test_a_region_without_an_authority_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"rds_roots.pem has none for Region eu-nowhere-1; add that"):
        access("eu-nowhere-1")

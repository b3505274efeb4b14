"""Every key of an account file reaches the platform, or its author is warned."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from config.loader import load_account
from config.schema import Account
from config.section import Section, variants_of
from stacks.app import new_app
from stacks.stage import PlatformStage

EVERYTHING = """
account = "333333333333"
region = "eu-west-1"
production = false
removal_policy = "destroy"
[network]
cidr = "10.0.0.0/16"
availability_zones = ["eu-west-1a", "eu-west-1b"]
domain = "ml.example.com"
[storage]
replica_region = "eu-central-1"
[storage.lustre]
[storage.collected_data]
bucket_arn = "arn:aws:s3:::example-lake"
key_arn = "arn:aws:kms:eu-west-1:444444444444:key/01234567-89ab-cdef-0123-456789abcdef"
[identity.load_balancer.firewall]
[identity.cognito.machines.automation]
scopes = ["pipelines"]
[identity.cognito.machines.notebooks]
scopes = ["adviser"]
[adviser]
jobs = { train = "arn:aws:states:eu-west-1:333333333333:stateMachine:train" }
[identity.cognito]
allowed_email_domains = ["example.com"]
[identity.cognito.providers.oidc]
type = "oidc"
client_id = "x"
client_secret_arn = "arn:aws:secretsmanager:eu-west-1:333333333333:secret:oidc-AbCdEf"
issuer = "https://idp.example.com"
[identity.cognito.providers.saml]
type = "saml"
metadata_url = "https://idp.example.com/metadata"
[identity.cognito.providers.apple]
type = "apple"
client_id = "x"
client_secret_arn = "arn:aws:secretsmanager:eu-west-1:333333333333:secret:apple-AbCdEf"
team_id = "x"
key_id = "x"
[identity.cognito.providers.google]
type = "google"
client_id = "x"
client_secret_arn = "arn:aws:secretsmanager:eu-west-1:333333333333:secret:google-AbCdEf"
[identity.center]
instance_arn = "arn:aws:sso:::instance/ssoins-0123456789abcdef"
group_ids = ["01234567-89ab-cdef-0123-456789abcdef"]
[identity.directory]
kind = "managed"
name = "corp.example.com"
[people.ana]
email = "ana@example.com"
cluster_access = "admin"
[teams.churn]
owner = "ana"
[clusters.training.kubeflow]
deployment = "cognito-rds-s3"
[clusters.inference]
workload_identity = "irsa"
[clusters.inference.serving]
host = "models"
[clusters.inference.monitoring]
prices = { "m7i.xlarge" = 0.2 }
[clusters.inference.monitoring.routes.churn]
labels = { namespace = "churn" }
topic_arn = "arn:aws:sns:eu-west-1:333333333333:churn"
[workloads.emr]
[workloads.emr_serverless]
[workloads.sagemaker]
[workloads.airflow]
machine = "automation"
"""

WITHOUT_TEMPLATE = {
    "Account.production": "decides what the file may say",
    "Account.offerings": "checks node groups when the file is read",
    "CollectedData.writer_role_arns": "belongs to a bucket that the account holds itself",
    "ManagedDirectory.kind": "chooses the kind of table",
    "SamlProvider.type": "chooses the kind of table",
    "OidcProvider.type": "chooses the kind of table",
    "AppleProvider.type": "chooses the kind of table",
    "Cluster.purpose": "chooses the shipped node groups when the file is read",
}
"""Keys that the stacks need not read, each with its purpose."""


def keys(model: type[BaseModel], seen: set[type[BaseModel]]) -> Iterator[str]:
    """All keys of a file, by the name of their table's model."""
    seen.add(model)
    for name, field in model.model_fields.items():
        yield f"{model.__name__}.{name}"
        for variant in variants_of(field.annotation)[0].values():
            if variant not in seen:
                yield from keys(variant, seen)


def has_no_effect_yet(key: str) -> bool:
    """Whether setting the key warns."""
    model, _, name = key.partition(".")
    found = {each.__name__: each for each in _models(Account)}
    extra = found[model].model_fields[name].json_schema_extra
    return isinstance(extra, dict) and "without_effect_until" in extra


def _models(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    yield model
    for field in model.model_fields.values():
        for variant in variants_of(field.annotation)[0].values():
            yield from _models(variant)


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The keys that are read while the stacks of an account with everything are built."""
    folder = tmp_path_factory.mktemp("settings")
    (folder / "all.toml").write_text(EVERYTHING, encoding="utf-8")
    settings = load_account("all", folder)
    found: set[str] = set()

    def record(section: Section, name: str) -> Any:
        if name in type(section).model_fields:
            found.add(f"{type(section).__name__}.{name}")
        elif name == "model_dump":
            found.update(f"{type(section).__name__}.{each}" for each in type(section).model_fields)
        return object.__getattribute__(section, name)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Section, "__getattribute__", record)
        app = new_app(outdir=str(Path(folder) / "cdk.out"))
        app.node.set_context("aws:cdk:disable-asset-staging", True)
        PlatformStage(app, "all", settings=settings)
    return found


@pytest.mark.promise("account-file-checked")
def test_every_key_is_read_or_warns_or_is_explained(read: set[str]) -> None:
    unread = {key for key in keys(Account, set()) if key not in read}
    elsewhere = {key for key in unread if key.startswith("DirectoryConnector.")}  # an account has one directory
    silent = unread - elsewhere - WITHOUT_TEMPLATE.keys()
    assert {key for key in silent if not has_no_effect_yet(key)} == set()


def test_a_key_that_warns_is_not_read(read: set[str]) -> None:
    assert {key for key in read if has_no_effect_yet(key)} == set()


def test_every_explanation_is_of_a_key(read: set[str]) -> None:
    assert set(keys(Account, set())) >= WITHOUT_TEMPLATE.keys()

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3

from .._arguments import ConfigurationError, checked, is_token

_SERVICES = ("codeconnections", "codestar-connections")
"""Both names of the service: which one IAM uses depends on the age of the connection and of the caller."""
_CONNECTION = re.compile(r"arn:[a-z-]+:(codeconnections|codestar-connections):[a-z0-9-]+:\d{12}:connection/[\w-]+")


@dataclass(frozen=True, kw_only=True)
class PipelineSource:
    """The source of a pipeline, and what starts it. Create one by ``connection`` or ``bucket``.

    :param provider: of CodePipeline's source action.
    :param configuration: of that action.
    :param revision: the variable of the action that names the revision.
    :param connection_arn: of a connection to a host of Git. Default: it is a bucket.
    :param source_bucket: a bucket. Default: it is a connection.
    :param triggers: of the pipeline. Default: the action finds changes itself.
    """

    provider: str
    configuration: Mapping[str, str]
    revision: str
    connection_arn: str | None = None
    source_bucket: s3.IBucket | None = None
    triggers: tuple[dict[str, Any], ...] = ()

    @classmethod
    @checked
    def connection(cls, connection_arn: str, *, repository: str, branch: str = "main", tags: bool = False) -> Self:
        """A repository of Git, by a connection that has been confirmed.

        :param repository: ``owner/name``.
        :param branch: starts the pipeline at each commit. Default: ``main``.
        :param tags: start at each tag that begins with ``v`` instead. Default: no.
        :raises ConfigurationError: for an invalid connection or repository.
        """
        if not is_token(connection_arn) and not _CONNECTION.fullmatch(connection_arn):
            raise ConfigurationError(f"source: connection_arn must be the ARN of a connection, got {connection_arn!r}")
        if not is_token(repository) and not re.fullmatch(r"[\w.-]+(/[\w.-]+)+", repository):
            raise ConfigurationError(f"source: repository must be 'owner/name', got {repository!r}")
        pushed = {"gitConfiguration": {"sourceActionName": "Source", "push": [{"tags": {"includes": ["v*"]}}]}}
        return cls(
            provider="CodeStarSourceConnection",
            configuration={
                "ConnectionArn": connection_arn,
                "FullRepositoryId": repository,
                "BranchName": branch,
                "DetectChanges": "false" if tags else "true",
                "OutputArtifactFormat": "CODEBUILD_CLONE_REF",  # with history and tags, which contain the version
            },
            revision="#{Source.CommitId}",
            connection_arn=connection_arn,
            triggers=({"providerType": "CodeStarSourceConnection", **pushed},) if tags else (),
        )

    @classmethod
    @checked
    def bucket(cls, bucket: s3.IBucket, *, object_key: str) -> Self:
        """A zip archive in a versioned bucket with EventBridge notifications; each new version starts the pipeline.

        :param object_key: key of the archive.
        :raises ConfigurationError: for an empty key.
        """
        if not object_key:
            raise ConfigurationError("source: object_key must name a zip archive, got ''")
        return cls(
            provider="S3",
            configuration={
                "S3Bucket": bucket.bucket_name,
                "S3ObjectKey": object_key,
                "PollForSourceChanges": "false",
            },
            revision="#{Source.VersionId}",
            source_bucket=bucket,
        )

    @checked
    def grant_read(self, grantee: iam.IGrantable) -> iam.Grant:
        """Allow ``grantee`` to read this source and no other; through a connection, never push to it."""
        return self._grant_bucket(grantee, self.source_bucket) if self.source_bucket else self._grant_clone(grantee)

    def _grant_clone(self, grantee: iam.IGrantable) -> iam.Grant:
        """A connection reaches every repository that its app was installed for, and may push: the conditions narrow it.

        Not every request names a branch, a clone does not; a pipeline that starts by tags builds commits of any branch.
        https://docs.aws.amazon.com/service-authorization/latest/reference/list_awscodeconnections.html
        """
        first, second = (
            iam.Grant.add_to_principal(
                grantee=grantee,
                actions=[f"{service}:UseConnection"],
                resource_arns=[self.connection_arn or ""],
                conditions=self._only_this_repository(service),
            )
            for service in _SERVICES
        )
        return first.combine(second)

    def _only_this_repository(self, service: str) -> dict[str, dict[str, str]]:
        conditions = {
            "StringEquals": {
                f"{service}:FullRepositoryId": self.configuration["FullRepositoryId"],
                f"{service}:ProviderPermissionsRequired": "read_only",
            }
        }
        if not self.triggers:
            conditions["StringEqualsIfExists"] = {f"{service}:BranchName": self.configuration["BranchName"]}
        return conditions

    def _grant_bucket(self, grantee: iam.IGrantable, bucket: s3.IBucket) -> iam.Grant:
        look = ["s3:GetBucketVersioning", "s3:GetBucketLocation", "s3:ListBucket"]
        read = ["s3:GetObject", "s3:GetObjectVersion", "s3:GetObjectTagging"]
        archive = bucket.arn_for_objects(self.configuration["S3ObjectKey"])
        grant = iam.Grant.add_to_principal(grantee=grantee, actions=look, resource_arns=[bucket.bucket_arn]).combine(
            iam.Grant.add_to_principal(grantee=grantee, actions=read, resource_arns=[archive])
        )
        key = bucket.encryption_key
        return grant.combine(key.grant(grantee, "kms:Decrypt")) if key else grant

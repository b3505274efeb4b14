from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from aws_cdk import Token
from aws_cdk import aws_s3 as s3

_CONNECTION = re.compile(r"arn:[a-z-]+:(codeconnections|codestar-connections):[a-z0-9-]+:\d{12}:connection/[\w-]+")


@dataclass(frozen=True, kw_only=True)
class PipelineSource:
    """Where a pipeline takes sources from, and what starts it. Make one by ``connection`` or ``bucket``.

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
    def connection(cls, connection_arn: str, *, repository: str, branch: str = "main", tags: bool = False) -> Self:
        """A repository of Git, by a connection that somebody has confirmed.

        :param repository: ``owner/name``.
        :param branch: starts the pipeline at each commit. Default: ``main``.
        :param tags: start at each tag that begins with ``v`` instead. Default: no.
        :raises ValueError: for what is no connection or no repository.
        """
        if not Token.is_unresolved(connection_arn) and not _CONNECTION.fullmatch(connection_arn):
            raise ValueError(f"source: connection_arn must be the ARN of a connection, got {connection_arn!r}")
        if not Token.is_unresolved(repository) and not re.fullmatch(r"[\w.-]+(/[\w.-]+)+", repository):
            raise ValueError(f"source: repository must be 'owner/name', got {repository!r}")
        pushed = {"gitConfiguration": {"sourceActionName": "Source", "push": [{"tags": {"includes": ["v*"]}}]}}
        return cls(
            provider="CodeStarSourceConnection",
            configuration={
                "ConnectionArn": connection_arn,
                "FullRepositoryId": repository,
                "BranchName": branch,
                "DetectChanges": "false" if tags else "true",
                "OutputArtifactFormat": "CODEBUILD_CLONE_REF",  # with history and tags, which say the version
            },
            revision="#{Source.CommitId}",
            connection_arn=connection_arn,
            triggers=({"providerType": "CodeStarSourceConnection", **pushed},) if tags else (),
        )

    @classmethod
    def bucket(cls, bucket: s3.IBucket, *, object_key: str) -> Self:
        """A zip archive in a versioned bucket that tells EventBridge of its objects; each new one starts the pipeline.

        :param object_key: of the archive.
        :raises ValueError: for an empty key.
        """
        if not object_key:
            raise ValueError("source: object_key must name a zip archive, got ''")
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

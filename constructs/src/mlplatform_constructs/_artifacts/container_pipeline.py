import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from aws_cdk import Acknowledgment, RemovalPolicy, Validations
from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from constructs import Construct

from .._arguments import ConfigurationError, check_fields, checked, is_token
from .._storage.access_log_bucket import AccessLogBucket
from .._storage.data_bucket import DataBucket
from .artifact_pipeline import ArtifactPipeline, Severity, Step, check_artifact, check_findings
from .image_registry import PULL, PUSH, let_log_in
from .pipeline_source import PipelineSource


@dataclass(frozen=True)
class PinnedImage:
    """An immutable reference to an ECR image.

    :param repository: a repository in any account that allows this one to pull.
    :param digest: ``sha256:...``.
    :raises ConfigurationError: for a tag instead of a digest.
    """

    repository: ecr.IRepository
    digest: str

    def __post_init__(self) -> None:
        check_fields(self, "image")
        if not is_token(self.digest) and not re.fullmatch(r"sha256:[0-9a-f]{64}", self.digest):
            raise ConfigurationError(f"image: digest must be sha256: and 64 hexadecimal digits, got {self.digest!r}")


@dataclass(frozen=True, kw_only=True)
class ImageBuild:
    """How an image is built from its source.

    :param test: commands of the unit tests.
    :param dockerfile: path in the source. Default: ``Dockerfile``.
    :param context: folder of the source that the build sees. Default: all of it.
    :param arguments: of the Dockerfile, such as the registry of its base image. No secrets: they stay in the image.
        Default: none.
    :param base_repositories: of ECR, from which the Dockerfile takes images. Default: none.
    :param runtimes: languages for the tests as CodeBuild names them, such as ``{"python": "3.12"}``. Default: the build
        machine's own.
    """

    test: Sequence[str]
    dockerfile: str = "Dockerfile"
    context: str = "."
    arguments: Mapping[str, str] = field(default_factory=dict)
    base_repositories: Sequence[ecr.IRepository] = ()
    runtimes: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_fields(self, "build")


class ContainerPipeline(Construct):
    """A pipeline from a source repository to a released container image.

    Every change passes these stages, each on its own machine with its own role:

    1. ``Test``: runs the unit tests. A failure ends the run.
    2. ``Build``: builds the image, pushes it to ECR with the revision as tag, and creates the bill of materials
       (SBOM, CycloneDX).
    3. ``Release``: waits for ECR's scan. Without findings of severity ``fail_on`` or higher, it tags the image with the
       version, signs it, stores the records, and writes its digest reference to ``parameter_name``.

    The version is the commit's highest tag ``v1.2.3``, or ``rev-`` and the revision if it has none; a source in a
    bucket contains it in a file VERSION. Versions are immutable: a different image of an existing version is refused.

    Under ``<name>/<version>/`` in ``releases`` are ``image.json`` (repository, digest, reference, version, revision),
    ``sbom.json`` and ``findings.json``. They are never replaced.

    - ``parameter_name``: the SSM parameter with the reference of the latest release. It outlives the stack.
    - ``pipeline_name``: name of the pipeline.
    - ``signing_key``: signs releases.

    :param name: name of the artifact: lower case letters, digits and dashes; unique in the account and region.
    :param source: the source with the Dockerfile, whose changes start the pipeline.
    :param repository: repository of the images; it needs immutable tags and scan on push, as in ``ImageRegistry``.
    :param build: how the image is built and tested.
    :param sbom_image: the image of Syft, in your own registry.
    :param releases: bucket of the records.
    :param fail_on: the lowest severity of a finding that stops a release. Default: ``HIGH``.
    :param accepted_findings: findings that do not stop a release, with the reason. Default: none.
    :param scan_minutes: how long to wait for the scan, 1 to 60. Default: 10.
    :param signing_key: signs releases; of type ECC_NIST_P256, for signing. Default: a new key.
    :param encryption_key: encrypts what stages hand over. Default: a new key, rotated yearly.
    :param access_logs: where S3 records who touched that. Default: a new bucket.
    :param log_encryption_key: encrypts logs; its policy must admit CloudWatch Logs. Default: CloudWatch's own key.
    :param log_retention: how long logs are kept. Default: one year.
    :param removal_policy: removal policy of logs and of what stages hand over. Default: RETAIN.
    """

    @checked
    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        name: str,
        source: PipelineSource,
        repository: ecr.IRepository,
        build: ImageBuild,
        sbom_image: PinnedImage,
        releases: DataBucket,
        fail_on: Severity = "HIGH",
        accepted_findings: Mapping[str, str] | None = None,
        scan_minutes: int = 10,
        signing_key: kms.IKey | kms.Key | None = None,
        encryption_key: kms.IKey | kms.Key | None = None,
        access_logs: AccessLogBucket | None = None,
        log_encryption_key: kms.IKey | kms.Key | None = None,
        log_retention: logs.RetentionDays = logs.RetentionDays.ONE_YEAR,
        removal_policy: RemovalPolicy = RemovalPolicy.RETAIN,
    ) -> None:
        super().__init__(scope, id)
        check_artifact(self.node.path, name)
        self._check(build.test, fail_on, accepted_findings or {}, scan_minutes)
        gate = {
            "FAIL_ON": fail_on,
            "ACCEPTED_FINDINGS": json.dumps(dict(accepted_findings or {}), sort_keys=True),
            "SCAN_MINUTES": str(scan_minutes),
        }
        self._stages = ArtifactPipeline(
            self,
            "Stages",
            name=name,
            source=source,
            steps=[
                Step(name="Test", takes="Source", commands=build.test, runtimes=build.runtimes),
                _build_step(build, repository, sbom_image),
                Step(
                    name="Release",
                    takes="Built",
                    tools="image_release",
                    environment=gate,
                    releases=True,
                    minutes=scan_minutes + 15,
                ),
            ],
            releases=releases,
            signing_key=signing_key,
            encryption_key=encryption_key,
            access_logs=access_logs,
            log_encryption_key=log_encryption_key,
            log_retention=log_retention,
            removal_policy=removal_policy,
        )
        self.parameter_name = self._stages.parameter_name
        self.pipeline_name = self._stages.pipeline.ref
        self.signing_key = self._stages.signing_key
        self._let_build(repository, [sbom_image.repository, *build.base_repositories])
        self._let_release(repository)

    @checked
    def grant_read_parameter(self, grantee: iam.IGrantable) -> iam.Grant:
        """Allow ``grantee`` to read which image is the newest release."""
        return self._stages.grant_read_parameter(grantee)

    @checked
    def grant_verify(self, grantee: iam.IGrantable) -> iam.Grant:
        """Allow ``grantee`` to verify signatures of releases, by KMS or with the public key."""
        return self._stages.grant_verify(grantee)

    def _check(
        self, test: Sequence[str], fail_on: str, accepted_findings: Mapping[str, str], scan_minutes: int
    ) -> None:
        place = self.node.path
        if not test:
            raise ConfigurationError(f"{place}: build.test must hold a command; an image without tests is not released")
        check_findings(place, fail_on, accepted_findings)
        if not 1 <= scan_minutes <= 60:
            raise ConfigurationError(f"{place}: scan_minutes must be 1 to 60, got {scan_minutes}")

    def _let_build(self, repository: ecr.IRepository, pulled: Sequence[ecr.IRepository]) -> None:
        role = self._stages.roles["Build"]
        repository.grant(role, *PUSH, *PULL, "ecr:DescribeImages")
        for each in pulled:
            each.grant(role, *PULL)
        let_log_in(role)
        Validations.of(self._stages.node.find_child("Build")).acknowledge(
            Acknowledgment(
                id="AwsSolutions-CB3",
                reason="images are built by a Docker daemon; this role can push an image and release none",
            )
        )

    def _let_release(self, repository: ecr.IRepository) -> None:
        role = self._stages.roles["Release"]
        look = ["ecr:BatchGetImage", "ecr:DescribeImages", "ecr:DescribeImageScanFindings"]
        repository.grant(role, *look, *PUSH)  # the signature is a separate image


def _build_step(build: ImageBuild, repository: ecr.IRepository, sbom_image: PinnedImage) -> Step:
    variables = {
        "REPOSITORY_URI": repository.repository_uri,
        "SBOM_IMAGE": f"{sbom_image.repository.repository_uri}@{sbom_image.digest}",
        "DOCKERFILE": build.dockerfile,
        "CONTEXT": build.context,
        "BUILD_ARGUMENTS": json.dumps(dict(build.arguments), sort_keys=True),
        "BASE_REGISTRIES": json.dumps([each.registry_uri for each in build.base_repositories]),
    }
    return Step(
        name="Build", takes="Source", gives="Built", tools="image_build", environment=variables, privileged=True
    )

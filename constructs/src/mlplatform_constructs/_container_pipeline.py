import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from aws_cdk import Acknowledgment, RemovalPolicy, Token, Validations
from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from constructs import Construct

from ._access_log_bucket import AccessLogBucket
from ._artifact_pipeline import ArtifactPipeline, Severity, Step, check_artifact, check_findings
from ._data_bucket import DataBucket
from ._image_registry import PULL, PUSH, let_log_in
from ._pipeline_source import PipelineSource


@dataclass(frozen=True)
class PinnedImage:
    """An image of ECR that is one for ever.

    :param repository: in any account that lets this one pull.
    :param digest: ``sha256:...``.
    :raises ValueError: for a tag instead of a digest.
    """

    repository: ecr.IRepository
    digest: str

    def __post_init__(self) -> None:
        if not Token.is_unresolved(self.digest) and not re.fullmatch(r"sha256:[0-9a-f]{64}", self.digest):
            raise ValueError(f"image: digest must be sha256: and 64 hexadecimal digits, got {self.digest!r}")


@dataclass(frozen=True, kw_only=True)
class ImageBuild:
    """How an image is made from its source.

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


class ContainerPipeline(Construct):
    """From a repository of sources to a container image that may be deployed.

    Every change goes through these stages, each in a machine and with a role of its own:

    1. ``Test``: the unit tests. Nothing is built from what fails here.
    2. ``Build``: the image, pushed to ECR under its revision, and the list of all that is in it (SBOM, CycloneDX).
    3. ``Release``: waits for ECR's scan. If it finds nothing of severity ``fail_on`` or worse, the image gets its
       version and a signature, its records are kept, and ``parameter_name`` holds its reference by digest.

    The version is the commit's highest tag ``v1.2.3``, or ``rev-`` and the revision where it has none; a source from a
    bucket says it in a file VERSION. A version is one image for ever: another image of the same version stops.

    Under ``<name>/<version>/`` in ``releases`` are ``image.json`` (repository, digest, reference, version, revision),
    ``sbom.json`` and ``findings.json``. They are never replaced.

    - ``parameter_name``: the SSM parameter with the reference of the newest release. It outlives the stack.
    - ``pipeline_name``: name of the pipeline.
    - ``signing_key``: signs releases.

    :param name: of the artifact: lower case letters, digits and dashes; one in the account and region.
    :param source: with the Dockerfile, and what starts the pipeline.
    :param repository: takes the images; its tags must be immutable and its images scanned when pushed, as those of
        ``ImageRegistry``.
    :param build: how the image is made, and its tests.
    :param sbom_image: Syft, as its project publishes it, in a registry of yours.
    :param releases: keeps the records.
    :param fail_on: the mildest severity of a finding that stops a release. Default: ``HIGH``.
    :param accepted_findings: findings that do not, with the reason. Default: none.
    :param scan_minutes: how long to wait for the scan, 1 to 60. Default: 10.
    :param signing_key: signs releases; of type ECC_NIST_P256, for signing. Default: a new key.
    :param encryption_key: encrypts what stages hand over. Default: a new key, rotated yearly.
    :param access_logs: where S3 records who touched that. Default: a new bucket.
    :param log_encryption_key: encrypts logs; its policy must let CloudWatch Logs in. Default: CloudWatch's own key.
    :param log_retention: how long logs are kept. Default: one year.
    :param removal_policy: what becomes of logs and of what stages hand over when the stack goes. Default: they stay.
    """

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
        signing_key: kms.IKey | None = None,
        encryption_key: kms.IKey | None = None,
        access_logs: AccessLogBucket | None = None,
        log_encryption_key: kms.IKey | None = None,
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

    def grant_read_parameter(self, grantee: iam.IGrantable) -> iam.Grant:
        """Let ``grantee`` read which image is the newest release."""
        return self._stages.grant_read_parameter(grantee)

    def grant_verify(self, grantee: iam.IGrantable) -> iam.Grant:
        """Let ``grantee`` verify signatures of releases, by KMS or with the public key."""
        return self._stages.grant_verify(grantee)

    def _check(
        self, test: Sequence[str], fail_on: str, accepted_findings: Mapping[str, str], scan_minutes: int
    ) -> None:
        place = self.node.path
        if not test:
            raise ValueError(f"{place}: build.test must hold a command; an image without tests is not released")
        check_findings(place, fail_on, accepted_findings)
        if not 1 <= scan_minutes <= 60:
            raise ValueError(f"{place}: scan_minutes must be 1 to 60, got {scan_minutes}")

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
        repository.grant(role, *look, *PUSH)  # the signature is an image of its own


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

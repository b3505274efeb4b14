import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from aws_cdk import Acknowledgment, RemovalPolicy, Validations
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from constructs import Construct

from .._arguments import ConfigurationError, checked
from .._storage.access_log_bucket import AccessLogBucket
from .._storage.data_bucket import DataBucket
from .artifact_pipeline import ArtifactPipeline, Severity, Step, check_artifact, check_findings
from .pipeline_source import PipelineSource

_MAVEN = "mvn --batch-mode --no-transfer-progress"
_CYCLONEDX = "org.cyclonedx:cyclonedx-maven-plugin:2.9.1:makeAggregateBom"


@dataclass(frozen=True)
class JarBuild:
    """How a jar is built: ``maven``, or commands, for Gradle or sbt.

    :param test: commands of the unit tests.
    :param package: commands that make the jar and its bill of materials.
    :param jar: pattern for the path of the jar, which must be one.
    :param sbom: path of the bill of materials, CycloneDX 1.5 in JSON.
    :param java: Java as CodeBuild names it. Default: ``corretto17``, as Spark 4 wants.
    """

    test: tuple[str, ...]
    package: tuple[str, ...]
    jar: str
    sbom: str
    java: str = "corretto17"

    @classmethod
    @checked
    def maven(cls, *, java: str = "corretto17") -> Self:
        """Maven. Its CycloneDX plugin creates the bill of materials; the project need not declare it."""
        return cls(
            test=(f"{_MAVEN} test",),
            package=(
                f"{_MAVEN} -DskipTests package {_CYCLONEDX} -DoutputFormat=json -DoutputName=sbom -DschemaVersion=1.5",
            ),
            jar="target/*.jar",
            sbom="target/sbom.json",
            java=java,
        )


class JarPipeline(Construct):
    """A pipeline from a source repository to a versioned jar, such as a Spark application.

    Every change passes these stages, each on its own machine with its own role:

    1. ``Test``: runs the unit tests. A failure ends the run.
    2. ``Build``: builds the jar, its checksum, and the bill of materials (SBOM, CycloneDX).
    3. ``Release``: scans the bill of materials with Inspector. Without findings of severity ``fail_on`` or higher, it
       stores them under ``<name>/<version>/`` in ``releases``, with ``findings.json``, ``jar.json`` (file, sha256,
       version, revision) and its signature, and writes the jar's address to ``parameter_name``.

    The version is the commit's highest tag ``v1.2.3``, or ``rev-`` and the revision if it has none; a source in a
    bucket contains it in a file VERSION. Stored files are immutable, even for the pipeline: S3 enforces it. A version
    that belongs to another revision is refused.

    For a jar in a container, use a ``ContainerPipeline`` with the same source and a Dockerfile that builds it.

    - ``parameter_name``: the SSM parameter with the address of the latest release. It outlives the stack.
    - ``pipeline_name``: name of the pipeline.
    - ``signing_key``: signs releases.

    :param name: name of the artifact: lower case letters, digits and dashes; unique in the account and region.
    :param source: with the build's files, and what starts the pipeline.
    :param releases: keeps jars and records.
    :param build: how the jar is built. Default: Maven.
    :param fail_on: the mildest severity of a finding that stops a release; None does not scan, for regions without
        Inspector Scan. Default: ``HIGH``.
    :param accepted_findings: findings that do not, with the reason. Default: none.
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
        releases: DataBucket,
        build: JarBuild | None = None,
        fail_on: Severity | None = "HIGH",
        accepted_findings: Mapping[str, str] | None = None,
        signing_key: kms.IKey | kms.Key | None = None,
        encryption_key: kms.IKey | kms.Key | None = None,
        access_logs: AccessLogBucket | None = None,
        log_encryption_key: kms.IKey | kms.Key | None = None,
        log_retention: logs.RetentionDays = logs.RetentionDays.ONE_YEAR,
        removal_policy: RemovalPolicy = RemovalPolicy.RETAIN,
    ) -> None:
        super().__init__(scope, id)
        check_artifact(self.node.path, name)
        build = build or JarBuild.maven()
        self._check(build.test, build.package)
        check_findings(self.node.path, fail_on, accepted_findings or {})
        gate = {
            "FAIL_ON": fail_on or "",
            "ACCEPTED_FINDINGS": json.dumps(dict(accepted_findings or {}), sort_keys=True),
        }
        runtimes = {"java": build.java}
        self._stages = ArtifactPipeline(
            self,
            "Stages",
            name=name,
            source=source,
            steps=[
                Step(name="Test", takes="Source", commands=build.test, runtimes=runtimes),
                Step(
                    name="Build",
                    takes="Source",
                    gives="Built",
                    commands=build.package,
                    tools="jar_build",
                    environment={"JAR": build.jar, "SBOM": build.sbom},
                    runtimes=runtimes,
                ),
                Step(name="Release", takes="Built", tools="jar_release", environment=gate, releases=True, minutes=15),
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
        if fail_on:
            self._let_scan(self._stages.roles["Release"])

    @checked
    def grant_read_parameter(self, grantee: iam.IGrantable) -> iam.Grant:
        """Allow ``grantee`` to read which jar is the newest release."""
        return self._stages.grant_read_parameter(grantee)

    @checked
    def grant_verify(self, grantee: iam.IGrantable) -> iam.Grant:
        """Allow ``grantee`` to verify signatures of releases, by KMS or with the public key."""
        return self._stages.grant_verify(grantee)

    def _let_scan(self, role: iam.Role) -> None:
        """By a separate policy, so that its wildcard is excepted nowhere else."""
        scan = iam.PolicyStatement(actions=["inspector-scan:ScanSbom"], resources=["*"])
        policy = iam.Policy(self, "Scan", statements=[scan], roles=[role])
        reason = "a scan of a list that is sent along is of no resource"
        Validations.of(policy).acknowledge(Acknowledgment(id="AwsSolutions-IAM5[Resource::*]", reason=reason))

    def _check(self, test: Sequence[str], package: Sequence[str]) -> None:
        if not test:
            raise ConfigurationError(
                f"{self.node.path}: build.test must hold a command; a jar without tests is not released"
            )
        if not package:
            raise ConfigurationError(f"{self.node.path}: build.package must hold the command that makes the jar")

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from aws_cdk import Acknowledgment, RemovalPolicy, Validations
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from constructs import Construct

from ._access_log_bucket import AccessLogBucket
from ._artifact_pipeline import ArtifactPipeline, Severity, Step, check_artifact, check_findings
from ._data_bucket import DataBucket
from ._pipeline_source import PipelineSource

_MAVEN = "mvn --batch-mode --no-transfer-progress"
_CYCLONEDX = "org.cyclonedx:cyclonedx-maven-plugin:2.9.1:makeAggregateBom"


@dataclass(frozen=True)
class JarBuild:
    """How a jar is made. Take ``maven``, or say it in commands, for Gradle or sbt.

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
    def maven(cls, *, java: str = "corretto17") -> Self:
        """Maven; the bill of materials comes from its CycloneDX plugin, which the project need not name."""
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
    """From a repository of sources to a jar under a version of its own, such as a Spark application.

    Every change goes through these stages, each in a machine and with a role of its own:

    1. ``Test``: the unit tests. Nothing is built from what fails here.
    2. ``Build``: the jar, its checksum, and the list of all that is in it (SBOM, CycloneDX).
    3. ``Release``: has Inspector scan the list. If it finds nothing of severity ``fail_on`` or worse, stores them as
       ``<name>/<version>/`` in ``releases``, with ``findings.json``, ``jar.json`` (file, sha256, version,
       revision) and its signature, and writes the jar's address to ``parameter_name``.

    The version is the commit's highest tag ``v1.2.3``, or ``rev-`` and the revision where it has none; a source from a
    bucket says it in a file VERSION. What is stored is never replaced, not even by the pipeline: S3 refuses it. A
    version that another revision has already stops.

    For a jar in a container, give a ``ContainerPipeline`` the same source and a Dockerfile that builds it.

    - ``parameter_name``: the SSM parameter with the address of the newest release. It outlives the stack.
    - ``pipeline_name``: name of the pipeline.
    - ``signing_key``: signs releases.

    :param name: of the artifact: lower case letters, digits and dashes; one in the account and region.
    :param source: with the build's files, and what starts the pipeline.
    :param releases: keeps jars and records.
    :param build: how the jar is made. Default: Maven.
    :param fail_on: the mildest severity of a finding that stops a release; None does not scan, for regions without
        Inspector Scan. Default: ``HIGH``.
    :param accepted_findings: findings that do not, with the reason. Default: none.
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
        releases: DataBucket,
        build: JarBuild | None = None,
        fail_on: Severity | None = "HIGH",
        accepted_findings: Mapping[str, str] | None = None,
        signing_key: kms.IKey | None = None,
        encryption_key: kms.IKey | None = None,
        access_logs: AccessLogBucket | None = None,
        log_encryption_key: kms.IKey | None = None,
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

    def grant_read_parameter(self, grantee: iam.IGrantable) -> iam.Grant:
        """Let ``grantee`` read which jar is the newest release."""
        return self._stages.grant_read_parameter(grantee)

    def grant_verify(self, grantee: iam.IGrantable) -> iam.Grant:
        """Let ``grantee`` verify signatures of releases, by KMS or with the public key."""
        return self._stages.grant_verify(grantee)

    def _let_scan(self, role: iam.Role) -> None:
        """By a policy of its own: its wildcard is excepted nowhere else."""
        scan = iam.PolicyStatement(actions=["inspector-scan:ScanSbom"], resources=["*"])
        policy = iam.Policy(self, "Scan", statements=[scan], roles=[role])
        reason = "a scan of a list that is sent along is of no resource"
        Validations.of(policy).acknowledge(Acknowledgment(id="AwsSolutions-IAM5[Resource::*]", reason=reason))

    def _check(self, test: Sequence[str], package: Sequence[str]) -> None:
        if not test:
            raise ValueError(f"{self.node.path}: build.test must hold a command; a jar without tests is not released")
        if not package:
            raise ValueError(f"{self.node.path}: build.package must hold the command that makes the jar")

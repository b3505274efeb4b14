import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_iam as iam
from aws_cdk.assertions import Match, Template
from cryptography.exceptions import InvalidSignature
from syrupy.assertion import SnapshotAssertion

from mlplatform_constructs import ContainerPipeline, DataBucket, ImageBuild, ImageRegistry, PinnedImage, PipelineSource
from mlplatform_constructs._artifacts.pipeline_tools import image_release
from mlplatform_constructs._artifacts.pipeline_tools.commands import Failed, Stop
from stacks.app import new_app
from tests.compliance import assert_complies
from tests.library.build_stand_in import COMMIT, World, resources
from tests.policies import allows, flat, identity_statements, many

CONNECTION = "arn:aws:codeconnections:eu-west-1:111111111111:connection/0a1b2c3d-0a1b-0a1b-0a1b-0a1b2c3d4e5f"
SYFT = f"sha256:{'5' * 64}"
CANDIDATE = "rev-0123456789ab"
WORSE = {"CVE-1": "HIGH", "CVE-2": "MEDIUM", "CVE-3": "CRITICAL"}


def pipeline(stack: cdk.Stack, **options: Any) -> ContainerPipeline:
    syft = ecr.Repository.from_repository_attributes(
        stack,
        "Syft",
        repository_arn="arn:aws:ecr:eu-west-1:222222222222:repository/mirror/syft",
        repository_name="mirror/syft",
    )
    defaults: dict[str, Any] = {
        "name": "churn",
        "source": PipelineSource.connection(CONNECTION, repository="example/churn"),
        "repository": ImageRegistry(stack, "Images", repositories=["serving"]).repository("serving"),
        "build": ImageBuild(test=["test -e Dockerfile", "test ! -e broken"]),
        "sbom_image": PinnedImage(syft, SYFT),
        "releases": DataBucket(stack, "Releases"),
    }
    return ContainerPipeline(stack, "Churn", **{**defaults, **options})


def source(folder: Path, *tags: str, git: bool = True) -> Path:
    """A repository of Git with one commit that has these tags."""
    folder.mkdir()
    (folder / "Dockerfile").write_text("FROM scratch\n")
    if git:
        name = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
        for command in (["init", "-q"], ["add", "."], [*name, "commit", "-qm", "a"], *(["tag", tag] for tag in tags)):
            subprocess.run(["git", *command], cwd=folder, check=True, capture_output=True)
    return folder


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path / "world")
    yield made
    made.close()


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Template:
    """The pipeline with its defaults."""
    app = new_app(outdir=str(tmp_path_factory.mktemp("defaults") / "cdk.out"))
    stack = cdk.Stack(app, "Test", env=cdk.Environment(account="111111111111", region="eu-west-1"))
    pipeline(stack)
    return Template.from_stack(stack)


@pytest.mark.promise("container-pipeline")
def test_the_ids_of_its_resources_stay(template: Template, snapshot_json: SnapshotAssertion) -> None:
    """A changed id replaces the resource."""
    assert resources(template) == snapshot_json


@pytest.mark.promise("container-pipeline")
def test_a_commit_is_tested_built_listed_scanned_and_released_by_its_digest(
    template: Template, world: World, tmp_path: Path
) -> None:
    played = world.play(template, source(tmp_path / "source", "v1.2.3", "v1.2.2"))
    assert played.stages == ["Test", "Build", "Release"], played.said
    state = world.read()
    digest = state["images"][CANDIDATE]
    assert state["images"]["1.2.3"] == digest
    assert set(state["images"]) == {CANDIDATE, "1.2.3", signature_tag(digest)}
    reference = state["parameters"]["/artifacts/churn"]
    assert reference.endswith(f"@{digest}")
    kept = state["objects"]
    assert set(kept) == {f"churn/1.2.3/{name}.json" for name in ("findings", "image", "sbom")}
    image = json.loads(kept["churn/1.2.3/image.json"]["body"])
    assert (image["reference"], image["version"], image["revision"]) == (reference, "1.2.3", COMMIT)


def signature_tag(digest: str) -> str:
    return digest.replace(":", "-") + ".sig"


@pytest.mark.promise("container-pipeline")
def test_a_release_is_signed_where_cosign_looks_for_it(template: Template, world: World, tmp_path: Path) -> None:
    world.play(template, source(tmp_path / "source", "v1.2.3"))
    state = world.read()
    digest = state["images"]["1.2.3"]
    (layer,) = json.loads(state["manifests"][state["images"][signature_tag(digest)]])["layers"]
    payload = state["layers"][layer["digest"]]
    assert json.loads(payload)["critical"]["image"] == {"docker-manifest-digest": digest}
    signature = layer["annotations"]["dev.cosignproject.cosign/signature"]
    world.verify(signature, payload)
    with pytest.raises(InvalidSignature):
        world.verify(signature, payload.replace(digest, f"sha256:{'0' * 64}"))


def test_the_dockerfile_gets_its_arguments_and_base_images_from_registries_that_are_logged_in_to(
    stack: cdk.Stack, world: World, tmp_path: Path
) -> None:
    base = ecr.Repository.from_repository_attributes(
        stack,
        "Base",
        repository_arn="arn:aws:ecr:eu-central-1:333333333333:repository/base",
        repository_name="base",
    )
    build = ImageBuild(
        test=["true"], dockerfile="serve/Dockerfile", context="serve", arguments={"TAG": "1"}, base_repositories=[base]
    )
    pipeline(stack, build=build)
    folder = source(tmp_path / "source")
    (folder / "serve").mkdir()
    (folder / "Dockerfile").rename(folder / "serve" / "Dockerfile")
    played = world.play(Template.from_stack(stack), folder)
    assert played.stages == ["Test", "Build", "Release"], played.said
    (built,) = world.commands("docker build")
    assert "--build-arg=TAG=1" in built
    assert built.endswith(" serve")
    assert "333333333333.dkr.ecr.eu-central-1.amazonaws.com password" in world.read()["logins"]


def test_the_bill_of_materials_is_made_by_the_pinned_tool_without_a_network_before_the_push(
    template: Template, world: World, tmp_path: Path
) -> None:
    world.play(template, source(tmp_path / "source"))
    verbs = [command.split()[1] for command in world.commands("docker ")]
    assert verbs == ["login", "login", "build", "save", "run", "push"]
    (listing,) = world.commands("docker run")
    assert f"222222222222.dkr.ecr.eu-west-1.amazonaws.com/mirror/syft@{SYFT} scan" in listing
    assert "--network=none" in listing


def test_a_commit_without_a_tag_is_named_by_its_revision(template: Template, world: World, tmp_path: Path) -> None:
    played = world.play(template, source(tmp_path / "source", "nightly"))
    assert played.stages == ["Test", "Build", "Release"], played.said
    images = world.read()["images"]
    assert set(images) == {CANDIDATE, signature_tag(images[CANDIDATE])}


def test_an_archive_says_its_version_in_a_file(template: Template, world: World, tmp_path: Path) -> None:
    folder = source(tmp_path / "source", git=False)
    (folder / "VERSION").write_text("2.0.0\n")
    assert world.play(template, folder).stages == ["Test", "Build", "Release"]
    images = world.read()["images"]
    assert images["2.0.0"] == images[CANDIDATE]


def test_nothing_is_built_from_what_fails_its_tests(template: Template, world: World, tmp_path: Path) -> None:
    folder = source(tmp_path / "source", "v1.2.3")
    (folder / "broken").touch()
    assert world.play(template, folder).stages == []
    assert world.read()["commands"] == []


def test_a_finding_stops_the_release_and_nothing_points_to_the_image(
    template: Template, world: World, tmp_path: Path
) -> None:
    world.change(findings=WORSE)
    played = world.play(template, source(tmp_path / "source", "v1.2.3"))
    assert played.stages == ["Test", "Build"]
    assert "2 findings of severity HIGH or worse; update what they are in, or accept one by name" in played.said
    assert "CRITICAL: CVE-3\nHIGH: CVE-1\n" in played.said
    state = world.read()
    assert set(state["images"]) == {CANDIDATE}
    assert not state["parameters"]
    assert not state["objects"]


@pytest.mark.parametrize(
    "options",
    [
        {"accepted_findings": {"CVE-1": "no way to it", "CVE-3": "no way to it"}},
        {"fail_on": "CRITICAL", "accepted_findings": {"CVE-3": "no way to it"}},
    ],
)
def test_an_accepted_or_milder_finding_does_not(
    stack: cdk.Stack, world: World, tmp_path: Path, options: dict[str, Any]
) -> None:
    world.change(findings=WORSE)
    pipeline(stack, **options)
    played = world.play(Template.from_stack(stack), source(tmp_path / "source"))
    assert played.stages == ["Test", "Build", "Release"], played.said
    assert "accepted: CVE-3: no way to it" in played.said
    assert "CVE-1" in world.read()["objects"][f"churn/{CANDIDATE}/findings.json"]["body"]


@pytest.mark.parametrize("status", ["FAILED", "UNSUPPORTED_IMAGE"])
def test_an_image_that_cannot_be_scanned_is_not_released(
    template: Template, world: World, tmp_path: Path, status: str
) -> None:
    world.change(scans=[status])
    played = world.play(template, source(tmp_path / "source"))
    assert played.stages == ["Test", "Build"]
    assert f"cannot be scanned: {status}" in played.said


def test_the_wait_for_the_scan_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(image_release.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(image_release.time, "sleep", lambda seconds: clock.__setitem__(0, clock[0] + seconds))
    monkeypatch.setenv("SCAN_MINUTES", "1")
    answers: list[Any] = [
        Failed("ScanNotFoundException"),
        {"imageScanStatus": {"status": "IN_PROGRESS"}},
        {"imageScanStatus": {"status": "COMPLETE"}, "imageScanFindings": {"findings": []}},
    ]

    def answer(*arguments: str) -> Any:
        found = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(found, Failed):
            raise found
        return found

    monkeypatch.setattr(image_release, "aws", answer)
    assert image_release.scan_of("serving", SYFT) == {"findings": []}
    assert clock == [30.0]
    answers[:] = [{"imageScanStatus": {"status": "IN_PROGRESS", "description": "slow"}}]
    with pytest.raises(Stop, match="no findings after 1 minutes, scan is IN_PROGRESS: slow; run the stage again"):
        image_release.scan_of("serving", SYFT)
    assert clock == [90.0]


def test_findings_of_enhanced_scans_are_read_too() -> None:
    enhanced = {"title": "t", "severity": "HIGH", "packageVulnerabilityDetails": {"vulnerabilityId": "CVE-1"}}
    assert image_release.findings({"enhancedFindings": [enhanced]}) == {"CVE-1": "HIGH"}


def test_a_revision_is_built_once_and_a_second_run_changes_nothing(
    template: Template, world: World, tmp_path: Path
) -> None:
    folder = source(tmp_path / "source", "v1.2.3")
    world.play(template, folder)
    before = world.read()
    assert world.play(template, folder).stages == ["Test", "Build", "Release"]
    after = world.read()
    assert len(world.commands("docker build")) == len(world.commands("docker push")) == 1
    assert len(world.commands("docker pull")) == 1
    for name in ("images", "objects", "parameters"):
        assert after[name] == before[name]


def test_a_version_is_immutable(template: Template, world: World, tmp_path: Path) -> None:
    other = f"sha256:{'9' * 64}"
    world.change(images={"1.2.3": other})
    played = world.play(template, source(tmp_path / "source", "v1.2.3"))
    assert played.stages == ["Test", "Build"]
    assert f"1.2.3: is {other} already; give this revision another version" in played.said
    assert world.read()["images"]["1.2.3"] == other


def role_statements(template: Template, step: str) -> list[dict[str, Any]]:
    (role,) = [id for id in template.find_resources("AWS::IAM::Role") if id.startswith(f"ChurnStages{step}Role")]
    return identity_statements(template, role)


def test_who_runs_the_tests_reaches_no_registry_and_no_release(template: Template) -> None:
    actions = {action for each in role_statements(template, "Test") for action in many(each["Action"])}
    assert not [action for action in actions if action.startswith(("ecr:", "ssm:"))]
    assert "s3:PutObject" not in actions


def test_who_builds_releases_nothing(template: Template) -> None:
    statements = role_statements(template, "Build")
    actions = {action for each in statements for action in many(each["Action"])}
    assert not actions & {"ssm:PutParameter", "kms:Sign"}
    written = [flat(each["Resource"]) for each in statements if "s3:PutObject" in many(each["Action"])]
    assert len(written) == 1
    assert written[0].startswith("<ChurnStagesArtifacts")


def test_who_releases_adds_records_of_this_artifact_and_replaces_none(template: Template) -> None:
    statements = role_statements(template, "Release")
    (bucket,) = [id for id in template.find_resources("AWS::S3::Bucket") if id.startswith("ReleasesBucket")]
    record, other = f"<{bucket}.Arn>/churn/1.2.3/image.json", f"<{bucket}.Arn>/fraud/1.2.3/image.json"
    assert allows(statements, "s3:PutObject", record, s3__if_none_match="*")
    assert not allows(statements, "s3:PutObject", record)
    assert not allows(statements, "s3:PutObject", other, s3__if_none_match="*")
    assert not allows(statements, "s3:DeleteObject", record)


@pytest.mark.promise("images-built-outside-clusters")
def test_only_the_build_has_a_docker_daemon(template: Template) -> None:
    projects = template.find_resources("AWS::CodeBuild::Project")
    privileged = [id for id, each in projects.items() if each["Properties"]["Environment"]["PrivilegedMode"]]
    assert len(projects) == 3
    assert [id for id in privileged if not id.startswith("ChurnStagesBuild")] == []
    assert len(privileged) == 1


def test_every_commit_goes_through_in_order_and_everything_is_encrypted(template: Template) -> None:
    key = {"Fn::GetAtt": [Match.string_like_regexp("^ChurnStagesArtifactsKey"), "Arn"]}
    template.has_resource_properties(
        "AWS::CodePipeline::Pipeline",
        {
            "PipelineType": "V2",
            "ExecutionMode": "QUEUED",
            "ArtifactStore": Match.object_like({"EncryptionKey": {"Id": key, "Type": "KMS"}}),
        },
    )
    template.all_resources_properties("AWS::CodeBuild::Project", {"EncryptionKey": key})
    template.all_resources_properties("AWS::Logs::LogGroup", {"RetentionInDays": 365})


def test_a_reader_learns_which_image_is_the_newest(stack: cdk.Stack) -> None:
    reader = iam.Role(stack, "Reader", assumed_by=iam.ServicePrincipal("ec2.amazonaws.com"))
    pipeline(stack).grant_read_parameter(reader)
    (id,) = [id for id in Template.from_stack(stack).find_resources("AWS::IAM::Role") if id.startswith("Reader")]
    (statement,) = identity_statements(Template.from_stack(stack), id)
    assert statement["Action"] == "ssm:GetParameter"
    assert flat(statement["Resource"]).endswith(":parameter/artifacts/churn")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"name": "Churn Model"}, "Test/Churn: name must be lower case letters, digits and dashes, got 'Churn Model'"),
        ({"build": ImageBuild(test=[])}, "Test/Churn: build.test must hold a command; an image without tests is not"),
        ({"fail_on": "SEVERE"}, "Test/Churn: fail_on must be 'CRITICAL' or 'HIGH' or 'MEDIUM' or 'LOW', got 'SEVERE'"),
        ({"accepted_findings": {"CVE-1": " "}}, "Test/Churn: accepted_findings: CVE-1: needs a reason"),
        ({"scan_minutes": 61}, "Test/Churn: scan_minutes must be 1 to 60, got 61"),
    ],
)
def test_refuses_what_cannot_be_meant(stack: cdk.Stack, options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        pipeline(stack, **options)


def test_refuses_an_image_that_has_no_digest(stack: cdk.Stack) -> None:
    with pytest.raises(ValueError, match="digest must be sha256: and 64 hexadecimal digits, got 'latest'"):
        PinnedImage(ImageRegistry(stack, "Tools", repositories=["syft"]).repository("syft"), "latest")


def test_passes_the_compliance_pack(app: cdk.App, stack: cdk.Stack) -> None:
    pipeline(stack)
    assert_complies(app)

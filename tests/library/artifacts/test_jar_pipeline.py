import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk.assertions import Template
from syrupy.assertion import SnapshotAssertion

from mlplatform_constructs import DataBucket, JarBuild, JarPipeline, PipelineSource
from stacks.app import new_app
from tests.compliance import assert_complies
from tests.library.build_stand_in import COMMIT, World, resources
from tests.policies import allows, identity_statements, many

CONNECTION = "arn:aws:codeconnections:eu-west-1:111111111111:connection/0a1b2c3d-0a1b-0a1b-0a1b-0a1b2c3d4e5f"
JAR = "features/1.2.3/features-1.0.jar"
STAGES = ["Test", "Build", "Release"]


def pipeline(stack: cdk.Stack, **options: Any) -> JarPipeline:
    defaults: dict[str, Any] = {
        "name": "features",
        "source": PipelineSource.connection(CONNECTION, repository="example/features"),
        "releases": DataBucket(stack, "Releases"),
    }
    return JarPipeline(stack, "Features", **{**defaults, **options})


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Template:
    """The pipeline with its defaults."""
    app = new_app(outdir=str(tmp_path_factory.mktemp("defaults") / "cdk.out"))
    stack = cdk.Stack(app, "Test", env=cdk.Environment(account="111111111111", region="eu-west-1"))
    pipeline(stack)
    return Template.from_stack(stack)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path / "world")
    yield made
    made.close()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "pom.xml").write_text("<project/>")
    (folder / "VERSION").write_text("1.2.3")
    return folder


@pytest.mark.promise("jar-pipeline")
def test_the_ids_of_its_resources_stay(template: Template, snapshot_json: SnapshotAssertion) -> None:
    """A changed id replaces the resource."""
    assert resources(template) == snapshot_json


@pytest.mark.promise("jar-pipeline")
def test_a_commit_becomes_a_jar_with_its_checksum_and_bill_of_materials(
    template: Template, world: World, source: Path
) -> None:
    played = world.play(template, source)
    assert played.stages == STAGES, played.said
    kept = world.read()["objects"]
    records = ("findings.json", "jar.json", "jar.json.sig", "sbom.json")
    assert set(kept) == {JAR, *(f"features/1.2.3/{name}" for name in records)}
    assert kept[JAR]["body"] == "a jar of <project/>"
    record = json.loads(kept["features/1.2.3/jar.json"]["body"])
    assert record["sha256"] == hashlib.sha256(b"a jar of <project/>").hexdigest()
    assert (record["version"], record["revision"]) == ("1.2.3", COMMIT)
    world.verify(kept["features/1.2.3/jar.json.sig"]["body"], kept["features/1.2.3/jar.json"]["body"])
    assert world.read()["parameters"]["/artifacts/features"].endswith(f"/{JAR}")


def test_the_unit_tests_come_first_and_the_jar_is_made_once(template: Template, world: World, source: Path) -> None:
    world.play(template, source)
    test, package = world.commands("mvn ")
    assert test.endswith(" test")
    assert "-DskipTests package org.cyclonedx:cyclonedx-maven-plugin:" in package


def test_nothing_is_built_from_what_fails_its_tests(stack: cdk.Stack, world: World, source: Path) -> None:
    build = JarBuild(test=("false",), package=("touch built",), jar="*.jar", sbom="sbom.json")
    pipeline(stack, build=build)
    assert world.play(Template.from_stack(stack), source).stages == []
    assert not list(world.folder.rglob("built"))


@pytest.mark.parametrize(("made", "told"), [("", "none"), ("a.jar b.jar", "a.jar, b.jar")])
def test_a_build_that_does_not_make_one_jar_stops(
    stack: cdk.Stack, world: World, source: Path, made: str, told: str
) -> None:
    build = JarBuild(test=("true",), package=(f"touch sbom.json {made}",), jar="*.jar", sbom="sbom.json")
    pipeline(stack, build=build)
    played = world.play(Template.from_stack(stack), source)
    assert played.stages == ["Test"]
    assert f"*.jar: must match one file that the build made, matches {told}; change jar" in played.said


def test_a_finding_stops_the_release(template: Template, world: World, source: Path) -> None:
    world.change(findings={"CVE-1": "HIGH", "CVE-2": "MEDIUM"})
    played = world.play(template, source)
    assert played.stages == ["Test", "Build"]
    assert "features-1.0.jar: 1 findings of severity HIGH or worse; update what they are in" in played.said
    assert not world.read()["objects"]
    assert not world.read()["parameters"]


@pytest.mark.parametrize("options", [{"accepted_findings": {"CVE-1": "no way to it"}}, {"fail_on": None}])
def test_an_accepted_finding_or_no_scan_does_not(
    stack: cdk.Stack, world: World, source: Path, options: dict[str, Any]
) -> None:
    world.change(findings={"CVE-1": "HIGH"})
    pipeline(stack, **options)
    played = world.play(Template.from_stack(stack), source)
    assert played.stages == STAGES, played.said
    assert ("features/1.2.3/findings.json" in world.read()["objects"]) == ("fail_on" not in options)


def test_a_second_run_changes_nothing(template: Template, world: World, source: Path) -> None:
    world.play(template, source)
    before = world.read()["objects"]
    assert world.play(template, source).stages == STAGES
    assert world.read()["objects"] == before


def test_records_are_of_the_jar_that_stays_even_where_a_second_build_makes_other_bytes(
    template: Template, world: World, source: Path
) -> None:
    world.play(template, source)
    before = world.read()["objects"]
    world.change(objects={JAR: before[JAR]})  # as if it had been interrupted
    (source / "pom.xml").write_text("<project>other bytes</project>")
    played = world.play(template, source)
    assert played.stages == STAGES, played.said
    after = world.read()["objects"]
    assert after[JAR] == before[JAR]
    assert after["features/1.2.3/jar.json"] == before["features/1.2.3/jar.json"]
    world.verify(after["features/1.2.3/jar.json.sig"]["body"], after["features/1.2.3/jar.json"]["body"])


def test_a_version_is_immutable(template: Template, world: World, source: Path) -> None:
    world.play(template, source)
    before = world.read()
    (source / "pom.xml").write_text("<project>changed</project>")
    played = world.play(template, source, revision="f" * 40)
    assert played.stages == ["Test", "Build"]
    assert f"1.2.3: is released from {COMMIT} already; give {'f' * 40} another version" in played.said
    assert world.read()["objects"] == before["objects"]
    assert world.read()["parameters"] == before["parameters"]


def test_a_source_without_a_version_is_named_by_its_revision(template: Template, world: World, source: Path) -> None:
    (source / "VERSION").unlink()
    assert world.play(template, source).stages == STAGES
    assert "features/rev-0123456789ab/jar.json" in world.read()["objects"]


def test_who_releases_adds_and_never_replaces_and_who_builds_does_neither(template: Template) -> None:
    (bucket,) = [id for id in template.find_resources("AWS::S3::Bucket") if id.startswith("ReleasesBucket")]
    roles = template.find_resources("AWS::IAM::Role")
    builder, releaser = (
        next(identity_statements(template, id) for id in roles if id.startswith(f"FeaturesStages{step}Role"))
        for step in ("Build", "Release")
    )
    jar = f"<{bucket}.Arn>/{JAR}"
    assert allows(releaser, "s3:PutObject", jar, s3__if_none_match="*")
    assert not allows(releaser, "s3:PutObject", jar)
    assert not allows(builder, "s3:PutObject", jar, s3__if_none_match="*")
    assert not [each for each in builder if "ssm:PutParameter" in many(each["Action"])]


@pytest.mark.promise("images-built-outside-clusters")
def test_no_step_has_a_docker_daemon(template: Template) -> None:
    for project in template.find_resources("AWS::CodeBuild::Project").values():
        assert project["Properties"]["Environment"]["PrivilegedMode"] is False


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"name": "-"}, "Test/Features: name must be lower case letters, digits and dashes, got '-'"),
        ({"fail_on": "SEVERE"}, "fail_on must be 'CRITICAL' or 'HIGH' or 'MEDIUM' or 'LOW', got 'SEVERE'"),
        ({"accepted_findings": {"CVE-1": ""}}, "accepted_findings: CVE-1: needs a reason"),
        ({"build": JarBuild((), ("a",), "b", "c")}, "build.test must hold a command; a jar without tests is not"),
        ({"build": JarBuild(("a",), (), "b", "c")}, "build.package must hold the command that makes the jar"),
    ],
)
def test_refuses_what_cannot_be_meant(stack: cdk.Stack, options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        pipeline(stack, **options)


def test_passes_the_compliance_pack(app: cdk.App, stack: cdk.Stack) -> None:
    pipeline(stack)
    assert_complies(app)

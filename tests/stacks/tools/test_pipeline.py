"""The pipeline over small stages, one stack in another region, in place of the platform's."""

import json
import re
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_ssm as ssm
from aws_cdk.assertions import Match, Template
from syrupy.assertion import SnapshotAssertion

from config.delivery import Delivery
from config.loader import load_account
from config.schema import Account
from stacks.tools import pipeline_limits
from stacks.tools.mirror import registries_of
from stacks.tools.pipeline import PipelineStack
from stacks.tools.pipeline_limits import check_limits
from stacks.tools.tools import ToolsStage
from tests.compliance import assert_complies
from tests.policies import allows, flat, identity_statements, many

ROOT = Path(__file__).parents[3]
ACCOUNTS = {"dev": "111111111111", "staging": "222222222222", "prod": "333333333333"}
DELIVERY: dict[str, Any] = {
    "account": "999999999999",
    "region": "eu-west-1",
    "source": {
        "connection_arn": "arn:aws:codeconnections:eu-west-1:999999999999:connection/0123abcd",
        "repository": "example/ml-platform",
    },
    "notification_email": "platform@example.com",
    "waves": (
        {"name": "Trial", "accounts": ("dev",)},
        {"name": "Production", "accounts": ("staging", "prod"), "approval": True, "bake_minutes": 90},
    ),
}

Made = tuple[PipelineStack, Template]


def stage_of(app: cdk.App, name: str, account: str) -> cdk.Stage:
    """A stage with a network, and a copy in another region that goes first."""
    stage = cdk.Stage(app, name, env=cdk.Environment(account=account, region="eu-west-1"))
    replica = cdk.Stack(stage, "Replica", env=cdk.Environment(account=account, region="eu-central-1"))
    network = cdk.Stack(stage, "Network")
    network.add_dependency(replica)
    for stack in (replica, network):
        ssm.StringParameter(stack, "Parameter", string_value=name)
    return stage


@pytest.fixture
def make(app: cdk.App) -> Callable[..., Made]:
    def make(
        tools: bool = False,
        registries: Any = (),
        removal_policy: cdk.RemovalPolicy = cdk.RemovalPolicy.RETAIN,
        **changes: Any,
    ) -> Made:
        settings = Delivery.model_validate(DELIVERY | changes)
        stages = {name: stage_of(app, name, account) for name, account in ACCOUNTS.items()}
        stage = ToolsStage(app, settings=settings, registries=registries) if tools else None
        stack = PipelineStack(
            app, "Pipeline", settings=settings, stages=stages, tools=stage, removal_policy=removal_policy
        )
        return stack, Template.from_stack(stack)

    return make


def stages(template: Template) -> dict[str, list[dict[str, Any]]]:
    """Actions by stage, in the order in which they run."""
    (pipeline,) = template.find_resources("AWS::CodePipeline::Pipeline").values()
    return {
        stage["Name"]: sorted(stage["Actions"], key=lambda action: (action["RunOrder"], action["Name"]))
        for stage in pipeline["Properties"]["Stages"]
    }


def order(template: Template, stage: str) -> dict[str, int]:
    return {action["Name"]: action["RunOrder"] for action in stages(template)[stage]}


def projects(template: Template) -> Mapping[str, dict[str, Any]]:
    """Builds by the last two parts of their place: ``dev/Gate``."""
    return {
        "/".join(project["Properties"]["Description"].split("/")[-2:]): project["Properties"]
        for project in template.find_resources("AWS::CodeBuild::Project").values()
    }


def commands(project: dict[str, Any]) -> list[str]:
    return list(json.loads(project["Source"]["BuildSpec"])["phases"]["build"]["commands"])


def test_what_runs_when(make: Callable[..., Made], snapshot_json: SnapshotAssertion) -> None:
    _, template = make()
    overview = {
        stage: [f"{action['RunOrder']} {action['Name']}" for action in actions]
        for stage, actions in stages(template).items()
    }
    assert overview == snapshot_json


def test_an_account_passes_gate_and_approval_before_it_is_deployed_and_tested_and_baked_after(
    make: Callable[..., Made],
) -> None:
    steps = order(make()[1], "Production")
    for account in ("staging", "prod"):
        names = ["Gate", "Approve", "Replica.Deploy", "Network.Deploy", "Smoke", "Bake"]
        orders = [steps[f"{account}.{name}"] for name in names]
        assert orders == sorted(set(orders)), account


def test_without_approval_and_bake_there_are_none(make: Callable[..., Made]) -> None:
    assert list(order(make()[1], "dev")) == ["Gate", "Replica.Deploy", "Network.Deploy", "Smoke"]


def test_every_build_of_ours_calls_one_target_of_the_makefile(make: Callable[..., Made]) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    ours = {
        name: commands(project)
        for name, project in projects(make(tools=True, packages={"domain": "mlplatform"})[1]).items()
        if name.rpartition("/")[2] not in ("SelfMutate", "FileAssets")
    }
    assert len(ours) == 1 + 2 + 2 + 3 + 3
    for name, calls in ours.items():
        (call,) = calls
        program, target, *arguments = call.split()
        assert program == "make", name
        assert target in targets, name
        assert all(re.fullmatch(r"[A-Z]+=[\w-]+", argument) for argument in arguments), name


def test_the_templates_come_from_the_one_synth(make: Callable[..., Made]) -> None:
    template = make()[1]
    synth = projects(template)["Build/Synth"]
    assert commands(synth) == ["make check"]
    assert json.loads(synth["Source"]["BuildSpec"])["artifacts"]["base-directory"] == "cdk.out"
    deployments = [
        action
        for actions in stages(template).values()
        for action in actions
        if action["ActionTypeId"]["Provider"] == "CloudFormation"
    ]
    assert len(deployments) == 2 * len(ACCOUNTS)
    for action in deployments:
        assert action["Configuration"]["TemplatePath"].startswith("Synth_Output::assembly-")


def test_the_commands_of_a_build_find_the_templates_where_the_makefile_looks(
    make: Callable[..., Made], tmp_path: Path
) -> None:
    """Run by a shell, as CodeBuild does, with a stand-in for make."""
    (synth := tmp_path / "synth").mkdir()
    (synth / "manifest.json").touch()
    (sources := tmp_path / "sources").mkdir()
    stand_in = tmp_path / "bin" / "make"
    stand_in.parent.mkdir()
    stand_in.write_text('#!/bin/sh\ntest -f cdk.out/manifest.json && echo "$@" >> ../called\n', encoding="utf-8")
    stand_in.chmod(0o755)
    phases = json.loads(projects(make()[1])["dev/Gate"]["Source"]["BuildSpec"])["phases"]
    environment = {"PATH": f"{stand_in.parent}:/usr/bin:/bin", "CODEBUILD_SRC_DIR_Synth_Output": str(synth)}
    for command in [*phases["install"]["commands"], *phases["build"]["commands"]]:
        subprocess.run(["sh", "-e", "-c", command], cwd=sources, env=environment, check=True)
    assert (tmp_path / "called").read_text(encoding="utf-8") == "gate ACCOUNT=dev\n"


def test_it_changes_itself_with_the_cli_that_people_use(make: Callable[..., Made]) -> None:
    version = json.loads((ROOT / "package.json").read_text(encoding="utf-8"))["devDependencies"]["aws-cdk"]
    update = projects(make()[1])["UpdatePipeline/SelfMutate"]
    install = json.loads(update["Source"]["BuildSpec"])["phases"]["install"]["commands"]
    assert install == [f"npm install -g aws-cdk@{version}"]


def test_the_steps_of_an_account_may_take_its_read_only_roles_and_no_other(make: Callable[..., Made]) -> None:
    template = make()[1]
    (reader,) = (name for name in template.find_resources("AWS::IAM::Role") if name.startswith("devReader"))
    statements = identity_statements(template, reader)
    taken = [flat(arn) for each in statements if each["Action"] == "sts:AssumeRole" for arn in many(each["Resource"])]
    assert taken == [
        f"arn:aws:iam::111111111111:role/cdk-hnb659fds-lookup-role-111111111111-{region}"
        for region in ("eu-central-1", "eu-west-1")
    ]
    for project in ("dev/Gate", "dev/Smoke"):
        assert projects(template)[project]["ServiceRole"] == {"Fn::GetAtt": [reader, "Arn"]}


def test_builds_may_use_the_connection_by_both_names_of_the_service(make: Callable[..., Made]) -> None:
    """IAM takes no other name: https://docs.aws.amazon.com/dtconsole/latest/userguide/rename.html"""
    template = make()[1]
    connection = DELIVERY["source"]["connection_arn"]
    clones = ("Source", "Builder", "devReader", "stagingReader", "prodReader")
    roles = [
        name for name in template.find_resources("AWS::IAM::Role") if name.removeprefix("Pipeline").startswith(clones)
    ]
    assert len(roles) == len(clones)
    for role in roles:
        assert allows(identity_statements(template, role), "codeconnections:UseConnection", connection), role


def test_builds_cannot_push_by_a_connection_of_the_former_name_either(make: Callable[..., Made]) -> None:
    """There the CDK's own grant counts, which allows everything."""
    connection = DELIVERY["source"]["connection_arn"].replace("codeconnections", "codestar-connections")
    template = make(source={**DELIVERY["source"], "connection_arn": connection})[1]
    for role in template.find_resources("AWS::IAM::Role"):
        if not role.startswith(("Builder", "devReader", "prodReader")):
            continue
        found = identity_statements(template, role)
        action = "codestar-connections:UseConnection"
        assert allows(found, action, connection, codestar_connections__ProviderAction="GitPull"), role
        assert not allows(found, action, connection, codestar_connections__ProviderAction="GitPush"), role


def test_steps_read_artifacts_and_cannot_change_them(make: Callable[..., Made]) -> None:
    template = make()[1]
    (bucket,) = (name for name in template.find_resources("AWS::S3::Bucket") if name.startswith("Artifacts"))
    for role in (name for name in template.find_resources("AWS::IAM::Role") if "Reader" in name):
        statements = identity_statements(template, role)
        assert allows(statements, "s3:GetObject", f"<{bucket}.Arn>/any")
        assert not allows(statements, "s3:PutObject", f"<{bucket}.Arn>/any")
        assert not allows(statements, "s3:DeleteObject", f"<{bucket}.Arn>/any")


def test_artifacts_are_encrypted_with_a_rotated_key_that_the_deploying_roles_may_use(make: Callable[..., Made]) -> None:
    template = make()[1]
    (key,) = template.find_resources("AWS::KMS::Key").values()
    assert key["Properties"]["EnableKeyRotation"] is True
    strangers = {
        flat(arn)
        for statement in key["Properties"]["KeyPolicy"]["Statement"]
        for arn in many(statement["Principal"].get("AWS", []))
    } - {"arn:aws:iam::999999999999:root"}
    assert strangers == {
        f"arn:<AWS::Partition>:iam::{account}:role/cdk-hnb659fds-deploy-role-{account}-eu-west-1"
        for account in ACCOUNTS.values()
    }


def test_artifacts_expire_in_every_region(app: cdk.App, make: Callable[..., Made]) -> None:
    _, template = make(log_days=30)
    (support,) = (stack for stack in app.node.children if stack.node.id.startswith("cross-region-stack"))
    assert isinstance(support, cdk.Stack)
    expiry = Match.object_like({"ExpirationInDays": 30, "Status": "Enabled"})
    for each in (template, Template.from_stack(support)):
        each.has_resource_properties(
            "AWS::S3::Bucket", {"LifecycleConfiguration": {"Rules": Match.array_with([expiry])}}
        )


def test_no_build_is_privileged_and_all_write_to_one_encrypted_log(make: Callable[..., Made]) -> None:
    template = make()[1]
    ((log, group),) = template.find_resources("AWS::Logs::LogGroup").items()
    assert group["Properties"]["RetentionInDays"] == 90
    assert "KmsKeyId" in group["Properties"]
    for name, project in projects(template).items():
        assert project["Environment"]["PrivilegedMode"] is False, name
        assert project["LogsConfig"]["CloudWatchLogs"] == {"GroupName": {"Ref": log}, "Status": "ENABLED"}, name
        assert "EncryptionKey" in project, name
        assert not project["Environment"].get("EnvironmentVariables"), name


def test_a_bake_has_time_for_its_minutes_and_the_installation(make: Callable[..., Made]) -> None:
    assert projects(make()[1])["Production/prod.Bake"]["TimeoutInMinutes"] == 90 + 30


def test_failures_and_waiting_approvals_are_reported(make: Callable[..., Made]) -> None:
    template = make()[1]
    template.has_resource_properties(
        "AWS::CodeStarNotifications::NotificationRule",
        {
            "EventTypeIds": [
                "codepipeline-pipeline-pipeline-execution-failed",
                "codepipeline-pipeline-manual-approval-needed",
            ]
        },
    )
    template.has_resource_properties("AWS::SNS::Topic", {"KmsMasterKeyId": Match.any_value()})
    template.has_resource_properties("AWS::SNS::Subscription", {"Endpoint": "platform@example.com"})


@pytest.mark.promise("repeatable")
def test_the_pipeline_starts_again_when_it_has_changed_itself(make: Callable[..., Made]) -> None:
    make()[1].has_resource_properties(
        "AWS::CodePipeline::Pipeline", {"PipelineType": "V2", "RestartExecutionOnUpdate": True}
    )


@pytest.mark.promise("own-registry")
def test_mirrors_are_filled_before_the_first_account_is_deployed_and_packages_published_after_the_last(
    app: cdk.App, make: Callable[..., Made]
) -> None:
    registries = registries_of({"dev": account_with("111111111111.dkr.ecr.eu-west-1.amazonaws.com/mirror")})
    template = make(tools=True, registries=registries, packages={"domain": "mlplatform"})[1]
    names = ["Source", "Build", "UpdatePipeline", "tools", "dev", "Production", "Publication"]
    assert list(stages(template)) == names
    steps = order(template, "tools")
    deployed = [steps[name] for name in steps if name.endswith(".Deploy")]
    assert steps["Gate"] < min(deployed)
    assert max(deployed) < steps["Mirror"]
    assert commands(projects(template)["Publication/Publish"]) == ["make publish DOMAIN=mlplatform REPOSITORY=python"]
    app.synth()


def test_artifacts_and_key_are_retained_by_default(app: cdk.App, make: Callable[..., Made]) -> None:
    kept = {"AWS::KMS::Key", "AWS::S3::Bucket"}
    assert {type for type, policy in policies(make()[1]) if policy == "Retain"} == kept


def test_a_pipeline_without_retention_leaves_nothing(app: cdk.App, make: Callable[..., Made]) -> None:
    _, template = make(removal_policy=cdk.RemovalPolicy.DESTROY)
    (support,) = (stack for stack in app.node.children if stack.node.id.startswith("cross-region-stack"))
    assert isinstance(support, cdk.Stack)
    for each in (template, Template.from_stack(support)):
        assert "Retain" not in {policy for _, policy in policies(each)}
    app.synth()


def policies(template: Template) -> set[tuple[str, str]]:
    return {(each["Type"], each.get("DeletionPolicy", "Delete")) for each in template.to_json()["Resources"].values()}


def test_complies(app: cdk.App, make: Callable[..., Made]) -> None:
    make()
    assert_complies(app)


def test_fails_above_the_limits_of_codepipeline() -> None:
    check_limits("Pipeline", {str(stage): 10 for stage in range(50)})
    with pytest.raises(
        ValueError, match=r"^Pipeline: 51 stages, CodePipeline takes 50; put accounts into fewer waves$"
    ):
        check_limits("Pipeline", {str(stage): 1 for stage in range(51)})
    with pytest.raises(ValueError, match=r"^Pipeline: 51 actions in stage Trial, CodePipeline takes 50; spread"):
        check_limits("Pipeline", {"Trial": 51})
    with pytest.raises(ValueError, match=r"^Pipeline: 506 actions, CodePipeline takes 500; deliver"):
        check_limits("Pipeline", {str(stage): 46 for stage in range(11)})


def test_a_file_that_needs_too_much_is_refused_at_synthesis(
    make: Callable[..., Made], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline_limits, "MOST_ACTIONS", 18)
    with pytest.raises(ValueError, match=r"^Pipeline: 19 actions, CodePipeline takes 18; deliver some accounts by"):
        make()


def account_with(registry: str) -> Account:
    return load_account("dev").model_copy(update={"image_registry": registry})

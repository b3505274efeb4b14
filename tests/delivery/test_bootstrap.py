from pathlib import Path
from typing import Any

import pytest

from config.delivery import DELIVERY, Delivery, load_delivery
from delivery import bootstrap
from delivery.assembly import Stack
from delivery.bootstrap import script

TOOLS, DEV, PROD = "999999999999", "111111111111", "333333333333"


def stack(id: str, account: str, region: str = "eu-west-1", *resources: dict[str, Any]) -> Stack:
    made = Stack(id=id, name=id.replace("/", "-"), account=account, region=region, template_file=Path("none"))
    made.__dict__["template"] = {"Resources": {str(n): each for n, each in enumerate(resources)}}  # as if read
    return made


STACKS = [
    stack("prod/StorageReplica", PROD, "eu-central-1"),
    stack("prod/Network", PROD),
    stack("dev/Network", DEV),
    stack("dev/Storage", DEV),
    stack("local/Network", "000000000000", "us-east-1"),
    stack("Pipeline", TOOLS),
    stack("cross-region-stack", TOOLS, "eu-central-1"),
]


def settings(**changes: object) -> Delivery:
    return load_delivery(DELIVERY).model_copy(update={"account": TOOLS, **changes})


def test_every_environment_of_a_template_is_prepared_once_the_tools_account_first() -> None:
    lines = list(script(STACKS, settings()))
    assert [line.partition(" --")[0] for line in lines] == [
        "# As an administrator of the tools account, 999999999999 (pipeline):",
        "cdk bootstrap aws://999999999999/eu-central-1",
        "cdk bootstrap aws://999999999999/eu-west-1",
        "# As an administrator of 111111111111 (dev):",
        "cdk bootstrap aws://111111111111/eu-west-1",
        "# As an administrator of 333333333333 (prod):",
        "cdk bootstrap aws://333333333333/eu-central-1",
        "cdk bootstrap aws://333333333333/eu-west-1",
        "# Then, once, as an administrator of the tools account, 999999999999:",
        "cdk deploy Pipeline",
    ]


def test_accounts_trust_the_tools_account_and_no_other() -> None:
    for line in script(STACKS, settings()):
        trusted = f"--trust {TOOLS} --trust-for-lookup {TOOLS} " in line
        assert trusted == line.startswith(("cdk bootstrap aws://1", "cdk bootstrap aws://3")), line


def test_an_account_without_a_pipeline_trusts_only_itself() -> None:
    lines = list(script([stack("mine/Network", "555555555555"), *STACKS], settings()))
    (mine,) = (line for line in lines if "aws://555555555555" in line)
    assert "--trust" not in mine


def test_an_account_with_only_a_mirror_allows_the_pipeline_to_create_it() -> None:
    lines = list(script([stack("tools/Mirror-555555555555", "555555555555"), *STACKS], settings()))
    (registry,) = (line for line in lines if "aws://555555555555" in line)
    assert f"--trust {TOOLS}" in registry


def test_policies_and_boundary_are_those_of_the_file() -> None:
    policies = ("arn:aws:iam::aws:policy/PowerUserAccess", "arn:aws:iam::aws:policy/IAMFullAccess")
    lines = [
        line
        for line in script(STACKS, settings(execution_policies=policies, permissions_boundary="Platform"))
        if line.startswith("cdk bootstrap")
    ]
    for line in lines:
        assert line.endswith(
            f" --cloudformation-execution-policies {','.join(policies)} --custom-permissions-boundary Platform"
        )


def test_without_a_pipeline_each_account_trusts_itself_alone() -> None:
    lines = list(script([stack("dev/Network", DEV)], None))
    assert lines == [
        "# As an administrator of 111111111111 (dev):",
        "cdk bootstrap aws://111111111111/eu-west-1 --termination-protection",
    ]


def resource(kind: str, **properties: Any) -> dict[str, Any]:
    return {"Type": kind, "Properties": properties}


def test_roles_of_services_are_made_once_in_each_account_after_its_regions() -> None:
    database, files = resource("AWS::RDS::DBInstance"), resource("AWS::EFS::FileSystem")
    lines = list(
        script(
            [
                stack("dev/Metadata", DEV, "eu-west-1", database, resource("AWS::S3::Bucket")),
                stack("dev/Storage", DEV, "eu-central-1", database, files),
                stack("local/Cluster", DEV, "eu-west-1", resource("AWS::EKS::Cluster")),
                stack("prod/Network", PROD, "eu-west-1", resource("AWS::EC2::VPC")),
            ],
            None,
        )
    )
    assert [line.partition(" --termination")[0] for line in lines] == [
        "# As an administrator of 111111111111 (dev):",
        "cdk bootstrap aws://111111111111/eu-central-1",
        "cdk bootstrap aws://111111111111/eu-west-1",
        '# Ignore an error "has been taken in this account": the role already exists.',
        "aws iam create-service-linked-role --aws-service-name elasticfilesystem.amazonaws.com",
        "aws iam create-service-linked-role --aws-service-name rds.amazonaws.com",
        "# As an administrator of 333333333333 (prod):",
        "cdk bootstrap aws://333333333333/eu-west-1",
    ]


@pytest.mark.parametrize(
    ("capacity", "needed"),
    [("ON_DEMAND", ["autoscaling", "eks-nodegroup"]), ("SPOT", ["autoscaling", "eks-nodegroup", "spot"])],
)
def test_nodes_need_roles_of_several_services(capacity: str, needed: list[str]) -> None:
    nodes = stack("dev/Cluster", DEV, "eu-west-1", resource("AWS::EKS::Nodegroup", CapacityType=capacity))
    assert bootstrap.services([nodes]) == [f"{name}.amazonaws.com" for name in needed]


@pytest.mark.parametrize(
    ("kind", "needed"),
    [
        ("AWS::EMR::SecurityConfiguration", ["elasticmapreduce", "spot"]),
        ("AWS::EMRServerless::Application", ["ops.emr-serverless"]),
    ],
)
def test_jobs_of_pipelines_need_roles_that_pipelines_may_not_create(kind: str, needed: list[str]) -> None:
    workloads = stack("dev/Workloads", DEV, "eu-west-1", resource(kind))
    assert bootstrap.services([workloads]) == [f"{name}.amazonaws.com" for name in needed]


def test_without_templates_it_prints_how_to_synthesize(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bootstrap.main(["--assembly", str(tmp_path)]) == 1
    assert capsys.readouterr().err == f"bootstrap: {tmp_path}: no cloud assembly; run `make synth` first\n"

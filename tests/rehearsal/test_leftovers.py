from typing import Any

from rehearsal.leftovers import find

EMPTY = {"resources": [["s3._buckets", "", "cdk-assets"]], "stacks": [], "kept": [], "managed": {}, "kubernetes": []}


def after(**changes: Any) -> dict[str, Any]:
    return EMPTY | changes


def test_nothing_is_left_of_an_account_that_looks_as_before() -> None:
    left = find(EMPTY, after(stacks=[["us-east-1", "CDKToolkit", "CREATE_COMPLETE", 25]]))
    assert (left.lost, left.kept, left.made_by_lambda) == ((), (), ())


def test_an_undeleted_resource_is_reported_with_its_region() -> None:
    left = find(
        EMPTY,
        after(
            resources=[*EMPTY["resources"], ["ec2._subnets", "eu-west-1", "subnet-1"], ["iam._roles", "", "Node"]],
            stacks=[["eu-west-1", "dev-Network", "DELETE_FAILED", 7]],
            kubernetes=["training: Service web/gateway"],
        ),
    )
    assert left.lost == (
        "stack dev-Network in eu-west-1: DELETE_FAILED",
        "ec2 subnets subnet-1 in eu-west-1",
        "iam roles Node",
        "object of cluster training: Service web/gateway",
    )


def test_what_a_template_keeps_is_no_loss_with_all_that_belongs_to_it() -> None:
    resources = [["s3._buckets", "", "models"], ["s3._bucket_policies", "", "models"]]
    left = find(EMPTY, after(resources=resources, kept=[["eu-west-1", "AWS::S3::Bucket", "models"]]))
    assert left.lost == ()
    assert left.kept == ("AWS::S3::Bucket models in eu-west-1",)


def test_log_groups_that_lambda_made_are_distinguished_from_those_of_templates() -> None:
    groups = [
        ["cloudwatch_logs._log_groups", "eu-west-1", "/aws/lambda/empty-buckets"],
        ["cloudwatch_logs._log_groups", "eu-west-1", "/aws/eks/training/cluster"],
    ]
    left = find(EMPTY, after(resources=groups))
    assert left.made_by_lambda == ("/aws/lambda/empty-buckets",)
    assert left.lost == ("cloudwatch_logs log_groups /aws/eks/training/cluster in eu-west-1",)


NETWORK = {"prod-Network": ["vpc-1", "eipalloc-1", "rtb-1"], "prod-Data": ["stream-1"]}


def test_a_stack_that_is_to_stay_stays_with_all_that_it_consists_of() -> None:
    left = find(
        EMPTY,
        after(
            resources=[["ec2._vpcs", "eu-west-1", "vpc-1"], ["ec2._addresses", "eu-west-1", "eipalloc-1"]],
            stacks=[["eu-west-1", "prod-Network", "CREATE_COMPLETE", 7]],
            managed=NETWORK,
        ),
        frozenset(["prod-Network"]),
    )
    assert (left.lost, left.missing) == ((), ())


def test_what_is_in_no_stack_that_stays_is_lost_there_too() -> None:
    left = find(
        EMPTY,
        after(
            resources=[["ec2._security_groups", "eu-west-1", "sg-of-a-cluster"], ["kinesis._streams", "", "stream-1"]],
            stacks=[["eu-west-1", "prod-Network", "CREATE_COMPLETE", 7]],
            managed=NETWORK,
        ),
        frozenset(["prod-Network"]),
    )
    assert left.lost == ("ec2 security_groups sg-of-a-cluster in eu-west-1", "kinesis streams stream-1")


def test_a_stack_that_retained_resources_need_must_not_be_destroyed() -> None:
    assert find(EMPTY, after(), frozenset(["prod-Metadata"])).missing == ("prod-Metadata",)

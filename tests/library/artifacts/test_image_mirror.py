import json
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_iam as iam
from aws_cdk.assertions import Match, Template

from mlplatform_constructs import ConfigurationError, ImageMirror
from tests.policies import allows, identity_statements

OWN, READER, WRITER = "111111111111", "222222222222", "333333333333"
REDIS = f"arn:aws:ecr:eu-west-1:{OWN}:repository/mirror/docker.io/library/redis"


def mirror(stack: cdk.Stack, **more: Any) -> ImageMirror:
    return ImageMirror(stack, "Mirror", prefix="mirror", repositories=["docker.io/library/redis", "redis"], **more)


def role(scope: cdk.Stack) -> iam.Role:
    return iam.Role(scope, "Role", assumed_by=iam.ServicePrincipal("codebuild.amazonaws.com"))


@pytest.mark.promise("immutable-images")
def test_a_tag_names_one_image_for_ever_and_images_are_scanned_encrypted_and_kept(stack: cdk.Stack) -> None:
    mirror(stack)
    template = Template.from_stack(stack)
    template.resource_count_is("AWS::ECR::Repository", 2)
    template.all_resources(
        "AWS::ECR::Repository",
        {
            "DeletionPolicy": "Retain",
            "UpdateReplacePolicy": "Retain",
            "Properties": {
                "ImageTagMutability": "IMMUTABLE",
                "ImageScanningConfiguration": {"ScanOnPush": True},
                "EncryptionConfiguration": {
                    "EncryptionType": "KMS",
                    "KmsKey": {"Fn::GetAtt": [Match.string_like_regexp("^MirrorKey"), "Arn"]},
                },
            },
        },
    )
    template.has_resource_properties("AWS::KMS::Key", {"EnableKeyRotation": True})


def test_nothing_with_a_tag_expires(stack: cdk.Stack) -> None:
    mirror(stack, unfinished_days=3)
    for found in Template.from_stack(stack).find_resources("AWS::ECR::Repository").values():
        (rule,) = json.loads(found["Properties"]["LifecyclePolicy"]["LifecyclePolicyText"])["rules"]
        assert (rule["selection"]["tagStatus"], rule["selection"]["countNumber"]) == ("untagged", 3)


def test_the_writer_pushes_to_these_repositories_and_deletes_nothing(stack: cdk.Stack) -> None:
    mirror(stack).grant_push(role(stack)).assert_success()
    statements = identity_statements(Template.from_stack(stack), "Role1ABCC5F0")
    for action in ("ecr:PutImage", "ecr:BatchGetImage", "ecr:UploadLayerPart"):
        assert allows(statements, action, REDIS)
        assert not allows(statements, action, REDIS.replace("redis", "nginx"))
    assert not allows(statements, "ecr:BatchDeleteImage", REDIS)
    assert allows(statements, "ecr:GetAuthorizationToken", "*")


def test_a_role_of_another_account_pushes_only_where_that_account_writes(app: cdk.App, stack: cdk.Stack) -> None:
    elsewhere = cdk.Stack(app, "Elsewhere", env=cdk.Environment(account=WRITER, region="eu-west-1"))
    foreign = role(elsewhere)
    with pytest.raises(ConfigurationError, match=f"is of account {WRITER}; grant to a role of account {OWN}"):
        mirror(stack).grant_push(foreign)
    ImageMirror(stack, "Shared", repositories=["redis"], writer_account=WRITER).grant_push(foreign).assert_success()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"repositories": ["Redis"]}, "must be names such as docker.io/library/redis, got 'Redis'"),
        ({"repositories": ["redis", "redis"]}, "repository 'redis' is given twice; give each once"),
        ({"reader_accounts": ["2222"]}, "account ids have twelve digits, got '2222'"),
        ({"writer_account": "ops"}, "account ids have twelve digits, got 'ops'"),
    ],
)
def test_what_ecr_would_refuse_is_refused_at_the_call(stack: cdk.Stack, more: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        ImageMirror(stack, "Mirror", **{"repositories": ["redis"], **more})


def test_passes_the_compliance_pack(app: cdk.App, stack: cdk.Stack) -> None:
    mirror(stack, reader_accounts=[READER], writer_account=WRITER)
    app.synth()

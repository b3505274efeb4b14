import json

import aws_cdk as cdk
import pytest
from aws_cdk import aws_iam as iam
from aws_cdk.assertions import Match, Template
from syrupy.assertion import SnapshotAssertion

from mlplatform_constructs import ImageRegistry
from tests.compliance import assert_complies
from tests.policies import allows, flat, identity_statements

SERVING = "<RegistryservingC732E6E6.Arn>"


def role(stack: cdk.Stack) -> iam.Role:
    return iam.Role(stack, "Role", assumed_by=iam.ServicePrincipal("ec2.amazonaws.com"))


def test_defaults(stack: cdk.Stack, snapshot_json: SnapshotAssertion) -> None:
    ImageRegistry(stack, "Registry", repositories=["serving"])
    assert Template.from_stack(stack).to_json()["Resources"] == snapshot_json


@pytest.mark.promise("immutable-images")
def test_tags_are_immutable_and_images_are_scanned_and_encrypted(stack: cdk.Stack) -> None:
    ImageRegistry(stack, "Registry", repositories=["serving", "training"])
    template = Template.from_stack(stack)
    template.resource_count_is("AWS::ECR::Repository", 2)
    template.all_resources_properties(
        "AWS::ECR::Repository",
        {
            "ImageTagMutability": "IMMUTABLE",
            "ImageScanningConfiguration": {"ScanOnPush": True},
            "EncryptionConfiguration": {
                "EncryptionType": "KMS",
                "KmsKey": {"Fn::GetAtt": [Match.string_like_regexp("^RegistryKey"), "Arn"]},
            },
        },
    )


@pytest.mark.promise("no-fixed-names")
def test_no_repository_has_a_fixed_name(stack: cdk.Stack) -> None:
    ImageRegistry(stack, "Registry", repositories=["serving"])
    Template.from_stack(stack).all_resources_properties("AWS::ECR::Repository", {"RepositoryName": Match.absent()})


@pytest.mark.promise("immutable-images")
def test_only_images_without_a_tag_expire(stack: cdk.Stack) -> None:
    """An image with a tag may be in use."""
    ImageRegistry(stack, "Registry", repositories=["serving"], untagged_days=3)
    (repository,) = Template.from_stack(stack).find_resources("AWS::ECR::Repository").values()
    (rule,) = json.loads(repository["Properties"]["LifecyclePolicy"]["LifecyclePolicyText"])["rules"]
    since_pushed = {"countType": "sinceImagePushed", "countNumber": 3, "countUnit": "days"}
    assert rule["selection"] == {"tagStatus": "untagged", **since_pushed}
    assert rule["action"] == {"type": "expire"}


def test_who_pulls_cannot_push(app: cdk.App, stack: cdk.Stack) -> None:
    registry = ImageRegistry(stack, "Registry", repositories=["serving", "training"])
    registry.grant_pull(role(stack), "serving")
    training = flat(stack.resolve(registry.repository("training").repository_arn))
    puller = identity_statements(Template.from_stack(stack), "Role1ABCC5F0")
    assert allows(puller, "ecr:BatchGetImage", SERVING)
    assert not allows(puller, "ecr:BatchGetImage", training)
    assert allows(puller, "ecr:GetAuthorizationToken", "*")
    for action in ("ecr:PutImage", "ecr:BatchDeleteImage", "ecr:DeleteRepository", "ecr:PutLifecyclePolicy"):
        assert not allows(puller, action, SERVING)


def test_who_pushes_cannot_delete(stack: cdk.Stack) -> None:
    registry = ImageRegistry(stack, "Registry", repositories=["serving", "training"])
    registry.grant_push(role(stack), "serving")
    training = flat(stack.resolve(registry.repository("training").repository_arn))
    pusher = identity_statements(Template.from_stack(stack), "Role1ABCC5F0")
    assert allows(pusher, "ecr:PutImage", SERVING)
    assert not allows(pusher, "ecr:PutImage", training)
    assert not allows(pusher, "ecr:BatchDeleteImage", SERVING)


def test_grants_pass_the_compliance_pack_in_this_stack_and_in_another(app: cdk.App, stack: cdk.Stack) -> None:
    registry = ImageRegistry(stack, "Registry", repositories=["serving", "training"])
    other = cdk.Stack(app, "Other", env=cdk.Environment(account="111111111111", region="eu-west-1"))
    for each in (stack, other):
        grantee = role(each)
        registry.grant_pull(grantee, "serving")
        registry.grant_push(grantee, "training")
    assert_complies(app)


def test_another_wildcard_of_the_grantee_is_still_a_finding(app: cdk.App, stack: cdk.Stack) -> None:
    grantee = role(stack)
    ImageRegistry(stack, "Registry", repositories=["serving"]).grant_pull(grantee, "serving")
    grantee.add_to_policy(iam.PolicyStatement(actions=["s3:GetObject"], resources=["*"]))
    with pytest.raises(RuntimeError, match=r"IAM5\[Resource::\*\]"):
        app.synth()


def test_a_role_that_was_made_elsewhere_may_pull_too(app: cdk.App, stack: cdk.Stack) -> None:
    nodes = iam.Role.from_role_arn(stack, "Nodes", "arn:aws:iam::111111111111:role/Nodes")
    ImageRegistry(stack, "Registry", repositories=["serving"]).grant_pull(nodes, "serving")
    policies = Template.from_stack(stack).find_resources("AWS::IAM::Policy", {"Properties": {"Roles": ["Nodes"]}})
    statements = [each for policy in policies.values() for each in policy["Properties"]["PolicyDocument"]["Statement"]]
    assert allows(statements, "ecr:BatchGetImage", SERVING)
    assert allows(statements, "ecr:GetAuthorizationToken", "*")


def test_a_registry_that_may_go_takes_its_images_along(stack: cdk.Stack) -> None:
    ImageRegistry(stack, "Registry", repositories=["serving"], removal_policy=cdk.RemovalPolicy.DESTROY)
    template = Template.from_stack(stack)
    template.all_resources("AWS::ECR::Repository", {"DeletionPolicy": "Delete", "Properties": {"EmptyOnDelete": True}})


def test_a_registry_stays_by_default(stack: cdk.Stack) -> None:
    ImageRegistry(stack, "Registry", repositories=["serving"])
    kept = {"DeletionPolicy": "Retain", "Properties": {"EmptyOnDelete": False}}
    Template.from_stack(stack).all_resources("AWS::ECR::Repository", kept)


def test_refuses_a_repository_twice_or_with_a_name_that_is_none(stack: cdk.Stack) -> None:
    with pytest.raises(ValueError, match="Test/Registry: repository 'serving' already exists; choose another name"):
        ImageRegistry(stack, "Registry", repositories=["serving", "serving"])
    registry = ImageRegistry(stack, "Other", repositories=["serving"])
    with pytest.raises(ValueError, match="Test/Other: repository 'serving' already exists"):
        registry.add_repository("serving")
    with pytest.raises(ValueError, match="name must be lower case letters, digits and dashes, got 'team/Serving'"):
        registry.add_repository("team/Serving")


def test_refuses_a_repository_that_does_not_exist(stack: cdk.Stack) -> None:
    registry = ImageRegistry(stack, "Registry", repositories=["serving"])
    with pytest.raises(ValueError, match="Test/Registry: no repository 'train'; there are: serving"):
        registry.grant_pull(role(stack), "train")


def test_refuses_images_that_expire_at_once(stack: cdk.Stack) -> None:
    with pytest.raises(ValueError, match="Test/Registry: untagged_days must be 1 or more, got 0"):
        ImageRegistry(stack, "Registry", untagged_days=0)


def test_passes_the_compliance_pack(app: cdk.App, stack: cdk.Stack) -> None:
    ImageRegistry(stack, "Registry", repositories=["serving"])
    assert_complies(app)

import aws_cdk as cdk
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from aws_cdk.assertions import Match, Template
from syrupy.assertion import SnapshotAssertion

from mlplatform_constructs import EncryptionKeys


def test_defaults(stack: cdk.Stack, snapshot_json: SnapshotAssertion) -> None:
    EncryptionKeys(stack, "Keys")
    assert Template.from_stack(stack).to_json()["Resources"] == snapshot_json


def test_every_domain_has_a_rotated_key_of_its_own_that_outlives_its_stack(stack: cdk.Stack) -> None:
    EncryptionKeys(stack, "Keys")
    template = Template.from_stack(stack)
    template.resource_count_is("AWS::KMS::Key", 4)
    template.all_resources_properties("AWS::KMS::Key", {"EnableKeyRotation": True})
    template.all_resources("AWS::KMS::Key", {"DeletionPolicy": "Retain", "UpdateReplacePolicy": "Retain"})


def test_no_key_policy_names_everybody(stack: cdk.Stack) -> None:
    EncryptionKeys(stack, "Keys")
    for key in Template.from_stack(stack).find_resources("AWS::KMS::Key").values():
        for statement in key["Properties"]["KeyPolicy"]["Statement"]:
            assert statement["Principal"] not in ("*", {"AWS": "*"})


def test_cloudwatch_encrypts_log_groups_of_this_account_only(stack: cdk.Stack) -> None:
    keys = EncryptionKeys(stack, "Keys")
    logs.LogGroup(stack, "Group", encryption_key=keys.logs)
    arns = "arn:aws:logs:eu-west-1:111111111111:log-group:*"
    statement = {
        "Principal": {"Service": "logs.eu-west-1.amazonaws.com"},
        "Condition": {"ArnLike": {"kms:EncryptionContext:aws:logs:arn": arns}},
    }
    Template.from_stack(stack).has_resource_properties(
        "AWS::KMS::Key", {"KeyPolicy": {"Statement": Match.array_with([Match.object_like(statement)])}}
    )


def test_another_key_lets_log_groups_in_by_the_same_words(stack: cdk.Stack) -> None:
    EncryptionKeys(stack, "Keys")
    EncryptionKeys.let_log_groups_use(kms.Key(stack, "Own", enable_key_rotation=True))
    keys = Template.from_stack(stack).find_resources("AWS::KMS::Key")
    statements = {
        name: [one for one in key["Properties"]["KeyPolicy"]["Statement"] if one.get("Sid") == "LogGroupsOfThisAccount"]
        for name, key in keys.items()
    }
    found = [statement for name, statement in statements.items() if name.startswith(("KeysLogs", "Own"))]
    assert len(found) == 2
    assert found[0] == found[1] != []


def test_a_platform_that_may_go_takes_its_keys_along(stack: cdk.Stack) -> None:
    EncryptionKeys(stack, "Keys", removal_policy=cdk.RemovalPolicy.DESTROY)
    template = Template.from_stack(stack)
    template.all_resources("AWS::KMS::Key", {"DeletionPolicy": "Delete"})
    template.all_resources_properties("AWS::KMS::Key", {"PendingWindowInDays": 7})


def test_passes_the_compliance_pack(app: cdk.App, stack: cdk.Stack) -> None:
    EncryptionKeys(stack, "Keys")
    app.synth()

import aws_cdk as cdk
import pytest
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from aws_cdk import aws_secretsmanager as secretsmanager
from aws_cdk.assertions import Match, Template
from syrupy.assertion import SnapshotAssertion

from mlplatform_constructs import EncryptionKeys
from tests.compliance import assert_complies
from tests.policies import allows, flat, identity_statements


def test_defaults(stack: cdk.Stack, snapshot_json: SnapshotAssertion) -> None:
    EncryptionKeys(stack, "Keys")
    assert Template.from_stack(stack).to_json()["Resources"] == snapshot_json


@pytest.mark.promise("key-per-domain")
def test_every_domain_has_a_rotated_key_of_its_own_that_outlives_its_stack(stack: cdk.Stack) -> None:
    EncryptionKeys(stack, "Keys")
    template = Template.from_stack(stack)
    template.resource_count_is("AWS::KMS::Key", 4)
    template.all_resources_properties("AWS::KMS::Key", {"EnableKeyRotation": True})
    template.all_resources("AWS::KMS::Key", {"DeletionPolicy": "Retain", "UpdateReplacePolicy": "Retain"})


def test_the_driver_of_disks_uses_a_key_and_lends_it_to_ec2_alone(stack: cdk.Stack) -> None:
    role = iam.Role(stack, "Disks", assumed_by=iam.AccountRootPrincipal())
    keys = EncryptionKeys(stack, "Keys")
    keys.grant_encrypt_disks(role, keys.data).assert_success()
    template = Template.from_stack(stack)
    (id,) = template.find_resources("AWS::IAM::Role")
    statements = identity_statements(template, id)
    arn = f"<{stack.get_logical_id(keys.data.node.default_child)}.Arn>"  # type: ignore[arg-type]
    by_ec2 = {"kms__ViaService": "ec2.eu-west-1.amazonaws.com"}
    assert allows(statements, "kms:GenerateDataKeyWithoutPlaintext", arn, **by_ec2)
    assert not allows(statements, "kms:Decrypt", arn)
    assert allows(statements, "kms:CreateGrant", arn, kms__GrantIsForAWSResource="true", **by_ec2)
    assert not allows(statements, "kms:CreateGrant", arn, **by_ec2)


def test_a_reader_of_secrets_decrypts_through_secrets_manager_only(stack: cdk.Stack) -> None:
    keys = EncryptionKeys(stack, "Keys")
    role = iam.Role(stack, "Reader", assumed_by=iam.ServicePrincipal("pods.eks.amazonaws.com"))
    one, other = (
        secretsmanager.Secret.from_secret_complete_arn(
            stack, id, f"arn:aws:secretsmanager:eu-west-1:111111111111:secret:{id}-AbCdEf"
        )
        for id in ("One", "Other")
    )
    keys.grant_read_secrets(role, keys.metadata, [one]).assert_success()
    statements = identity_statements(Template.from_stack(stack), stack.get_logical_id(role.node.default_child))  # type: ignore[arg-type]
    read, arns = "secretsmanager:GetSecretValue", [flat(stack.resolve(each.secret_arn)) for each in (one, other)]
    assert [allows(statements, read, arn) for arn in arns] == [True, False]
    key = flat(stack.resolve(keys.metadata.key_arn))
    assert allows(statements, "kms:Decrypt", key, kms__ViaService="secretsmanager.eu-west-1.amazonaws.com")
    assert not allows(statements, "kms:Decrypt", key)


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


def test_another_key_can_allow_log_groups(stack: cdk.Stack) -> None:
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


def test_a_platform_without_retention_deletes_its_keys(stack: cdk.Stack) -> None:
    EncryptionKeys(stack, "Keys", removal_policy=cdk.RemovalPolicy.DESTROY)
    template = Template.from_stack(stack)
    template.all_resources("AWS::KMS::Key", {"DeletionPolicy": "Delete"})
    template.all_resources_properties("AWS::KMS::Key", {"PendingWindowInDays": 7})


def test_passes_the_compliance_pack(app: cdk.App, stack: cdk.Stack) -> None:
    EncryptionKeys(stack, "Keys")
    assert_complies(app)

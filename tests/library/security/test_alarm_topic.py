import aws_cdk as cdk
import pytest
from aws_cdk import aws_iam as iam
from aws_cdk.assertions import Match, Template
from syrupy.assertion import SnapshotAssertion

from mlplatform_constructs import AlarmTopic, EncryptionKeys
from tests.compliance import assert_complies


def test_defaults(stack: cdk.Stack, snapshot_json: SnapshotAssertion) -> None:
    AlarmTopic(stack, "Alarms")
    assert Template.from_stack(stack).to_json()["Resources"] == snapshot_json


@pytest.mark.parametrize(
    ("resource", "policy", "action"),
    [
        ("AWS::SNS::TopicPolicy", "PolicyDocument", "sns:Publish"),
        ("AWS::KMS::Key", "KeyPolicy", "kms:GenerateDataKey*"),
    ],
)
def test_alarms_of_this_account_are_allowed_by_topic_and_key(
    stack: cdk.Stack, resource: str, policy: str, action: str
) -> None:
    AlarmTopic(stack, "Alarms")
    [found] = Template.from_stack(stack).find_resources(resource).values()
    [statement] = [s for s in found["Properties"][policy]["Statement"] if s.get("Sid") == "AlarmsOfThisAccount"]
    assert statement["Effect"] == "Allow"
    assert statement["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
    assert statement["Condition"] == {"StringEquals": {"aws:SourceAccount": "111111111111"}}
    assert action in statement["Action"]


def test_messages_are_encrypted_with_the_given_key_and_sent_over_tls_only(stack: cdk.Stack) -> None:
    keys = EncryptionKeys(stack, "Keys")
    AlarmTopic(stack, "Alarms", encryption_key=keys.logs)
    template = Template.from_stack(stack)
    template.has_resource_properties("AWS::SNS::Topic", {"KmsMasterKeyId": stack.resolve(keys.logs.key_arn)})
    refusal = {"Effect": "Deny", "Condition": {"Bool": {"aws:SecureTransport": "false"}}}
    template.has_resource_properties(
        "AWS::SNS::TopicPolicy", {"PolicyDocument": {"Statement": Match.array_with([Match.object_like(refusal)])}}
    )


def test_a_role_publishes_and_uses_the_key_and_no_more(stack: cdk.Stack) -> None:
    topic = AlarmTopic(stack, "Alarms")
    role = iam.Role(stack, "Notifier", assumed_by=iam.ServicePrincipal("pods.eks.amazonaws.com"))
    topic.grant_publish(role).assert_success()
    (policy,) = Template.from_stack(stack).find_resources("AWS::IAM::Policy").values()
    publish, encrypt = policy["Properties"]["PolicyDocument"]["Statement"]
    assert (publish["Action"], publish["Resource"]) == ("sns:Publish", stack.resolve(topic.topic.topic_arn))
    assert encrypt["Action"] == ["kms:Decrypt", "kms:GenerateDataKey"]


def test_an_address_is_subscribed(stack: cdk.Stack) -> None:
    AlarmTopic(stack, "Alarms", email="team@example.com")
    Template.from_stack(stack).has_resource_properties(
        "AWS::SNS::Subscription", {"Protocol": "email", "Endpoint": "team@example.com"}
    )


def test_fails_when_the_address_is_none(stack: cdk.Stack) -> None:
    message = r"Test/Alarms: email must be an address such as team@example.com, got 'team'"
    with pytest.raises(ValueError, match=message):
        AlarmTopic(stack, "Alarms", email="team")


def test_passes_the_compliance_pack(app: cdk.App, stack: cdk.Stack) -> None:
    AlarmTopic(stack, "Alarms", encryption_key=EncryptionKeys(stack, "Keys").logs)
    assert_complies(app)

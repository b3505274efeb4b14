import json
from collections.abc import Callable
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_iam as iam
from aws_cdk.assertions import Annotations, Match, Template
from syrupy.assertion import SnapshotAssertion

from mlplatform_constructs import KubernetesCluster, WorkloadIdentity
from tests.clusters import SYSTEM, cluster
from tests.compliance import assert_complies
from tests.policies import allows, many
from tests.references import Templates, may_assume

Strategy = Callable[[KubernetesCluster], WorkloadIdentity]

ACCOUNTS = [("kubeflow", "pipelines"), ("kubeflow", "katib"), ("team-a", "pipelines"), ("team-a", "default")]
NODES_MAY: dict[str, list[dict[str, Any]]] = {
    # What AWS's policies for nodes said in November 2026.
    "AmazonEKSWorkerNodePolicy": [
        {
            "Effect": "Allow",
            "Action": [
                "ec2:DescribeInstances",
                "ec2:DescribeInstanceTypes",
                "ec2:DescribeRouteTables",
                "ec2:DescribeSecurityGroups",
                "ec2:DescribeSubnets",
                "ec2:DescribeVolumes",
                "ec2:DescribeVolumesModifications",
                "ec2:DescribeVpcs",
                "eks:DescribeCluster",
                "eks-auth:AssumeRoleForPodIdentity",
            ],
            "Resource": "*",
        }
    ],
    "AmazonEC2ContainerRegistryPullOnly": [
        {
            "Effect": "Allow",
            "Action": ["ecr:GetAuthorizationToken", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
            "Resource": "*",
        }
    ],
}

each_strategy = pytest.mark.parametrize(
    "strategy",
    [WorkloadIdentity.pod_identity, WorkloadIdentity.irsa, WorkloadIdentity.kube2iam],
    ids=["pod_identity", "irsa", "kube2iam"],
)


@pytest.fixture
def app(app: cdk.App) -> cdk.App:
    """kubectl and the AWS CLI are 60 MB, which no test here needs a copy of."""
    app.node.set_context("aws:cdk:disable-asset-staging", True)
    return app


@pytest.fixture
def made(stack: cdk.Stack) -> KubernetesCluster:
    return cluster(stack, node_groups=(SYSTEM,))


@pytest.fixture
def applications(app: cdk.App) -> cdk.Stack:
    """A later stack than the cluster's, as roles usually are."""
    return cdk.Stack(app, "Applications", env=cdk.Environment(account="111111111111", region="eu-west-1"))


def read(*stacks: cdk.Stack) -> Templates:
    return Templates({stack.stack_name: Template.from_stack(stack).to_json() for stack in stacks})


@pytest.mark.promise("pod-roles", "kube2iam-legacy")
@each_strategy
def test_what_a_role_is_made_of(
    strategy: Strategy, made: KubernetesCluster, applications: cdk.Stack, snapshot_json: SnapshotAssertion
) -> None:
    role = strategy(made).role_for(applications, "Role", namespace="kubeflow", service_account="pipelines")
    annotations = (role.service_account_annotations, role.pod_annotations, role.namespace_annotations)
    assert {
        "annotations": [applications.resolve(dict(each)) for each in annotations],
        "resources": Template.from_stack(applications).to_json()["Resources"],
    } == snapshot_json


@each_strategy
def test_every_reference_to_the_cluster_finds_it(
    strategy: Strategy, stack: cdk.Stack, made: KubernetesCluster, applications: cdk.Stack
) -> None:
    strategy(made).role_for(applications, "Role", namespace="kubeflow", service_account="pipelines")
    read(stack, applications).assert_references_resolve()


@pytest.mark.promise("pod-permissions", "pod-roles")
def test_pod_identity_allows_no_other_service_account_or_cluster(
    stack: cdk.Stack, made: KubernetesCluster, applications: cdk.Stack
) -> None:
    """Not even an association of the role with another service account grants access."""
    roles = _roles(WorkloadIdentity.pod_identity(made), applications)
    for owner, name in roles.items():
        trust = read(stack, applications).resources("AWS::IAM::Role")[name]["AssumeRolePolicyDocument"]
        arn = stack.resolve(made.cluster.cluster_arn)["Fn::GetAtt"][0]
        own = f"Test//{arn}.Arn"
        for namespace, account in ACCOUNTS:
            for cluster_arn in (own, "arn:aws:eks:eu-west-1:111111111111:cluster/other"):
                context = {
                    "aws:RequestTag/eks-cluster-arn": cluster_arn,
                    "aws:RequestTag/kubernetes-namespace": namespace,
                    "aws:RequestTag/kubernetes-service-account": account,
                }
                for action in ("sts:AssumeRole", "sts:TagSession"):
                    allowed = may_assume(trust, action, "pods.eks.amazonaws.com", context)
                    assert allowed == ((namespace, account) == owner and cluster_arn == own)
                    assert not may_assume(trust, action, "ec2.amazonaws.com", context)


def test_pod_identity_ties_each_role_to_its_own_service_account(
    made: KubernetesCluster, applications: cdk.Stack
) -> None:
    roles = _roles(WorkloadIdentity.pod_identity(made), applications)
    tied = {
        (p["Namespace"], p["ServiceAccount"]): f"Applications//{p['RoleArn']['Fn::GetAtt'][0]}"
        for p in (
            r["Properties"]
            for r in Template.from_stack(applications).find_resources("AWS::EKS::PodIdentityAssociation").values()
        )
    }
    assert tied == roles


@pytest.mark.promise("pod-roles")
def test_irsa_allows_no_other_subject_or_audience(
    stack: cdk.Stack, made: KubernetesCluster, applications: cdk.Stack
) -> None:
    roles = _roles(WorkloadIdentity.irsa(made), applications)
    templates = read(stack, applications)
    (provider,) = templates.resources("AWS::IAM::OIDCProvider")
    (name,) = Template.from_stack(stack).find_resources("AWS::EKS::Cluster")
    issuer = f"{name}.OpenIdConnectIssuerUrl"
    for owner, role in roles.items():
        trust = templates.resources("AWS::IAM::Role")[role]["AssumeRolePolicyDocument"]
        for namespace, account in ACCOUNTS:
            for audience in ("sts.amazonaws.com", "kubernetes.default.svc"):
                context = {f"{issuer}:sub": f"system:serviceaccount:{namespace}:{account}", f"{issuer}:aud": audience}
                allowed = may_assume(trust, "sts:AssumeRoleWithWebIdentity", provider, context)
                assert allowed == ((namespace, account) == owner and audience == "sts.amazonaws.com")
                assert not may_assume(trust, "sts:AssumeRole", provider, context)


def test_irsa_needs_no_function_to_write_its_trust(made: KubernetesCluster, applications: cdk.Stack) -> None:
    WorkloadIdentity.irsa(made).role_for(applications, "Role", namespace="kubeflow", service_account="pipelines")
    kinds = {r["Type"] for r in Template.from_stack(applications).to_json()["Resources"].values()}
    assert kinds == {"AWS::IAM::Role"}


@pytest.mark.promise("pod-roles")
def test_trust_policies_are_far_below_the_limit(
    stack: cdk.Stack, made: KubernetesCluster, applications: cdk.Stack
) -> None:
    """IAM accepts 2,048 characters."""
    _roles(WorkloadIdentity.pod_identity(made), applications)
    for role in read(stack, applications).resources("AWS::IAM::Role").values():
        assert len(json.dumps(role["AssumeRolePolicyDocument"])) < 1024


@pytest.mark.promise("kube2iam-legacy")
def test_with_kube2iam_nodes_may_assume_the_named_roles_and_nobody_else_may(
    stack: cdk.Stack, made: KubernetesCluster, applications: cdk.Stack
) -> None:
    roles = _roles(WorkloadIdentity.kube2iam(made), applications)
    other = iam.Role(applications, "Other", assumed_by=iam.ServicePrincipal("ec2.amazonaws.com"))
    templates = read(stack, applications)
    node = f"Test//{stack.resolve(made.node_role.role_arn)['Fn::GetAtt'][0]}"
    statements = _statements(templates, node)
    for role in roles.values():
        trust = templates.resources("AWS::IAM::Role")[role]["AssumeRolePolicyDocument"]
        assert may_assume(trust, "sts:AssumeRole", f"{node}.Arn", {})
        assert not may_assume(trust, "sts:AssumeRole", "pods.eks.amazonaws.com", {})
        assert allows(statements, "sts:AssumeRole", f"{role}.Arn")
    unnamed = applications.resolve(other.role_arn)["Fn::GetAtt"][0]
    assert not allows(statements, "sts:AssumeRole", f"Applications//{unnamed}.Arn")


@pytest.mark.promise("kube2iam-legacy")
def test_kube2iam_warns_of_its_limits(stack: cdk.Stack, made: KubernetesCluster) -> None:
    WorkloadIdentity.kube2iam(made)
    Annotations.from_stack(stack).has_warning("/Test/Cluster", Match.string_like_regexp("another pod's role"))


@pytest.mark.parametrize("strategy", [WorkloadIdentity.pod_identity, WorkloadIdentity.irsa])
def test_the_others_have_nothing_to_warn_of(stack: cdk.Stack, made: KubernetesCluster, strategy: Strategy) -> None:
    strategy(made)
    Annotations.from_stack(stack).has_no_warning("*", Match.string_like_regexp("workload identity"))


@pytest.mark.promise("minimal-node-role", "pod-permissions")
@each_strategy
def test_nodes_can_do_nothing_that_pods_do(
    strategy: Strategy, stack: cdk.Stack, made: KubernetesCluster, applications: cdk.Stack
) -> None:
    role = strategy(made).role_for(applications, "Role", namespace="kubeflow", service_account="pipelines")
    for action in ("s3:GetObject", "s3:PutObject", "secretsmanager:GetSecretValue", "sagemaker:CreateTrainingJob"):
        role.add_to_policy(iam.PolicyStatement(actions=[action], resources=["arn:aws:s3:::models/churn"]))
    templates = read(stack, applications)
    node = f"Test//{stack.resolve(made.node_role.role_arn)['Fn::GetAtt'][0]}"
    pods = f"Applications//{applications.resolve(role.role_arn)['Fn::GetAtt'][0]}"
    nodes_may = [*_statements(templates, node), *(s for policy in NODES_MAY.values() for s in policy)]
    granted = [
        (action, resource)
        for statement in _statements(templates, pods)
        for action in many(statement["Action"])
        for resource in many(statement["Resource"])
    ]
    assert len(granted) == 4
    assert not [pair for pair in granted if allows(nodes_may, *pair)]


def test_nodes_have_the_policies_that_this_test_knows(stack: cdk.Stack, made: KubernetesCluster) -> None:
    node = stack.resolve(made.node_role.role_arn)["Fn::GetAtt"][0]
    arns = read(stack).resources("AWS::IAM::Role")[f"Test//{node}"]["ManagedPolicyArns"]
    assert {arn.rpartition("/")[2] for arn in arns} == set(NODES_MAY)


@pytest.mark.promise("no-long-lived-keys")
@each_strategy
def test_no_key_is_made(strategy: Strategy, made: KubernetesCluster, applications: cdk.Stack) -> None:
    strategy(made).role_for(applications, "Role", namespace="kubeflow", service_account="pipelines")
    text = json.dumps(Template.from_stack(applications).to_json())
    assert "AWS::IAM::User" not in text
    assert "AccessKey" not in text


@each_strategy
def test_a_service_account_has_one_role(strategy: Strategy, made: KubernetesCluster, applications: cdk.Stack) -> None:
    identity = strategy(made)
    identity.role_for(applications, "One", namespace="kubeflow", service_account="pipelines")
    message = "Applications: service account kubeflow/pipelines already has Applications/One; grant to that"
    with pytest.raises(ValueError, match=message):
        WorkloadIdentity.pod_identity(made).role_for(
            applications, "Two", namespace="kubeflow", service_account="pipelines"
        )


@each_strategy
@pytest.mark.parametrize(
    ("namespace", "account", "wrong"),
    [("*", "default", "namespace"), ("kubeflow", "*", "service_account"), ("Kubeflow", "default", "namespace")],
)
def test_a_role_is_for_one_exact_service_account(
    strategy: Strategy, made: KubernetesCluster, applications: cdk.Stack, namespace: str, account: str, wrong: str
) -> None:
    with pytest.raises(ValueError, match=f"Applications: {wrong} must be one exact name, got "):
        strategy(made).role_for(applications, "Role", namespace=namespace, service_account=account)


@each_strategy
def test_passes_the_compliance_pack(
    app: cdk.App, strategy: Strategy, made: KubernetesCluster, applications: cdk.Stack
) -> None:
    strategy(made).role_for(applications, "Role", namespace="kubeflow", service_account="pipelines")
    assert_complies(app)


def _roles(identity: WorkloadIdentity, stack: cdk.Stack) -> dict[tuple[str, str], str]:
    """A role for each service account, by the name under which templates know it."""
    return {
        (namespace, account): "Applications//"
        + stack.resolve(
            identity.role_for(stack, f"{namespace}-{account}", namespace=namespace, service_account=account).role_arn
        )["Fn::GetAtt"][0]
        for namespace, account in ACCOUNTS
    }


def _statements(templates: Templates, role: str) -> list[dict[str, Any]]:
    return [
        statement
        for policy in templates.resources("AWS::IAM::Policy").values()
        if role in policy["Roles"]
        for statement in policy["PolicyDocument"]["Statement"]
    ]

"""No principal reaches administrator access, another team's data or the audit trail by an unrecorded path."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from assurance.permissions.escalation import Search, general
from assurance.permissions.recorded_paths import judge, known
from assurance.permissions.roles import Role
from assurance.permissions.tenants import Tenants, data_of, steps
from assurance.permissions.world import World
from config.loader import account_names, load_account
from delivery.assembly import Stack
from delivery.gate.policies import Statement, statements
from delivery.gate.values import Surroundings, canonical

ACCOUNT = "333333333333"
ROOT = Path(__file__).parents[2]


def policy(*bodies: dict[str, Any]) -> tuple[Statement, ...]:
    return tuple(statements(canonical({"Statement": list(bodies)}, Surroundings({}))))


def allow(*actions: str, resource: str = "*", **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": list(actions), "Resource": resource, **more}


def planted(world: World, *bodies: dict[str, Any], trust: str = "lambda.amazonaws.com") -> World:
    """The platform with one more role of the production account."""
    trusted = policy({"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": trust}})
    role = Role(
        f"arn:aws:iam::{ACCOUNT}:role/planted", "Planted/Role", ACCOUNT, "eu-west-1", policy(*bodies), trusted, own=1
    )
    return replace(world, roles={**world.roles, role.arn: role})


def reached(world: World, start: str = "Planted/Role") -> set[tuple[str, str]]:
    """Targets and first steps of the paths from a role."""
    return {
        (general(world, path.target), path.steps[0].kind)
        for path in Search(world).paths()
        if general(world, path.start) == start
    }


@pytest.fixture(scope="session")
def tenants() -> Tenants:
    """The teams of the account files."""
    return Tenants.of(load_account(name) for name in account_names())


def test_every_path_is_closed_or_recorded_with_its_reason(world: World, tenants: Tenants) -> None:
    assert any(tenants.members.values())
    assert list(judge(world, Search(world, tenants).paths())) == []


def test_every_recorded_path_stands_in_the_page() -> None:
    page = (ROOT / "docs" / "permissions.md").read_text(encoding="utf-8")
    for path in known():
        assert f"`{path.start}`" in page, path


@pytest.mark.parametrize(
    ("kind", "target", "bodies"),
    [
        ("everything", "administrator", [allow("*")]),
        ("iam", "administrator", [allow("iam:PutRolePolicy")]),
        ("iam", "administrator", [allow("iam:UpdateAssumeRolePolicy", resource=f"arn:aws:iam::{ACCOUNT}:role/prod-*")]),
        ("assume", "administrator", [allow("sts:AssumeRole", resource=f"arn:aws:iam::{ACCOUNT}:role/cdk-*")]),
        ("pass", "administrator", [allow("iam:PassRole", "cloudformation:CreateStack")]),
        ("stacks", "administrator", [allow("cloudformation:UpdateStack")]),
        ("files", "administrator", [allow("s3:PutObject", resource="arn:aws:s3:::cdk-hnb659fds-assets-*")]),
        ("audit", "audit trail", [allow("cloudtrail:StopLogging")]),
        ("audit", "audit trail", [allow("s3:DeleteObject", resource="arn:aws:s3:::prod-audit-*")]),
        ("audit", "audit trail", [allow("logs:DeleteLogGroup")]),
        ("image", "administrator", [allow("ecr:PutImage", resource="arn:aws:ecr:*:*:repository/cdk-*")]),
        ("key", "audit trail", [allow("kms:CreateGrant")]),
    ],
)
def test_a_planted_path_is_found(production: World, kind: str, target: str, bodies: list[dict[str, Any]]) -> None:
    assert (target, kind) in reached(planted(production, *bodies))


@pytest.mark.parametrize(
    "bodies",
    [
        [allow("s3:GetObject"), allow("kms:Decrypt")],
        [allow("kms:CreateGrant", Condition={"Bool": {"kms:GrantIsForAWSResource": "true"}})],
        [allow("iam:PassRole")],  # nothing starts with it
        [allow("iam:*"), {"Effect": "Deny", "Action": "*", "Resource": "*"}],
    ],
)
def test_steps_without_a_target_are_not_reported(production: World, bodies: list[dict[str, Any]]) -> None:
    assert reached(planted(production, *bodies)) == set()


TRUST = {
    service: {"Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": service}}]}
    for service in ("lambda.amazonaws.com", "ec2.amazonaws.com", "codebuild.amazonaws.com", "pods.eks.amazonaws.com")
}
ADMIN = [{"PolicyName": "All", "PolicyDocument": {"Statement": [allow("*")]}}]


def role(service: str, *bodies: dict[str, Any]) -> dict[str, Any]:
    document = {"Statement": list(bodies)}
    policies = [{"PolicyName": "Own", "PolicyDocument": document}] if bodies else ADMIN
    return {
        "Type": "AWS::IAM::Role",
        "Properties": {"AssumeRolePolicyDocument": TRUST[service], "Policies": policies},
    }


def manifest(*objects: dict[str, Any]) -> dict[str, Any]:
    properties = {"ClusterName": {"Ref": "Cluster"}, "Manifest": json.dumps(list(objects))}
    return {"Type": "Custom::AWSCDK-EKS-KubernetesResource", "Properties": properties}


def cluster_role(verbs: list[str], group: str, resource: str) -> tuple[dict[str, Any], dict[str, Any]]:
    rule = {"apiGroups": [group], "resources": [resource], "verbs": verbs}
    made = {"apiVersion": "v1", "kind": "ClusterRole", "metadata": {"name": "planted"}, "rules": [rule]}
    binding = {
        "apiVersion": "v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "planted"},
        "roleRef": {"kind": "ClusterRole", "name": "planted"},
        "subjects": [{"kind": "Group", "name": "people"}],
    }
    return made, binding


def deployment(image: str) -> dict[str, Any]:
    pod = {
        "serviceAccountName": "controller",
        "containers": [{"name": "one", "image": f"111111111111.dkr.ecr.eu-west-1.amazonaws.com/{image}"}],
    }
    metadata = {"name": "controller", "namespace": "system"}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": {"template": {"spec": pod}}}


ARN = {"Fn::GetAtt": ["Person", "Arn"]}
IMAGES = {
    "Tools": {"Type": "AWS::ECR::Repository", "Properties": {"RepositoryName": "tools"}},
    "Person": role("lambda.amazonaws.com", allow("ecr:PutImage", resource="arn:aws:ecr:*:*:repository/tools")),
}
IN_CLUSTER = {
    "Cluster": {"Type": "AWS::EKS::Cluster", "Properties": {"Name": "one"}},
    "Pods": {
        "Type": "AWS::EKS::PodIdentityAssociation",
        "Properties": {
            "ClusterName": {"Ref": "Cluster"},
            "Namespace": "system",
            "ServiceAccount": "controller",
            "RoleArn": {"Fn::GetAtt": ["Strong", "Arn"]},
        },
    },
    "Strong": role("pods.eks.amazonaws.com"),
    "Person": role("lambda.amazonaws.com", allow("eks:DescribeCluster")),
    "Entry": {
        "Type": "AWS::EKS::AccessEntry",
        "Properties": {"ClusterName": {"Ref": "Cluster"}, "PrincipalArn": ARN, "KubernetesGroups": ["people"]},
    },
}


@pytest.fixture
def small(tmp_path: Path) -> Callable[[dict[str, Any]], World]:
    """A world of one stack."""

    def make(resources: dict[str, Any]) -> World:
        file = tmp_path / "small.template.json"
        file.write_text(json.dumps({"Resources": resources}), encoding="utf-8")
        return World.of([Stack("dev/Small", "dev-Small", "111111111111", "eu-west-1", file)])

    return make


@pytest.mark.parametrize(
    ("kind", "resources"),
    [
        (
            "code",
            {
                "Function": {
                    "Type": "AWS::Lambda::Function",
                    "Properties": {"Role": {"Fn::GetAtt": ["Strong", "Arn"]}},
                },
                "Strong": role("lambda.amazonaws.com"),
                "Person": role("lambda.amazonaws.com", allow("lambda:UpdateFunctionConfiguration")),
            },
        ),
        (
            "code",
            {
                "Function": {
                    "Type": "AWS::Lambda::Function",
                    "Properties": {"Role": {"Fn::GetAtt": ["Strong", "Arn"]}},
                },
                "Strong": role("lambda.amazonaws.com"),
                "Person": role("lambda.amazonaws.com", allow("lambda:UpdateFunctionCode")),
            },
        ),
        (
            "image",
            {
                **IMAGES,
                "Function": {
                    "Type": "AWS::Lambda::Function",
                    "Properties": {
                        "Role": {"Fn::GetAtt": ["Strong", "Arn"]},
                        "Code": {"ImageUri": "111111111111.dkr.ecr.eu-west-1.amazonaws.com/tools:latest"},
                    },
                },
                "Strong": role("lambda.amazonaws.com"),
            },
        ),
        ("image", IN_CLUSTER | IMAGES | {"Workload": manifest(deployment("tools:latest"))}),
        (
            "manifest",
            IN_CLUSTER
            | {
                "KubectlProvider": {
                    "Type": "AWS::Lambda::Function",
                    "Properties": {"Role": {"Fn::GetAtt": ["Kubectl", "Arn"]}},
                    "Metadata": {"aws:cdk:path": "dev/Small/Cluster/KubectlProvider/Handler/Resource"},
                },
                "Kubectl": role("lambda.amazonaws.com", allow("eks:DescribeCluster")),
                "Administrator": {
                    "Type": "AWS::EKS::AccessEntry",
                    "Properties": {
                        "ClusterName": {"Ref": "Cluster"},
                        "PrincipalArn": {"Fn::GetAtt": ["Kubectl", "Arn"]},
                        "AccessPolicies": [
                            {
                                "AccessScope": {"Type": "cluster"},
                                "PolicyArn": "arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy",
                            }
                        ],
                    },
                },
                "Person": role("lambda.amazonaws.com", allow("lambda:InvokeFunction")),
            },
        ),
        (
            "ssm",
            {
                "Strong": role("ec2.amazonaws.com"),
                "Person": role("lambda.amazonaws.com", allow("ssm:SendCommand")),
            },
        ),
        (
            "build",
            {
                "Project": {
                    "Type": "AWS::CodeBuild::Project",
                    "Properties": {"ServiceRole": {"Fn::GetAtt": ["Strong", "Arn"]}},
                },
                "Strong": role("codebuild.amazonaws.com"),
                "Person": role("lambda.amazonaws.com", allow("codebuild:StartBuild")),
            },
        ),
        (
            "access entry",
            IN_CLUSTER | {"Person": role("lambda.amazonaws.com", allow("eks:CreateAccessEntry"))},
        ),
        ("entry", IN_CLUSTER | {"Rights": manifest(*cluster_role(["patch"], "apps", "deployments"))}),
        ("entry", IN_CLUSTER | {"Rights": manifest(*cluster_role(["create"], "", "pods/exec"))}),
        (
            "entry",
            IN_CLUSTER | {"Rights": manifest(*cluster_role(["bind"], "rbac.authorization.k8s.io", "clusterroles"))},
        ),
        ("entry", IN_CLUSTER | {"Rights": manifest(*cluster_role(["impersonate"], "", "users"))}),
    ],
)
def test_a_planted_path_through_something_that_runs_is_found(
    small: Callable[[dict[str, Any]], World], kind: str, resources: dict[str, Any]
) -> None:
    assert ("administrator", kind) in reached(small(resources), "Small/Person")


@pytest.mark.parametrize("image", ["others:latest", "tools@sha256:" + "a" * 64])
def test_an_image_with_a_digest_or_of_another_repository_cannot_be_replaced(
    small: Callable[[dict[str, Any]], World], image: str
) -> None:
    assert reached(small(IN_CLUSTER | IMAGES | {"Workload": manifest(deployment(image))}), "Small/Person") == set()


def test_an_image_with_an_immutable_tag_cannot_be_replaced(small: Callable[[dict[str, Any]], World]) -> None:
    kept = {"RepositoryName": "tools", "ImageTagMutability": "IMMUTABLE"}
    repository = {"Tools": {"Type": "AWS::ECR::Repository", "Properties": kept}}
    resources = IN_CLUSTER | IMAGES | repository | {"Workload": manifest(deployment("tools:latest"))}
    assert reached(small(resources), "Small/Person") == set()


def test_reading_in_a_cluster_is_no_escalation(small: Callable[[dict[str, Any]], World]) -> None:
    reading = IN_CLUSTER | {"Rights": manifest(*cluster_role(["get", "list"], "apps", "deployments"))}
    assert reached(small(reading), "Small/Person") == set()


def test_a_team_that_takes_the_role_of_another_is_found(production: World) -> None:
    def of_team(name: str, trusts: str, *bodies: dict[str, Any]) -> Role:
        trust = policy({"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": trusts}})
        arn = f"arn:aws:iam::{ACCOUNT}:role/{name}"
        return Role(arn, f"Workspaces/Teams/{name}/Role", ACCOUNT, "eu-west-1", policy(*bodies), trust)

    one = of_team("one", f"arn:aws:iam::{ACCOUNT}:root", allow("sts:AssumeRole"))
    two = of_team("two", f"arn:aws:iam::{ACCOUNT}:root", allow("s3:GetObject", resource="arn:aws:s3:::two/*"))
    both = replace(production, roles={**production.roles, one.arn: one, two.arn: two})
    found = {(general(both, path.start), general(both, path.target)) for path in Search(both).paths()}
    assert ("Workspaces/Teams/one/Role", "Workspaces/Teams/two/Role") in found
    assert ("Workspaces/Teams/two/Role", "Workspaces/Teams/one/Role") not in found


@pytest.mark.parametrize(
    ("service", "action"),
    [
        ("ec2.amazonaws.com", "elasticmapreduce:RunJobFlow"),
        ("elasticmapreduce.amazonaws.com", "elasticmapreduce:RunJobFlow"),
        ("emr-serverless.amazonaws.com", "emr-serverless:StartJobRun"),
        ("sagemaker.amazonaws.com", "sagemaker:CreateProcessingJob"),
        ("sagemaker.amazonaws.com", "sagemaker:CreateTrainingJob"),
    ],
)
def test_a_team_that_starts_a_job_with_the_role_of_another_is_found(
    production: World, service: str, action: str
) -> None:
    trust = policy({"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": service}})
    arn = f"arn:aws:iam::{ACCOUNT}:role/job"
    job = Role(arn, "Workloads/Teams/fraud/Job", ACCOUNT, "eu-west-1", (), trust)
    world = replace(production, roles={**production.roles, job.arn: job})
    assert kinds_to(world, job, allow("iam:PassRole", resource=arn), allow(action)) == {"pass"}
    assert kinds_to(world, job, allow("iam:PassRole", resource=f"{arn}-of-churn"), allow(action)) == set()


def kinds_to(world: World, target: Role, *bodies: dict[str, Any]) -> set[str]:
    """The kinds of paths from a role of the team ``churn`` to a role of another team."""
    own = Role(f"arn:aws:iam::{ACCOUNT}:role/own", "Teams/churn/Role", ACCOUNT, "eu-west-1", policy(*bodies), ())
    planted = replace(world, roles={**world.roles, own.arn: own})
    return {path.via for path in Search(planted, TEAMS).paths() if (path.start, path.target) == (own.arn, target.arn)}


def test_a_push_to_the_sources_is_found(world: World) -> None:
    builder = next(each for each in world.roles.values() if each.path == "Pipeline/Builder")
    connection = f"arn:aws:codeconnections:{builder.region}:{builder.account}:connection/1"
    wide = replace(
        builder, path="Planted/Role", statements=policy(allow("codeconnections:UseConnection", resource=connection))
    )
    assert ("administrator", "source") in reached(replace(world, roles={**world.roles, wide.arn: wide}))


TEAMS = Tenants({ACCOUNT: {"churn": frozenset({"ben"}), "fraud": frozenset({"dora"})}})


def of_churn(world: World, path: str, *bodies: dict[str, Any]) -> set[str]:
    """The kinds of steps by which a role of one team reaches the data of the other."""
    role = Role(f"arn:aws:iam::{ACCOUNT}:role/own", path, ACCOUNT, "eu-west-1", policy(*bodies), ())
    planted = replace(world, roles={**world.roles, role.arn: role})
    targets = {data_of(ACCOUNT, "fraud"), data_of(ACCOUNT, "churn")}
    found = {(path.target, path.via) for path in Search(planted, TEAMS).paths() if path.start == role.arn}
    assert not [target for target, _ in found if target == data_of(ACCOUNT, "churn")], "its own data are no finding"
    return {via for target, via in found if target in targets}


@pytest.mark.parametrize(
    "path",
    [
        "Workspaces/Teams/churn/Role",
        "TrainingKubeflowTeams/Roles/churn",
        "TrainingKubeflowTeams/SparkHistory/churn",
        "Identity/People/ben",
    ],
)
@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("prefix", allow("s3:GetObject", resource="arn:aws:s3:::prod-storage-*")),
        ("prefix", allow("s3:DeleteObject", resource="arn:aws:s3:::*/fraud/*")),
        ("access point", allow("elasticfilesystem:ClientMount")),
        ("access point", allow("elasticfilesystem:CreateAccessPoint")),
        ("lustre", allow("fsx:CreateDataRepositoryTask")),
    ],
)
def test_another_teams_data_that_a_role_of_a_team_reaches_are_found(
    production: World, path: str, kind: str, body: dict[str, Any]
) -> None:
    assert kind in of_churn(production, path, body)


POINT = f"arn:aws:elasticfilesystem:eu-west-1:{ACCOUNT}:access-point/fsap-1"


@pytest.mark.parametrize(
    "body",
    [
        allow("s3:*", resource="arn:aws:s3:::*/churn/*"),
        allow(
            "elasticfilesystem:ClientMount",
            Condition={"StringEquals": {"elasticfilesystem:AccessPointArn": POINT}},
        ),
        allow("s3:ListBucket"),
    ],
)
def test_a_role_that_reaches_the_data_of_its_own_team_alone_is_not_reported(
    production: World, body: dict[str, Any]
) -> None:
    assert of_churn(production, "Workspaces/Teams/churn/Role", body) == set()


def test_every_role_of_a_team_in_the_rehearsed_account_is_known_as_its_own(world: World) -> None:
    """What the search takes for a role of the platform itself, it follows to no team's data."""
    local = load_account("local")
    (team,) = local.teams
    of_team = {one.path for one in world.roles.values() if Tenants.of([local]).of_role(one) == {team}}
    assert {
        f"TrainingKubeflowTeams/Roles/{team}",
        f"TrainingKubeflowTeams/SparkHistory/{team}",
        f"InferenceServing/Teams/{team}/Server",
        f"InferenceServing/Teams/{team}/Batch",
    } <= of_team


@pytest.mark.promise("team-artifacts")
def test_roles_of_a_team_read_of_another_what_all_teams_share_and_nothing_else(world: World) -> None:
    local = load_account("local")
    (team,) = local.teams
    beside = Tenants({local.account: {team: frozenset(), "other": frozenset()}})
    of_team = {node for node, role in world.roles.items() if beside.of_role(role) == {team}}
    assert of_team
    ways = {step.by for step in steps(world, beside) if step.source in of_team if step.target.endswith("/other")}
    assert ways == {"s3:GetObject of Storage/Models/Bucket below other/"}


def test_data_of_a_team_that_the_platform_itself_reaches_are_no_path(production: World) -> None:
    assert of_churn(production, "Storage/Role", allow("s3:GetObject")) == set()


def in_namespaces(verbs: list[str], group: str, resource: str, *, kind: str = "ClusterRole") -> dict[str, Any]:
    """Rights of a service account of one team's namespace."""
    scope = {"namespace": "fraud"} if kind == "Role" else {}
    rule = {"apiGroups": [group], "resources": [resource], "verbs": verbs}
    made = {"apiVersion": "v1", "kind": kind, "metadata": {"name": "planted", **scope}, "rules": [rule]}
    binding = {
        "apiVersion": "v1",
        "kind": f"{kind}Binding",
        "metadata": {"name": "planted", **scope},
        "roleRef": {"kind": kind, "name": "planted"},
        "subjects": [{"kind": "ServiceAccount", "name": "default-editor", "namespace": "churn"}],
    }
    return {"Rights": manifest(made, binding)}


@pytest.mark.parametrize(
    ("kind", "rights"),
    [
        ("workload", in_namespaces(["create"], "", "pods", kind="Role")),
        ("secret", in_namespaces(["list"], "", "secrets", kind="Role")),
        ("secret", in_namespaces(["get"], "", "secrets")),
        ("volume", in_namespaces(["create"], "", "persistentvolumes")),
    ],
)
def test_another_teams_data_that_a_workload_of_a_team_reaches_are_found(
    small: Callable[[dict[str, Any]], World], kind: str, rights: dict[str, Any]
) -> None:
    teams = Tenants({"111111111111": {"churn": frozenset(), "fraud": frozenset()}})
    found = Search(small(IN_CLUSTER | rights), teams).paths()
    assert (data_of("111111111111", "fraud"), kind) in {(path.target, path.via) for path in found}

"""Jobs of a team reach the data of no other team, and pipelines of a team use the jobs of no other team."""

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import pytest

from assurance.permissions.evaluator import Caller, Request, ask
from assurance.permissions.roles import Role
from assurance.permissions.world import World
from delivery.assembly import read_assembly
from delivery.gate.policies import Statement
from stacks.app import new_app
from tests.stacks.account.test_workloads import pipelines_of, workloads

TEAMS = ("churn", "churn-eu", "fraud")
PAIRS = list(itertools.permutations(TEAMS, 2))
ROLES = {"Emr/InstanceRole": "emr", "EmrServerless/JobRole": "emr-serverless", "SageMaker/Role": None}
"""Roles that programs of a team have, each with the folder of its logs."""
OWN = {"GetObject jobs/", "ListBucket jobs/", "PutObject jobs/"}
MANAGED = {"mlplatform:managed-by": "pipeline-components"}
ACCOUNT = "111111111111"

Change = Callable[[Statement], Statement]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """An account with every kind of job, three teams, and the roles of their pipelines."""
    folder = tmp_path_factory.mktemp("jobs") / "cdk.out"
    app = new_app(outdir=str(folder))
    pipelines_of(workloads(app, teams=TEAMS))
    app.synth()
    return World.of(read_assembly(folder))


def role_of(world: World, path: str) -> Role:
    [role] = world.by_path[path]
    return role


def may(world: World, role: Role, action: str, resource: str, context: Mapping[str, str] | None = None) -> bool:
    return bool(ask(world, Request(Caller.role(role), action, resource, role.region, context or {})))


def data(world: World, role: Role, team: str) -> set[str]:
    """What a role reads, writes and deletes below the folder of a team."""
    bucket = world.construct("Storage/Artifacts/Bucket", ACCOUNT)
    found = set()
    for folder in ("jobs/", "job-logs/emr/", "job-logs/emr-serverless/", "pipelines/"):
        for action in ("GetObject", "PutObject", "DeleteObject"):
            if may(world, role, f"s3:{action}", f"{bucket}/{team}/{folder}x"):
                found.add(f"{action} {folder}")
        if may(world, role, "s3:ListBucket", bucket, {"s3:prefix": f"{team}/{folder}x"}):
            found.add(f"ListBucket {folder}")
    return found


def calls(world: World, pipeline: Role, team: str) -> Iterator[str]:
    """What a pipeline does with the jobs of a team, or in their network."""
    cluster = f"arn:aws:elasticmapreduce:eu-west-1:{ACCOUNT}:cluster/j-1"
    tags = {**MANAGED, "team": team}
    existing = {f"elasticmapreduce:ResourceTag/{key}": value for key, value in tags.items()}
    requested = {f"aws:RequestTag/{key}": value for key, value in tags.items()} | {"aws:TagKeys": "team"}
    own = {f"aws:RequestTag/{key}": value for key, value in {**tags, "team": pipeline.path.split("/")[1]}.items()}
    application = world.construct(f"Workloads/Teams/{team}/EmrServerless/Application", ACCOUNT)
    group = world.construct(f"Workloads/Teams/{team}/SageMaker/SecurityGroup", ACCOUNT).rpartition("/")[2]
    network = {
        "sagemaker:VpcSecurityGroupIds": f"{group}.GroupId",
        "sagemaker:VolumeKmsKeyArn": world.construct("Base/Keys/Data", ACCOUNT),
    }
    mine = f"arn:aws:sagemaker:eu-west-1:{ACCOUNT}:training-job/{pipeline.path.split('/')[1]}--x"
    theirs = f"arn:aws:sagemaker:eu-west-1:{ACCOUNT}:training-job/{team}--x"
    tried = [
        ("create a cluster", "elasticmapreduce:RunJobFlow", "*", requested),
        ("tag a cluster", "elasticmapreduce:AddTags", cluster, {**existing, **own, "aws:TagKeys": "team"}),
        ("add a step", "elasticmapreduce:AddJobFlowSteps", cluster, existing),
        ("terminate a cluster", "elasticmapreduce:TerminateJobFlows", cluster, existing),
        ("start a run", "emr-serverless:StartJobRun", application, {}),
        ("cancel a run", "emr-serverless:CancelJobRun", f"{application}/jobruns/x", {}),
        ("train in the network", "sagemaker:CreateTrainingJob", mine, network),
        ("read a job", "sagemaker:DescribeTrainingJob", theirs, {}),
        ("stop a job", "sagemaker:StopTrainingJob", theirs, {}),
    ]
    for name, action, resource, context in tried:
        if may(world, pipeline, action, resource, context):
            yield name
    for path, service in (
        ("Emr/ServiceRole", "elasticmapreduce"),
        ("Emr/InstanceRole", "ec2"),
        ("EmrServerless/JobRole", "emr-serverless"),
        ("SageMaker/Role", "sagemaker"),
    ):
        arn = role_of(world, f"Workloads/Teams/{team}/{path}").arn
        if may(world, pipeline, "iam:PassRole", arn, {"iam:PassedToService": f"{service}.amazonaws.com"}):
            yield f"pass {path}"


def weaker(role: Role, change: Change) -> Role:
    """A role whose statements are changed, at least one of them."""
    changed = tuple(change(one) for one in role.statements)
    assert changed != role.statements
    return replace(role, statements=changed)


def without_prefix(team: str) -> Change:
    """Any team in place of one, in resources and conditions."""

    def change(one: Statement) -> Statement:
        patterns = tuple(each.replace(f"/{team}/", "/*/") for each in one.resources.patterns)
        conditions = tuple(
            (operator, key, tuple(value.replace(f"{team}/", "*/") for value in values))
            for operator, key, values in one.conditions
        )
        return replace(one, resources=replace(one.resources, patterns=patterns), conditions=conditions)

    return change


def without_tag(one: Statement) -> Statement:
    """Clusters of any team."""
    return replace(one, conditions=tuple(each for each in one.conditions if not each[1].endswith("tag/team")))


def test_a_job_reads_and_writes_data_of_its_own_team(world: World) -> None:
    for team, (path, logs) in itertools.product(TEAMS, ROLES.items()):
        role = role_of(world, f"Workloads/Teams/{team}/{path}")
        assert data(world, role, team) == OWN | ({f"PutObject job-logs/{logs}/"} if logs else set())
        features = world.construct("Storage/Features/Bucket", ACCOUNT)
        assert may(world, role, "s3:GetObject", f"{features}/offline/x")
        assert not may(world, role, "s3:PutObject", f"{features}/offline/x")


@pytest.mark.promise("team-artifacts", "team-isolation", "component-permissions")
@pytest.mark.parametrize("path", ROLES)
@pytest.mark.parametrize(("team", "other"), PAIRS)
def test_a_job_of_a_team_reaches_no_data_of_another(world: World, team: str, other: str, path: str) -> None:
    role = role_of(world, f"Workloads/Teams/{team}/{path}")
    assert data(world, role, other) == set()
    assert data(world, weaker(role, without_prefix(team)), other) >= OWN, "or the answer above would be worth nothing"


@pytest.mark.promise("team-isolation", "component-permissions")
@pytest.mark.parametrize(("team", "other"), PAIRS)
def test_a_pipeline_of_a_team_uses_no_job_of_another(world: World, team: str, other: str) -> None:
    pipeline = role_of(world, f"Pipelines/{team}")
    assert len(set(calls(world, pipeline, team))) == 13
    assert set(calls(world, pipeline, other)) == set()


@pytest.mark.parametrize(("team", "other"), PAIRS)
def test_without_the_tag_of_its_team_a_pipeline_uses_clusters_of_another(world: World, team: str, other: str) -> None:
    pipeline = weaker(role_of(world, f"Pipelines/{team}"), without_tag)
    taken = {"create a cluster", "tag a cluster", "add a step", "terminate a cluster"}
    assert set(calls(world, pipeline, other)) == taken


def test_a_pipeline_makes_no_cluster_of_another_its_own(world: World) -> None:
    """A cluster without tags is one that the request creates; another team's has the tag already."""
    pipeline = role_of(world, "Pipelines/churn")
    cluster = f"arn:aws:elasticmapreduce:eu-west-1:{ACCOUNT}:cluster/j-1"
    request = {f"aws:RequestTag/{key}": value for key, value in {**MANAGED, "team": "churn"}.items()}
    assert may(world, pipeline, "elasticmapreduce:AddTags", cluster, {**request, "aws:TagKeys": "team"})
    taken = {"elasticmapreduce:ResourceTag/team": "fraud"}
    assert not may(world, pipeline, "elasticmapreduce:AddTags", cluster, {**request, **taken, "aws:TagKeys": "team"})


def test_emr_puts_clusters_of_a_team_into_its_own_network(world: World) -> None:
    """Instances of one security group reach each other's services, which have no sign-in."""
    for team, other in itertools.product(TEAMS, TEAMS):
        service = role_of(world, f"Workloads/Teams/{team}/Emr/ServiceRole")
        group = world.construct(f"Workloads/Teams/{other}/Emr/ClusterGroup", ACCOUNT)
        assert may(world, service, "ec2:RunInstances", f"{group}.GroupId") is (team == other)

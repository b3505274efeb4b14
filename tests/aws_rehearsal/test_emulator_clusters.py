"""Who may call a cluster: the token that ``aws eks get-token`` makes, and the cluster's access entries."""

import base64
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.signers import RequestSigner

from aws_rehearsal.emulator import aws_cli, settings

ROLE = "arn:aws:iam::000000000000:role/Deployer"
ADMIN = "arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy"
VIEW = "arn:aws:eks::aws:cluster-access-policy/AmazonEKSViewPolicy"


@pytest.fixture
def eks(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The emulator's EKS in this process, with two clusters."""
    monkeypatch.setenv("MINISTACK_TEST_NO_AUTOSTART", "1")
    from ministack.services import eks

    for name in ("training", "inference"):
        eks._clusters[name] = {"name": name}
    yield eks
    eks.reset()


@pytest.fixture
def credentials(eks: Any) -> dict[str, str]:
    """A session of the role, as a function has it."""
    from aws_rehearsal.emulator.lambda_workers import role_session

    session = role_session({"Role": ROLE, "FunctionName": "kubectl"})
    return {name.lower(): value for name, value in session.items()}


def token(cluster: str, credentials: dict[str, str], endpoint: str = "https://sts.us-east-1.amazonaws.com") -> str:
    """What ``aws eks get-token`` prints."""
    sts = boto3.Session(region_name="us-east-1", **credentials).client("sts", endpoint_url=endpoint)
    signer = RequestSigner(
        sts.meta.service_model.service_id, "us-east-1", "sts", "v4", sts._request_signer._credentials, sts.meta.events
    )
    request = {
        "method": "GET",
        "url": f"{endpoint}/?Action=GetCallerIdentity&Version=2011-06-15",
        "body": {},
        "headers": {"x-k8s-aws-id": cluster},
        "context": {},
    }
    url = signer.generate_presigned_url(request, region_name="us-east-1", expires_in=60, operation_name="")
    return "k8s-aws-v1." + base64.urlsafe_b64encode(url.encode()).decode().rstrip("=")


def run_aws(program: Path, credentials: dict[str, str], *arguments: str) -> str:
    """What a function's ``aws`` prints."""
    environment = {name.upper(): value for name, value in credentials.items()}
    return subprocess.run(
        [sys.executable, "-ISE", aws_cli.__file__, str(program), *arguments],
        env=environment | {"AWS_ENDPOINT_URL": "http://127.0.0.1:4566"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def let_in(eks: Any, cluster: str, *policies: str, groups: list[str] | None = None) -> None:
    eks._create_access_entry(cluster, {"principalArn": ROLE, "kubernetesGroups": groups or []})
    for policy in policies:
        eks._associate_access_policy(cluster, ROLE, {"policyArn": policy, "accessScope": {"type": "cluster"}})


def authenticate(bearer: str) -> Any:
    from aws_rehearsal.emulator.eks import authenticate

    return authenticate(bearer)


@pytest.mark.parametrize("endpoint", ["https://sts.us-east-1.amazonaws.com", f"http://{settings.LOOPBACK}:4566"])
def test_an_administrator_is_a_master(eks: Any, credentials: dict[str, str], endpoint: str) -> None:
    let_in(eks, "training", ADMIN)
    identity = authenticate(token("training", credentials, endpoint))
    assert "system:masters" in identity.groups
    assert "assumed-role/Deployer" in identity.username


def test_the_token_of_a_functions_aws_is_as_good_as_that_of_the_aws_cli(
    eks: Any, credentials: dict[str, str], tmp_path: Path
) -> None:
    let_in(eks, "training", ADMIN)
    printed = run_aws(
        tmp_path,
        credentials,
        "--region",
        "us-east-1",
        "eks",
        "get-token",
        "--cluster-name",
        "training",
        "--output",
        "json",
    )
    answer = json.loads(printed)
    assert answer["kind"] == "ExecCredential"
    assert "system:masters" in authenticate(answer["status"]["token"]).groups


def test_every_other_call_of_a_functions_aws_is_the_layers_program(credentials: dict[str, str], tmp_path: Path) -> None:
    program = tmp_path / "aws"
    program.write_text("import sys\nprint('layer', *sys.argv[1:])\n")
    assert (
        run_aws(program, credentials, "eks", "update-kubeconfig", "--name", "x")
        == "layer eks update-kubeconfig --name x\n"
    )
    with_role = ("--region", "us-east-1", "eks", "get-token", "--cluster-name", "x", "--role-arn", "r")
    assert run_aws(program, credentials, *with_role) == f"layer {' '.join(with_role)}\n"


def test_groups_come_from_the_access_entry(eks: Any, credentials: dict[str, str]) -> None:
    let_in(eks, "training", VIEW, groups=["platform:readers"])
    groups = authenticate(token("training", credentials)).groups
    assert groups == ("system:authenticated", "platform:readers", "eks:access-policy:AmazonEKSViewPolicy")


def test_a_role_without_an_entry_is_a_stranger(eks: Any, credentials: dict[str, str]) -> None:
    let_in(eks, "training", ADMIN)
    assert authenticate(token("inference", credentials)) is None


@pytest.mark.parametrize("bearer", ["", "something", "k8s-aws-v1.", "k8s-aws-v1.bm90IGEgdXJs", "k8s-aws-v1.\udcff"])
def test_what_is_no_token_is_a_stranger(eks: Any, bearer: str) -> None:
    assert authenticate(bearer) is None


def test_a_token_with_a_wrong_signature_is_a_stranger(eks: Any, credentials: dict[str, str]) -> None:
    let_in(eks, "training", ADMIN)
    forged = credentials | {"aws_secret_access_key": "guessed"}
    assert authenticate(token("training", forged)) is None


@pytest.mark.promise("api-name-inside-only")
def test_the_name_of_a_private_cluster_does_not_resolve_outside(cloud: Any) -> None:
    """The network of the rehearsal is loopback."""
    trust = {"Version": "2012-10-17", "Statement": []}
    subnets = {
        f"Subnet{zone}": {
            "Type": "AWS::EC2::Subnet",
            "Properties": {
                "VpcId": {"Ref": "Vpc"},
                "CidrBlock": f"10.0.{n}.0/24",
                "AvailabilityZone": f"us-east-1{zone}",
            },
        }
        for n, zone in enumerate("ab")
    }
    access = {"EndpointPrivateAccess": True, "EndpointPublicAccess": False, "SubnetIds": [{"Ref": n} for n in subnets]}
    properties = {"Version": "1.35", "RoleArn": {"Fn::GetAtt": ["Role", "Arn"]}, "ResourcesVpcConfig": access}
    cloud.create(
        {
            "Vpc": {"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": "10.0.0.0/16"}},
            "Role": {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": trust}},
            **subnets,
            "Cluster": {"Type": "AWS::EKS::Cluster", "Properties": properties},
        }
    )
    found = cloud.client("eks").describe_cluster(name=cloud.ids()["Cluster"])["cluster"]
    assert (
        found["resourcesVpcConfig"]["endpointPrivateAccess"],
        found["resourcesVpcConfig"]["endpointPublicAccess"],
    ) == (
        True,
        False,
    )
    assert urlsplit(found["endpoint"]).hostname == "127.0.0.1"
    cloud.delete()

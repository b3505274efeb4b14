"""One cluster with a real node in the embedded AWS for all tests of a module, and none while other modules run."""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aws_rehearsal.emulator.aws_cli import credential
from kubernetes_rehearsal.choice import NODES, missing_for_nodes
from kubernetes_rehearsal.client import ApiClient
from kubernetes_rehearsal.interface import ClusterAccess
from rehearsal.embedded_aws import EmbeddedAws
from rehearsal.run import exclusive_run
from tests.kubernetes_rehearsal.cloud.clouds import CLUSTER, REGION, CloudCluster, client, create_role
from tests.kubernetes_rehearsal.helm_releases import Helm

ADMINISTRATOR = "arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy"


@pytest.fixture(scope="session")
def real_nodes() -> None:
    """Tests are skipped where this machine cannot run nodes."""
    if lacks := missing_for_nodes():
        pytest.skip(f"real nodes need {', '.join(lacks)}")


@pytest.fixture(scope="module")
def cloud(real_nodes: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CloudCluster]:
    """A cluster with a node of the platform's own."""
    folder = tmp_path_factory.mktemp("cloud")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv(NODES, "1")
        with exclusive_run(folder) as run, EmbeddedAws(run) as aws:
            aws.wait_until_healthy()
            yield new_cluster(aws, folder)


def new_cluster(aws: EmbeddedAws, folder: Path) -> CloudCluster:
    """A cluster with one node.

    :param folder: for files of its clients.
    """
    ec2, eks = client(aws, "ec2"), client(aws, "eks")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.0.{number}.0/24", AvailabilityZone=f"{REGION}{zone}")["Subnet"]
        for number, zone in enumerate("ab")
    ]
    ids = [subnet["SubnetId"] for subnet in subnets]
    ec2.create_tags(Resources=ids, Tags=[{"Key": "mlplatform/network", "Value": "tests"}])
    role = create_role(aws, "cluster", {"Service": "eks.amazonaws.com"}, ["sts:AssumeRole"])
    nodes = create_role(aws, "nodes", {"Service": "ec2.amazonaws.com"}, ["sts:AssumeRole"])
    cluster = eks.create_cluster(name=CLUSTER, version="1.35", roleArn=role, resourcesVpcConfig={"subnetIds": ids})[
        "cluster"
    ]
    eks.create_nodegroup(
        clusterName=CLUSTER,
        nodegroupName="system",
        nodeRole=nodes,
        subnets=ids[:1],
        instanceTypes=["m7i.2xlarge"],
        scalingConfig={"minSize": 1, "maxSize": 1, "desiredSize": 1},
        labels={"mlplatform/purpose": "system"},
    )
    access = ClusterAccess(cluster["endpoint"], base64.b64decode(cluster["certificateAuthority"]["data"]).decode())
    token = _token(aws)
    group = eks.describe_cluster(name=CLUSTER)["cluster"]["resourcesVpcConfig"]["clusterSecurityGroupId"]
    ready = CloudCluster(aws, ApiClient(access, token), Helm(access, token, folder), vpc, group)
    ready.until(lambda: ready.api.items("/api/v1/nodes"), seconds=180, what="the system node")
    return ready


def _token(aws: EmbeddedAws) -> str:
    """A token of a role that may do everything in the cluster."""
    account = client(aws, "sts").get_caller_identity()["Account"]
    role = create_role(aws, "deployer", {"AWS": f"arn:aws:iam::{account}:root"}, ["sts:AssumeRole"])
    eks = client(aws, "eks")
    eks.create_access_entry(clusterName=CLUSTER, principalArn=role)
    eks.associate_access_policy(
        clusterName=CLUSTER, principalArn=role, policyArn=ADMINISTRATOR, accessScope={"type": "cluster"}
    )
    keys = client(aws, "sts").assume_role(RoleArn=role, RoleSessionName="tests")["Credentials"]
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_ENDPOINT_URL", aws.url)
        environment.setenv("AWS_ACCESS_KEY_ID", keys["AccessKeyId"])
        environment.setenv("AWS_SECRET_ACCESS_KEY", keys["SecretAccessKey"])
        environment.setenv("AWS_SESSION_TOKEN", keys["SessionToken"])
        status: Any = credential(CLUSTER, REGION)["status"]
    token: str = status["token"]
    return token

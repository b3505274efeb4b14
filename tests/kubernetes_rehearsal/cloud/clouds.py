"""A cluster with real nodes in the embedded AWS, for controllers that make things in AWS."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import boto3
from aws_cdk import App, Environment, LegacyStackSynthesizer, Stack
from aws_cdk import aws_eks as eks
from aws_cdk import aws_iam as iam
from aws_cdk.assertions import Template

from aws_rehearsal.emulator.names import EMULATED_ACCOUNT
from kubernetes_rehearsal.client import APPLY_PATCH, ApiClient
from kubernetes_rehearsal.objects import path_of
from rehearsal.embedded_aws import EmbeddedAws
from tests.kubernetes_rehearsal.helm_releases import Helm

REGION, CLUSTER = "us-east-1", "training"
SHELL = "docker.io/library/busybox:1.36.1"
_STACK_SECONDS = 120
_POLL_SECONDS = 0.3

Object = dict[str, Any]


@dataclass(frozen=True)
class CloudCluster:
    """A cluster, the AWS around it, and clients of both.

    :param vpc: id of its network.
    :param security_group: id of that of nodes.
    """

    aws: EmbeddedAws
    api: ApiClient
    helm: Helm
    vpc: str
    security_group: str

    def client(self, service: str) -> Any:
        """An AWS client of the account's administrator."""
        return client(self.aws, service)

    def deploy(self, stack: Stack) -> dict[str, str]:
        """Create a stack; its outputs by name."""
        cloudformation = self.client("cloudformation")
        body, name = json.dumps(Template.from_stack(stack).to_json()), stack.stack_name
        cloudformation.create_stack(StackName=name, TemplateBody=body, Capabilities=["CAPABILITY_NAMED_IAM"])

        def ended() -> Any:
            found = cloudformation.describe_stacks(StackName=name)["Stacks"][0]
            return found if not found["StackStatus"].endswith("_IN_PROGRESS") else None

        found = self.until(ended, seconds=_STACK_SECONDS, what=f"stack {name} is created")
        assert found["StackStatus"] == "CREATE_COMPLETE", found
        return {output["OutputKey"]: output["OutputValue"] for output in found.get("Outputs", [])}

    def apply(self, *objects: Mapping[str, Any]) -> None:
        """Create or change objects."""
        for found in objects:
            path = f"{path_of(self.api, found)}?fieldManager=tests&force=true"
            self.api.request("PATCH", path, dict(found), APPLY_PATCH)

    def delete(self, found: Mapping[str, Any]) -> None:
        """Delete an object."""
        self.api.request("DELETE", f"{path_of(self.api, found)}?propagationPolicy=Background")

    def until(
        self, found: Callable[[], Any], *, seconds: float, what: str, why: Callable[[], object] = lambda: ""
    ) -> Any:
        """What ``found`` returns, once that is something.

        :param why: what to report if it does not happen in time.
        """
        end = time.monotonic() + seconds
        while not (result := found()):
            assert time.monotonic() < end, f"{what}: not within {seconds:g} s: {why()}"
            time.sleep(_POLL_SECONDS)
        return result

    def logs(self, namespace: str, label: str) -> str:
        """What the pods with a label have logged."""
        pods = self.api.items(f"/api/v1/namespaces/{namespace}/pods?labelSelector={label.replace('=', '%3D')}")
        names = [pod["metadata"]["name"] for pod in pods]
        return "\n".join(self.api.text(f"/api/v1/namespaces/{namespace}/pods/{name}/log") for name in names)

    def denied(self) -> list[Mapping[str, str]]:
        """Calls of roles that their policies do not allow."""
        found: list[Mapping[str, str]] = self.aws.permissions()["denied"]
        return found


def new_stack(name: str) -> Stack:
    """A stack of the emulated account, without files."""
    where = Environment(account=EMULATED_ACCOUNT, region=REGION)
    return Stack(App(), name, env=where, synthesizer=LegacyStackSynthesizer())


def pod_role(stack: Stack, service_account: str) -> iam.Role:
    """The role of a service account of the cluster, by EKS Pod Identity.

    :param service_account: ``<namespace>/<name>``.
    """
    namespace, _, name = service_account.partition("/")
    pods = iam.ServicePrincipal("pods.eks.amazonaws.com").with_session_tags()
    role = iam.Role(stack, "Role", assumed_by=pods)
    eks.CfnPodIdentityAssociation(
        stack, "Pods", cluster_name=CLUSTER, namespace=namespace, service_account=name, role_arn=role.role_arn
    )
    return role


def client(aws: EmbeddedAws, service: str) -> Any:
    """An AWS client of the account's administrator."""
    return boto3.client(
        service,
        region_name=REGION,
        endpoint_url=aws.url,
        aws_access_key_id=EMULATED_ACCOUNT,
        aws_secret_access_key="emulated",
    )


def create_role(aws: EmbeddedAws, name: str, principal: Mapping[str, str], actions: Sequence[str]) -> str:
    """Create a role that a principal may assume; its ARN."""
    statement = {"Effect": "Allow", "Principal": principal, "Action": actions}
    trust = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    arn: str = client(aws, "iam").create_role(RoleName=name, AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    return arn


def deployment(
    name: str, *, replicas: int = 1, resources: Mapping[str, Any] | None = None, **pod: Any
) -> dict[str, Any]:
    """A Deployment that does nothing."""
    container = {"name": "main", "image": SHELL, "command": ["sleep", "9999"], "resources": dict(resources or {})}
    spec = {"terminationGracePeriodSeconds": 0, "containers": [container], **pod}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": spec},
        },
    }

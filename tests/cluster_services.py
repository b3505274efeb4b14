"""Accounts for tests of what every cluster gets, and a reading of their templates."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from config.loader import load_account
from stacks.app import new_app
from stacks.stage import PlatformStage
from tests.manifests import Delivered
from tests.policies import many
from tests.references import Templates

HELM = "Custom::AWSCDK-EKS-HelmChart"
REGISTRY = "333333333333.dkr.ecr.eu-west-1.amazonaws.com/mirror"
OPEN = """
account = "333333333333"
region = "eu-west-1"
production = false
removal_policy = "destroy"
[network]
cidr = "10.0.0.0/16"
availability_zones = ["eu-west-1a", "eu-west-1b"]
domain = "ml.example.com"
[storage.lustre]
[identity.load_balancer]
[identity.cognito]
[logs]
retention_days = 90
"""
CLOSED = f"""
account = "333333333333"
region = "eu-west-1"
removal_policy = "retain"
image_registry = "{REGISTRY}"
[network]
cidr = "10.0.0.0/16"
availability_zones = ["eu-west-1a", "eu-west-1b"]
domain = "ml.example.com"
nat = "none"
interface_endpoints = true
[clusters.training]
autoscaler = "karpenter"
[clusters.inference]
workload_identity = "kube2iam"
[clusters.inference.node_groups.inference-gpu]
max_per_zone = 0
[clusters.inference.node_groups.neuron]
purpose = "training"
instance_types = ["trn1.32xlarge"]
ami_type = "AL2023_x86_64_NEURON"
efa = true
max_per_zone = 1
"""


class Services:
    """The services of one cluster in the templates of an account."""

    def __init__(self, stage: PlatformStage, assembly: Any, name: str) -> None:
        self.stack = stage.clusters[name].services
        self.cluster = stage.clusters[name].cluster.cluster
        self.cluster_stack = stage.clusters[name].cluster.stack_name
        found = {
            stack.stack_name: json.loads(Path(stack.template_full_path).read_text(encoding="utf-8"))
            for stack in assembly.stacks
        }
        self.templates = Templates(found)
        self.name = self.stack.stack_name
        self.template = found[self.name]
        self.delivered = Delivered(self.template)

    def of_type(self, kind: str) -> dict[str, Any]:
        """Properties by logical id, with references as names."""
        prefix = f"{self.name}//"
        return {
            id.removeprefix(prefix): properties
            for id, properties in self.templates.resources(kind).items()
            if id.startswith(prefix)
        }

    def add_ons(self) -> dict[str, Any]:
        return {found["AddonName"]: found for found in self.of_type("AWS::EKS::Addon").values()}

    def add_on_values(self, name: str) -> dict[str, Any]:
        values: dict[str, Any] = json.loads(self.add_ons()[name]["ConfigurationValues"])
        return values

    def releases(self) -> dict[str, Any]:
        return {found["Chart"]: found for found in self.of_type(HELM).values()}

    def statements(self, service_account: str) -> list[dict[str, Any]]:
        """What the role of a service account may do."""
        associations = self.of_type("AWS::EKS::PodIdentityAssociation").values()
        (role,) = [found["RoleArn"] for found in associations if found["ServiceAccount"] == service_account]
        return [
            {**statement, "Action": many(statement["Action"]), "Resource": many(statement["Resource"])}
            for policy in self.templates.resources("AWS::IAM::Policy").values()
            if role.removesuffix(".Arn") in policy["Roles"]
            for statement in policy["PolicyDocument"]["Statement"]
        ]

    def id_of(self, kind: str, key: str, value: str) -> str:
        (id,) = [id for id, found in self.of_type(kind).items() if found[key] == value]
        return id

    def chart(self, name: str) -> str:
        return self.id_of(HELM, "Chart", name)

    def add_on(self, name: str) -> str:
        return self.id_of("AWS::EKS::Addon", "AddonName", name)

    def objects(self, kind: str) -> dict[str, Any]:
        return {found["metadata"]["name"]: found for found in self.delivered.objects() if found["kind"] == kind}


def stage_of(folder: Path, text: str) -> dict[str, Services]:
    """The services of an account's clusters. Its templates pass the compliance pack, or there are none."""
    (folder / "given.toml").write_text(text, encoding="utf-8")
    app = new_app(outdir=str(folder / "cdk.out"))
    app.node.set_context("aws:cdk:disable-asset-staging", True)
    stage = PlatformStage(app, "given", settings=load_account("given", folder))
    assembly = app.synth().get_nested_assembly("assembly-given")
    return {name: Services(stage, assembly, name) for name in stage.clusters}


def arn(service: str, resource: str) -> str:
    return f"arn:aws:{service}:eu-west-1:333333333333:{resource}"


def with_tag(statements: list[dict[str, Any]], key: str, value: str) -> list[dict[str, Any]]:
    """The statements for a request with this condition key, whose name has signs that no word of Python has."""
    kept = []
    for statement in statements:
        condition = {operator: dict(tests) for operator, tests in statement.get("Condition", {}).items()}
        if condition.get("StringEquals", {}).get(key) == value:
            del condition["StringEquals"][key]
        kept.append({**statement, "Condition": condition})
    return kept


def without(statements: list[dict[str, Any]], operator: str, tests: Mapping[str, str]) -> list[dict[str, Any]]:
    """The statements for a request that passes these tests."""
    return [
        {
            **statement,
            "Condition": {
                name: {key: value for key, value in wanted.items() if name != operator or key not in tests}
                for name, wanted in statement["Condition"].items()
            },
        }
        for statement in statements
    ]

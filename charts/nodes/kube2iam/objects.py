from constructs import Construct

from charts.kit.chart import ComponentChart
from charts.kit.rbac import access, rule
from charts.kit.security import RESTRICTED_CONTAINER, RESTRICTED_POD
from charts.kit.workloads import EVERY_NODE, NODE_CRITICAL, container, daemon_set, from_field, http_probes, pod

NAME = "kube2iam"
NAMESPACE = "kube-system"
_PORT = 8181
_LOCK = "/run/xtables.lock"


class Kube2iam(ComponentChart):
    """Answers pods in place of the node's metadata service, with the role that their annotation names.

    One agent a node, on the host network. It redirects what pods send to 169.254.169.254 to itself and assumes their
    role with the node's. Namespaces are restricted: a pod gets only roles that its namespace's annotation
    ``iam.amazonaws.com/allowed-roles`` lists. Roles are named by their ARN.

    The redirection deliberately outlives a stopped agent, because without it pods could use the node's role.

    :param image: the agent's image.
    :param region: the AWS region, whose own STS endpoint is used.
    """

    def __init__(self, scope: Construct, id: str, *, image: str, region: str) -> None:
        super().__init__(scope, id)
        agent = container(
            NAME,
            image,
            args=[
                f"--app-port={_PORT}",
                "--host-interface=eni+",  # the VPC CNI's name for the host's end of each pod
                "--host-ip=$(HOST_IP)",
                "--iptables=true",
                "--namespace-restrictions=true",
                "--node=$(NODE_NAME)",
                "--use-regional-sts-endpoint=true",
            ],
            env={
                "AWS_REGION": region,
                "HOST_IP": from_field("status.podIP"),
                "NODE_NAME": from_field("spec.nodeName"),
            },
            ports={"http": _PORT},
            probes=http_probes("http", ready="/healthz", start_seconds=30),
            resources={"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "128Mi"}},
            mounts={_LOCK: "lock"},
            security={**RESTRICTED_CONTAINER, "capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN", "NET_RAW"]}},
        )
        spec = pod(
            agent,
            service_account=NAME,
            hostNetwork=True,
            priority=NODE_CRITICAL,
            security={"runAsUser": 0, "seccompProfile": RESTRICTED_POD["seccompProfile"]},
            placement=EVERY_NODE,
            volumes={"lock": {"hostPath": {"path": _LOCK, "type": "FileOrCreate"}}},
        )
        self.add(*access(NAME, NAMESPACE, cluster=[rule("", "namespaces pods")]), daemon_set(NAME, NAMESPACE, spec))

"""The identity of a pod on a real node in AWS: the role of its service account, or none."""

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from aws_rehearsal.emulator.pod_calls import call_from
from kubernetes_rehearsal.client import ApiClient
from kubernetes_rehearsal.nodes.node import NodeSettings
from kubernetes_rehearsal.nodes.node_clusters import NodeClusters
from kubernetes_rehearsal.nodes.pod_aws import AwsError
from kubernetes_rehearsal.nodes.sandbox import Sandbox
from kubernetes_rehearsal.proofs.workloads import check_workloads

KEY = "000000000000/eu-west-1/aws"
ROLE = "arn:aws:iam::000000000000:role/Trainer"
NODE = "ip-10-88-0-11.ec2.internal"
SHELL = "docker.io/library/busybox:1.36.1"
TOKEN = "administrator"
_IDENTITY = (
    "<GetCallerIdentityResponse xmlns='https://sts.amazonaws.com/doc/2011-06-15/'><GetCallerIdentityResult>"
    "<Arn>arn:aws:sts::000000000000:assumed-role/Trainer/s</Arn><UserId>u</UserId><Account>000000000000</Account>"
    "</GetCallerIdentityResult></GetCallerIdentityResponse>"
)
_ASSUMED = (
    "<AssumeRoleWithWebIdentityResponse xmlns='https://sts.amazonaws.com/doc/2011-06-15/'>"
    "<AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>ASIAWEB</AccessKeyId><SecretAccessKey>s"
    "</SecretAccessKey><SessionToken>t</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials>"
    "</AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
)


@dataclass
class FakeAws:
    """STS on loopback, and one association."""

    calls: list[tuple[str, str, str]] = field(default_factory=list)
    """Host, name of the service that the request is signed for, and body."""

    def __post_init__(self) -> None:
        aws = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                aws.calls.append((self.headers["Host"], self.headers.get("Authorization", ""), body))
                answer = (_ASSUMED if "AssumeRoleWithWebIdentity" in body else _IDENTITY).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, format: str, *args: Any) -> None:
                """Quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.1,), daemon=True).start()

    @property
    def port(self) -> int:
        return self.server.server_port

    def region(self, cluster: str) -> str:
        return cluster.split("/")[1]

    def issuer(self, cluster: str) -> str:
        return "https://oidc.eks.eu-west-1.amazonaws.com/id/0123"

    def role(self, cluster: str, namespace: str, service_account: str) -> str | None:
        return ROLE if (cluster, namespace, service_account) == (KEY, "default", "trainer") else None

    def credentials(self, cluster: str, namespace: str, service_account: str) -> Mapping[str, str]:
        if not self.role(cluster, namespace, service_account):
            raise AwsError("No association found")
        return {
            "AccessKeyId": "ASIAPOD",
            "SecretAccessKey": "s",
            "Token": "t",
            "Expiration": "2099-01-01T00:00:00Z",
        }


@dataclass(frozen=True)
class AwsCluster:
    api: ApiClient
    sandbox: Sandbox
    aws: FakeAws


@pytest.fixture(scope="module")
def cluster(start_clusters: Callable[..., NodeClusters]) -> Iterator[AwsCluster]:
    """A cluster with an AWS and a pod for each kind of service account."""
    aws = FakeAws()
    clusters = start_clusters(aws=aws)
    api = ApiClient(clusters.create_cluster(KEY, "1.35"), TOKEN)
    clusters.set_nodes(KEY, [NodeSettings(NODE)])
    for name, annotations in (
        ("trainer", {}),
        ("annotated", {"eks.amazonaws.com/role-arn": ROLE}),
        ("nobody", {}),
    ):
        metadata = {"name": name, "annotations": annotations}
        api.request("POST", "/api/v1/namespaces/default/serviceaccounts", {"metadata": metadata})
        labels = {"app": name}
        container = {"name": "main", "image": SHELL, "command": ["sleep", "9999"]}
        template = {"metadata": {"labels": labels}, "spec": {"serviceAccountName": name, "containers": [container]}}
        spec = {"selector": {"matchLabels": labels}, "template": template}
        api.request("POST", "/apis/apps/v1/namespaces/default/deployments", {"metadata": {"name": name}, "spec": spec})
    clusters.wait_for_nodes(KEY)
    assert check_workloads(api, ["default", "kube-system"]).findings == []
    yield AwsCluster(api, clusters.sandbox(KEY), aws)
    aws.server.shutdown()


def _call(cluster: AwsCluster, account: str) -> str:
    """The ARN that AWS knows a pod by, or the error that its SDK raises."""
    (pod,) = cluster.api.items(f"/api/v1/namespaces/default/pods?labelSelector=app%3D{account}")
    return call_from(cluster.sandbox, pod, "eu-west-1").identity


def _signed(cluster: AwsCluster) -> tuple[str, str]:
    """Host and signature of the last call of STS."""
    return next((host, signed) for host, signed, _ in reversed(cluster.aws.calls) if host.startswith("sts."))


def test_a_pod_with_an_association_calls_aws_as_its_role(cluster: AwsCluster) -> None:
    assert _call(cluster, "trainer") == "arn:aws:sts::000000000000:assumed-role/Trainer/s"
    host, signed = _signed(cluster)
    assert host == "sts.eu-west-1.amazonaws.com"
    assert "Credential=ASIAPOD/" in signed


def test_a_pod_of_an_annotated_account_assumes_its_role_with_a_token_of_the_cluster(cluster: AwsCluster) -> None:
    assert _call(cluster, "annotated") == "arn:aws:sts::000000000000:assumed-role/Trainer/s"
    assert "Credential=ASIAWEB/" in _signed(cluster)[1]
    assumed = next(body for _, _, body in reversed(cluster.aws.calls) if "AssumeRoleWithWebIdentity" in body)
    assert "WebIdentityToken=eyJ" in assumed


def test_a_pod_without_a_role_has_no_credentials(cluster: AwsCluster) -> None:
    assert _call(cluster, "nobody").startswith("NoCredentialsError")


def test_a_pod_holds_no_static_key(cluster: AwsCluster) -> None:
    for pod in cluster.api.items("/api/v1/pods"):
        for container in pod["spec"]["containers"]:
            assert not [one for one in container.get("env") or [] if "SECRET" in one["name"] or "KEY_ID" in one["name"]]

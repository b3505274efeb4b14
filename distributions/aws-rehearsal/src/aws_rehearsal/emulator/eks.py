"""Clusters that answer: a Kubernetes API behind each, who may call it, and the security group that AWS makes."""

import base64
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import SplitResult, parse_qs, urlsplit

from ministack.core import sigv4
from ministack.core.iam_evaluator import ResolvedCredential, resolve_credential
from ministack.core.responses import get_account_id, get_region
from ministack.services import eks

from aws_rehearsal.emulator.names import EMULATED_ACCOUNT
from aws_rehearsal.emulator.patching import wrap
from aws_rehearsal.emulator.provisioner import absence_is_fine, client
from kubernetes_rehearsal.interface import Identity, KubernetesApi
from kubernetes_rehearsal.nodes.node_clusters import NodeClusters

Answer = tuple[int, dict[str, str], bytes]

leftovers: list[str] = []
"""Objects that were still in a cluster when it was deleted, as ``cluster: Kind namespace/name``."""

_CLUSTER_HEADER = "x-k8s-aws-id"
_EMPTY_BODY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
_CLUSTER_ADMIN = "AmazonEKSClusterAdminPolicy"


def install(kubernetes: KubernetesApi) -> None:
    """Give every cluster an API of ``kubernetes`` instead of one in Docker."""
    wrap(eks, "_get_docker", lambda original: lambda: None)
    wrap(eks, "_ministack_issuer_base", lambda original: lambda: f"https://oidc.eks.{get_region()}.amazonaws.com")
    wrap(eks, "_create_cluster", lambda original: _creating(original, kubernetes))
    wrap(eks, "_delete_cluster", lambda original: _deleting(original, kubernetes))


def _key(name: str) -> str:
    return f"{get_account_id()}/{get_region()}/{name}"


def _creating(create: Callable[..., Answer], kubernetes: KubernetesApi) -> Callable[..., Answer]:
    def creating(body: dict[str, Any], creator_arn: str | None = None) -> Answer:
        answer = create(body, creator_arn)
        if answer[0] >= 400:
            return answer
        cluster = eks._clusters[body["name"]]
        try:
            access = kubernetes.create_cluster(_key(cluster["name"]), cluster["version"])
            cluster["resourcesVpcConfig"] |= _security_group(cluster)
        except Exception:
            kubernetes.delete_cluster(_key(cluster["name"]))
            eks._clusters.pop(cluster["name"], None)
            raise
        authority = base64.b64encode(access.certificate_authority.encode()).decode()
        cluster |= {"endpoint": access.endpoint, "certificateAuthority": {"data": authority}, "status": "ACTIVE"}
        return 200, answer[1], json.dumps({"cluster": eks._sanitize(cluster)}).encode()

    return creating


def _deleting(delete: Callable[[str], Answer], kubernetes: KubernetesApi) -> Callable[[str], Answer]:
    def deleting(name: str) -> Answer:
        cluster = eks._clusters.get(name)
        answer = delete(name)
        if cluster and answer[0] < 400:
            if isinstance(kubernetes, NodeClusters):
                kubernetes.set_nodes(_key(name), [])  # those of its groups, which AWS deletes before it
            leftovers.extend(f"{name}: {found}" for found in kubernetes.leftovers(_key(name)))
            kubernetes.delete_cluster(_key(name))
            with absence_is_fine():
                client("ec2").delete_security_group(GroupId=cluster["resourcesVpcConfig"]["clusterSecurityGroupId"])
        return answer

    return deleting


def _security_group(cluster: dict[str, Any]) -> dict[str, str]:
    """The group that EKS makes in the cluster's VPC and hands out as ``ClusterSecurityGroupId``."""
    ec2 = client("ec2")
    subnets = cluster["resourcesVpcConfig"]["subnetIds"]
    vpc = ec2.describe_subnets(SubnetIds=subnets[:1])["Subnets"][0]["VpcId"]
    group = ec2.create_security_group(
        GroupName=f"eks-cluster-sg-{cluster['name']}",
        Description="EKS created security group applied to the cluster",
        VpcId=vpc,
    )["GroupId"]
    return {"clusterSecurityGroupId": group, "vpcId": vpc}


def authenticate(token: str) -> Identity | None:
    """The identity of the token's signer in a cluster's access entries, or None if it has no access.

    The token is an STS request that is signed for one cluster: the cluster's name is a signed header, but not part of
    the token. The cluster is therefore the one whose name matches the signature.
    """
    request = _signed_request(token)
    credential = _credential(request) if request else None
    if request is None or credential is None:
        return None
    for account, region, name in [key for key, _ in eks._clusters.all_items()]:
        if account == credential.account_id and _is_signed_for(request, name, credential.secret_access_key):
            return _entry_identity(name, account, region, credential.principal_arn)
    return None


def _signed_request(token: str) -> SplitResult | None:
    encoded = token.removeprefix("k8s-aws-v1.")
    if encoded == token:
        return None
    try:
        return urlsplit(base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode())
    except ValueError:  # not base64, not text, no URL
        return None


def _query(request: SplitResult, name: str) -> str:
    return parse_qs(request.query).get(name, [""])[0]


def _credential(request: SplitResult) -> ResolvedCredential | None:
    """The caller, as far as the emulator knows the access key."""
    key = _query(request, "X-Amz-Credential").split("/")[0]
    found = resolve_credential(key, EMULATED_ACCOUNT, _query(request, "X-Amz-Security-Token") or None)
    return found if isinstance(found, ResolvedCredential) else None


def _is_signed_for(request: SplitResult, cluster: str, secret: str) -> bool:
    scope = _query(request, "X-Amz-Credential").split("/")
    signed_at, signed_headers = _query(request, "X-Amz-Date"), _query(request, "X-Amz-SignedHeaders")
    if len(scope) != 5 or _CLUSTER_HEADER not in signed_headers.split(";"):
        return False
    canonical = sigv4.build_canonical_request(
        "GET",
        request.path or "/",
        {"host": request.netloc, _CLUSTER_HEADER: cluster},
        parse_qs(request.query, keep_blank_values=True),
        signed_headers,
        payload_hash=_EMPTY_BODY,
    )
    document = sigv4.build_string_to_sign(signed_at, scope[1], scope[2], scope[3], canonical)
    signature = sigv4.calculate_signature(secret, scope[1], scope[2], scope[3], document)
    return bool(sigv4.signatures_match(signature, _query(request, "X-Amz-Signature")))


def _entry_identity(cluster: str, account: str, region: str, principal: str) -> Identity | None:
    entry = eks._access_entry_for_principal(cluster, account, region, principal)
    if entry is None:
        return None
    policies = [
        policy.rpartition("/")[2]
        for owner, policy, _ in eks._access_policy_associations(cluster, account, region)
        if owner == entry["principalArn"]
    ]
    groups = ["system:authenticated", *entry.get("kubernetesGroups", [])]
    groups += ["system:masters" if name == _CLUSTER_ADMIN else f"eks:access-policy:{name}" for name in policies]
    return Identity(entry.get("username") or principal, tuple(groups))

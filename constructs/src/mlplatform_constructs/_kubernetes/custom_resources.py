"""The custom resources of the objects handler: the inventory, readiness waits, and objects in files."""

import json
import tempfile
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path

from aws_cdk import CfnResource
from aws_cdk import aws_eks_v2 as eks
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3_assets as s3_assets
from constructs import Construct

from .contents import SYSTEM_NAMESPACES, ClusterContents
from .handler import object_handler
from .objects import KubernetesObject
from .readiness import Readiness

_SERVICE_TIMEOUT = "900"  # seconds; else CloudFormation waits an hour for a function that died


def inventory_of(objects: Iterable[KubernetesObject]) -> str:
    """The objects of each wave, in order, as ``[apiVersion, kind, namespace, names]``.

    Kubernetes' own namespaces are omitted. A set may label them, but deleting the set does not delete them.
    """

    def place(one: KubernetesObject) -> tuple[str, str, str]:
        return one.api_version, one.key.kind, one.key.namespace

    own = [one for one in objects if one.key.kind != "Namespace" or one.key.name not in SYSTEM_NAMESPACES]
    waves = groupby(sorted(own, key=lambda one: one.wave), lambda one: one.wave)
    return _compact(
        [
            [[*where, sorted(one.key.name for one in same)] for where, same in groupby(sorted(wave, key=place), place)]
            for _, wave in waves
        ]
    )


def inventory(scope: Construct, *, cluster: eks.ICluster, owner: str, record: str) -> CfnResource:
    """Record the objects of ``owner`` in the cluster, before any of them is applied.

    Objects that are no longer recorded are deleted after the whole update has succeeded or was rolled back.
    """
    return _resource(scope, "Inventory", "Custom::KubernetesInventory", cluster, {"Owner": owner, "Objects": record})


def readiness(
    scope: Construct, id: str, *, cluster: eks.ICluster, of: Sequence[Readiness], revision: str
) -> CfnResource:
    """Wait until objects are ready.

    :param revision: a different value makes an update wait again.
    """
    waits = [
        {
            "apiVersion": one.api_version,
            "kind": one.kind,
            "namespace": one.namespace,
            "name": one.name,
            "state": one.state,
            "advice": one.advice,
        }
        for one in of
    ]
    minutes = max(one.minutes for one in of)
    properties = {"Minutes": str(minutes), "Waits": _compact(waits), "Revision": revision}
    return _resource(scope, id, "Custom::KubernetesReadiness", cluster, properties)


def object_file(scope: Construct, id: str, *, cluster: eks.ICluster, text: str) -> CfnResource:
    """Apply objects from a file, which the handler reads from the bucket of the app's assets.

    :param text: JSON of the objects, without tokens.
    """
    with tempfile.TemporaryDirectory(prefix="mlplatform-objects-") as folder:
        path = Path(folder) / "objects.json"
        path.write_text(text, encoding="utf-8")
        asset = s3_assets.Asset(scope, f"{id}Asset", path=str(path))
    resource = _resource(
        scope,
        id,
        "Custom::KubernetesFile",
        cluster,
        {"Bucket": asset.s3_bucket_name, "Key": asset.s3_object_key},
    )
    reader = ClusterContents.of(cluster).handler_role
    assert reader is not None  # with the function
    grant = iam.Grant.add_to_principal(
        grantee=reader, actions=["s3:GetObject"], resource_arns=[asset.bucket.arn_for_objects(asset.s3_object_key)]
    )
    grant.apply_before(resource)
    return resource


def _resource(scope: Construct, id: str, type: str, cluster: eks.ICluster, properties: dict[str, str]) -> CfnResource:
    common = {
        "ServiceToken": object_handler(cluster),
        "ServiceTimeout": _SERVICE_TIMEOUT,
        "ClusterName": ClusterContents.of(cluster).cluster_name,
    }
    return CfnResource(scope, id, type=type, properties=common | properties)


def _compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)

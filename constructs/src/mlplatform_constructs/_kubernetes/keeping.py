"""The custom resources that the function for objects answers: what there should be, and what must be ready."""

import json
from collections.abc import Iterable, Sequence
from itertools import groupby

from aws_cdk import CfnResource
from aws_cdk import aws_eks_v2 as eks
from constructs import Construct

from .._readiness import Readiness
from .contents import SYSTEM_NAMESPACES, ClusterContents
from .handler import object_keeper
from .objects import KubernetesObject

_SERVICE_TIMEOUT = "900"  # seconds; else CloudFormation waits an hour for a function that died


def inventory_of(objects: Iterable[KubernetesObject]) -> str:
    """The objects of each wave, in order, as ``[apiVersion, kind, namespace, names]``.

    Without Kubernetes' own namespaces: a set may label them, and they stay when it goes.
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
    """Record what ``owner`` has in the cluster, before any of it is applied.

    What is no longer in the record is removed, but only when the whole update has succeeded, or was taken back.
    """
    return _resource(scope, "Inventory", "Custom::KubernetesInventory", cluster, {"Owner": owner, "Objects": record})


def readiness(
    scope: Construct, id: str, *, cluster: eks.ICluster, of: Sequence[Readiness], revision: str
) -> CfnResource:
    """Wait until objects are ready.

    :param revision: another one makes an update wait again.
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


def _resource(scope: Construct, id: str, type: str, cluster: eks.ICluster, properties: dict[str, str]) -> CfnResource:
    common = {
        "ServiceToken": object_keeper(cluster),
        "ServiceTimeout": _SERVICE_TIMEOUT,
        "ClusterName": ClusterContents.of(cluster).cluster_name,
    }
    return CfnResource(scope, id, type=type, properties=common | properties)


def _compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)

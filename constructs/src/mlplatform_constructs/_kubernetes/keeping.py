"""The custom resources that the function for objects answers: what there should be, and what must be ready."""

import json
from collections.abc import Iterable, Sequence
from itertools import groupby

from aws_cdk import CustomResource, Duration
from aws_cdk import aws_eks_v2 as eks
from constructs import Construct

from .._readiness import Readiness
from .handler import object_keeper
from .objects import KubernetesObject
from .waves import Wave

_ANSWER_WITHIN = Duration.minutes(15)  # CloudFormation would wait an hour for a function that died


def inventory(scope: Construct, *, cluster: eks.ICluster, owner: str, objects: Iterable[KubernetesObject]) -> Construct:
    """Record what ``owner`` has in the cluster, before any of it is applied.

    What is no longer in the record is removed, but only when the whole update has succeeded, or was taken back.
    """
    return CustomResource(
        scope,
        "Inventory",
        service_token=object_keeper(scope, cluster),
        resource_type="Custom::KubernetesInventory",
        service_timeout=_ANSWER_WITHIN,
        properties={
            "ClusterName": cluster.cluster_name,
            "Owner": owner,
            "Objects": json.dumps(_listed(objects), separators=(",", ":")),
        },
    )


def readiness(
    scope: Construct, id: str, *, cluster: eks.ICluster, of: Sequence[Readiness], revision: str
) -> CustomResource:
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
    return CustomResource(
        scope,
        id,
        service_token=object_keeper(scope, cluster),
        resource_type="Custom::KubernetesReadiness",
        service_timeout=_ANSWER_WITHIN,
        properties={
            "ClusterName": cluster.cluster_name,
            "Minutes": str(max(one.minutes for one in of)),
            "Waits": json.dumps(waits, separators=(",", ":")),
            "Revision": revision,
        },
    )


def _listed(objects: Iterable[KubernetesObject]) -> list[list[list[object]]]:
    """The objects of each wave, in order, as ``[apiVersion, kind, namespace, names]``."""

    def wave(one: KubernetesObject) -> Wave:
        return one.wave

    def place(one: KubernetesObject) -> tuple[str, str, str]:
        return one.api_version, one.key.kind, one.key.namespace

    return [
        [[*where, sorted(one.key.name for one in same)] for where, same in groupby(sorted(group, key=place), place)]
        for _, group in groupby(sorted(objects, key=wave), wave)
    ]

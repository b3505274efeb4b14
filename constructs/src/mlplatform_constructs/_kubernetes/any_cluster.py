"""The clusters that this library accepts: its own, and those of the CDK."""

from typing import Protocol, cast

from aws_cdk import aws_eks_v2 as eks

from .._arguments import ConfigurationError


class WrapsCluster(Protocol):
    """A construct that contains a cluster, such as ``KubernetesCluster``."""

    @property
    def cluster(self) -> eks.Cluster: ...


AnyCluster = eks.Cluster | eks.ICluster | WrapsCluster
"""Anything that this library accepts as a cluster."""


def cluster_of(place: str, cluster: AnyCluster) -> eks.ICluster:
    """Return the CDK's cluster.

    :raises ConfigurationError: if ``cluster`` is not a cluster.
    """
    found = getattr(cluster, "cluster", cluster)
    if not hasattr(type(found), "cluster_name") or not hasattr(type(found), "node"):  # asking the object costs a call
        raise ConfigurationError(f"{place}: cluster must be a KubernetesCluster or an eks.Cluster, got {cluster!r}")
    return cast(eks.ICluster, found)

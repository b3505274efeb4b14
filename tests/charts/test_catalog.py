"""What the components list, and what the catalog refuses."""

import hashlib
import re
from contextlib import nullcontext as does_not_raise
from pathlib import Path
from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion

from charts.catalog import FOLDER, Catalog
from charts.kit.release import FILE, Release
from mlplatform_constructs import KubernetesRelease

CATALOG = Catalog.load()
REGISTRY = "012345678901.dkr.ecr.eu-west-1.amazonaws.com/mirror"
KUBE2IAM = CATALOG.images.reference("kube2iam")
FREE = ("AGPL-3.0-only", "Apache-2.0", "BSD-3-Clause", "GPL-2.0-only", "MIT")
ENTRY = 'source = "s"\nlicence = "MIT"\n'


def pod(image: str, **more: Any) -> dict[str, Any]:
    container = {"name": "c", "image": image, **more}
    return {"kind": "Pod", "metadata": {"name": "p", "namespace": "n"}, "spec": {"containers": [container]}}


def component(folder: Path, name: str, text: str) -> None:
    (folder / name).mkdir(parents=True)
    (folder / name / FILE).write_text(text, encoding="utf-8")


UNFREE = {"efa-device-plugin": "AWS publishes it without a licence; only node groups with efa install it"}


@pytest.mark.promise("pinned-images", "free-licences")
def test_every_image_is_fully_named_and_free() -> None:
    for image in CATALOG.images:
        is_free = image.licence in FREE
        assert is_free != (image.name in UNFREE), f"{image.name}: {image.licence}"
        assert "." in image.image.split("/")[0], f"{image.name}: name the registry"
        assert image.tag not in ("latest", "master", "main"), f"{image.name}: pin a version"


@pytest.mark.promise("pinned-images", "free-licences")
def test_every_chart_is_pinned_and_free() -> None:
    for chart in CATALOG.helm_charts:
        assert re.fullmatch(r"\d+\.\d+\.\d+", chart.version), f"{chart.name}: pin a version"
        assert chart.repository.startswith(("https://", "oci://")), f"{chart.name}: {chart.repository}"
        assert chart.licence == "Apache-2.0", f"{chart.name}: {chart.licence}"


@pytest.mark.promise("pinned-images")
def test_a_chart_and_its_images_are_of_one_release() -> None:
    for chart in CATALOG.helm_charts:
        for name in chart.images:
            assert CATALOG.images.tag(name).removeprefix("v") == chart.version


def test_a_version_stands_once_in_a_component() -> None:
    for found in CATALOG.components.values():
        text = (found.folder / FILE).read_text(encoding="utf-8")
        versions = re.findall(r'"v?(\d+\.\d+\.\d+)"', text)
        assert len(versions) == len(set(versions)), found.name


def test_every_add_on_has_a_build_for_every_kubernetes_minor() -> None:
    for release in KubernetesRelease.all():
        assert set(CATALOG.add_ons) <= set(release.addons)


def test_every_component_is_a_folder_of_an_area_that_says_what_it_is() -> None:
    for folder in (path for path in FOLDER.glob("*/*") if (path / "__init__.py").exists()):
        assert (folder / FILE).exists() or list(folder.glob("objects.py")), f"{folder}: neither objects nor a release"


def test_an_image_comes_from_its_own_registry_by_default() -> None:
    assert KUBE2IAM == "docker.io/jtblin/kube2iam:0.15.0"


@pytest.mark.promise("own-registry")
def test_all_images_come_from_the_accounts_registry_when_one_is_set() -> None:
    images = Catalog.load(registry=REGISTRY).images
    assert images.reference("kube2iam") == f"{REGISTRY}/docker.io/jtblin/kube2iam:0.15.0"


@pytest.mark.promise("own-registry")
def test_all_charts_come_from_the_accounts_registry_when_one_is_set() -> None:
    charts = Catalog.load(registry=REGISTRY).helm_charts
    assert charts.chart("istiod").repository == f"oci://{REGISTRY}/charts/istiod"


def test_a_chart_comes_from_its_project_by_default() -> None:
    repository = "https://istio-release.storage.googleapis.com/charts"
    assert CATALOG.helm_charts.chart("istiod").repository == repository


@pytest.mark.promise("pinned-images")
def test_a_recorded_digest_says_which_image_runs(tmp_path: Path) -> None:
    component(tmp_path, "area/a", f'{ENTRY}[images.a]\nimage = "r.io/a"\ntag = "1"\ndigest = "sha256:0a"\n')
    images = Catalog.load(tmp_path).images
    assert images.reference("a") == "r.io/a:1@sha256:0a"
    assert images.digest("a") == "sha256:0a"
    assert images.pinned_tag("a") == "1@sha256:0a"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            '[images.a]\nimage = "r.io/a"\ntag = "1"\n',
            r"\[images.a\]: .*'source' and 'licence'; an entry has image, tag",
        ),
        (f'{ENTRY}[images.a]\nimage = "r.io/a"\ntag = "1"\nsize = 1\n', r"\[images.a\]: .*'size'"),
        (
            f'{ENTRY}[charts.a]\nrepository = "https://a"\n',
            r"\[charts.a\]: .*'version'; an entry has repository, version",
        ),
        (f'{ENTRY}[add_ons.a.stand_in]\npods = ["a"]\n', r"\[add_ons.a\]: stand_in: unknown key 'pods'; use namespace"),
        (f"{ENTRY}[image.a]\n", r"unknown key 'image'; use source, licence, version, images, charts, add_ons, roles"),
    ],
)
def test_an_entry_that_is_not_as_it_should_be_is_refused(tmp_path: Path, text: str, said: str) -> None:
    component(tmp_path, "area/a", text)
    with pytest.raises(ValueError, match=rf"charts/area/a/release.toml: {said}"):
        Catalog.load(tmp_path)


def test_a_name_that_two_components_list_is_refused(tmp_path: Path) -> None:
    for name in ("area/a", "area/b"):
        component(tmp_path, name, f'{ENTRY}[images.a]\nimage = "r.io/a"\ntag = "1"\n')
    with pytest.raises(ValueError, match="charts/area/b/release.toml: 'a' is already listed by area/a; remove one"):
        Catalog.load(tmp_path)


def test_a_chart_with_an_unlisted_image_is_refused(tmp_path: Path) -> None:
    component(tmp_path, "area/a", f'{ENTRY}version = "1"\n[charts.a]\nrepository = "https://a"\nimages = ["other"]\n')
    with pytest.raises(ValueError, match="no release.toml lists an image 'other'"):
        Catalog.load(tmp_path)


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda: CATALOG.images.reference("kube3iam"), "lists an image 'kube3iam'; listed are: istio-pilot"),
        (lambda: CATALOG.helm_charts.chart("itsio"), "lists a Helm chart 'itsio'; listed are: base, cni"),
    ],
)
def test_an_unknown_name_is_told_which_there_are(ask: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        ask()


def test_definitions_change_on_purpose_only(snapshot_json: SnapshotAssertion) -> None:
    """A version that leaves a definition, or a field, loses what clusters have stored."""
    sums = {
        f"{name}/{file.name}": hashlib.sha256(file.read_bytes()).hexdigest()
        for name, found in CATALOG.components.items()
        for file in sorted(found.folder.glob("definitions/*.json"))
    }
    assert sums == snapshot_json


def test_a_component_names_the_service_account_that_needs_aws() -> None:
    found = CATALOG.role("karpenter-controller")
    assert (found.namespace, found.service_account) == ("kube-system", "karpenter")
    with pytest.raises(ValueError, match="lists a role 'karpenter'; listed are: cloudwatch-agent, ebs-csi-controller"):
        CATALOG.role("karpenter")


def test_a_template_of_a_tag_takes_the_version_of_the_component(tmp_path: Path) -> None:
    component(tmp_path, "area/a", f'{ENTRY}version = "1.2"\n[images.a]\nimage = "r.io/a"\ntag = "v{{version}}"\n')
    assert Release.load(tmp_path / "area/a" / FILE).images[0].tag == "v1.2"


@pytest.mark.promise("pinned-images")
@pytest.mark.parametrize(
    ("found", "place"),
    [
        (pod("evil/miner:1"), r"Pod n/p: spec.containers\[c\].image: image 'evil/miner:1'"),
        (pod(KUBE2IAM, args=["--proxy=docker.io/evil/miner:1"]), r"args\[0\]: image 'docker.io/evil/miner:1'"),
        (pod(KUBE2IAM, command=["run", "--init-image", "miner"]), r"command\[2\]: image 'miner'"),
        (pod(KUBE2IAM, args=["--executor-image=miner:1"]), "image 'miner:1'"),
        (pod(KUBE2IAM, env=[{"name": "LAUNCHER_IMAGE", "value": "miner"}]), r"env\[LAUNCHER_IMAGE\]: image 'miner'"),
        (
            {"kind": "ConfigMap", "metadata": {"name": "m"}, "data": {"c.json": '{"sidecarImage": "evil/miner:2"}'}},
            "ConfigMap m: data.c.json: image 'evil/miner:2'",
        ),
        (
            {"kind": "ConfigMap", "metadata": {"name": "m"}, "data": {"c.yaml": "spec:\n  image: evil/miner\n"}},
            "image 'evil/miner'",
        ),
        (
            {
                "kind": "Notebook",
                "metadata": {"name": "m"},
                "spec": {"list": ["ghcr.io/evil/miner@sha256:" + "0" * 64]},
            },
            r"spec.list\[0\]: image 'ghcr.io/evil",
        ),
        (
            {
                "kind": "CronJob",
                "metadata": {"name": "j"},
                "spec": {
                    "jobTemplate": {"spec": {"template": {"spec": {"initContainers": [{"name": "i", "image": "x"}]}}}}
                },
            },
            r"CronJob j: spec.jobTemplate.spec.template.spec.initContainers\[i\].image: image 'x'",
        ),
    ],
)
def test_an_image_that_no_component_lists_is_refused_wherever_it_stands(found: dict[str, Any], place: str) -> None:
    with pytest.raises(ValueError, match=f"{place}.* is not in the release.toml of any component; add it there"):
        CATALOG.require_listed_objects([found])


@pytest.mark.parametrize(
    "found",
    [
        pod(KUBE2IAM),
        pod(KUBE2IAM, imagePullPolicy="Always", args=["--image=" + KUBE2IAM, "--url=https://a.io/b/c:8080/x"]),
        pod(
            KUBE2IAM,
            env=[{"name": "PULL_IMAGE", "value": "Always"}, {"name": "HOST", "value": "sts.eu.amazonaws.com:443"}],
        ),
        {
            "kind": "ConfigMap",
            "metadata": {"name": "m"},
            "data": {"a": f"image: {KUBE2IAM}\nport: db.example.com:3306/x"},
        },
        {"kind": "CustomResourceDefinition", "metadata": {"name": "m"}, "spec": {"image": "any"}},
        {"kind": "Role", "metadata": {"name": "r"}, "rules": [{"apiGroups": ["karpenter.k8s.aws/v1"]}]},
    ],
)
def test_listed_images_and_addresses_pass(found: dict[str, Any]) -> None:
    with does_not_raise():
        CATALOG.require_listed_objects([found])


@pytest.mark.promise("pinned-images")
@pytest.mark.parametrize(
    "values",
    [
        {"image": "evil/miner:1"},
        {"proxy": {"image": {"repository": "evil/miner", "tag": "1"}}},
        {"image": {"repository": "docker.io/jtblin/kube2iam", "tag": "9"}},
        {"image": {"registry": "docker.io", "repository": "evil/miner"}},
        {"global": {"hub": "docker.io/evil"}},
        {"extraArgs": ["--acme-image=evil/miner:1"]},
    ],
)
def test_helm_values_and_settings_of_add_ons_name_listed_images_only(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"Helm chart x: .*image .* is not in the release.toml"):
        CATALOG.require_listed_values("Helm chart x", values)


def test_listed_values_pass() -> None:
    with does_not_raise():
        CATALOG.require_listed_values("x", {"image": KUBE2IAM, "other": {"repository": "docker.io/jtblin/kube2iam"}})
        CATALOG.require_listed_values(
            "x", {"image": {"registry": "docker.io", "repository": "jtblin/kube2iam", "tag": "0.15.0"}}
        )
        CATALOG.require_listed_values(
            "x", {"image": {"repository": "docker.io/jtblin/kube2iam", "tag": "0.15.0", "digest": ""}}
        )


def test_the_upstream_name_is_refused_when_a_registry_is_set() -> None:
    with pytest.raises(ValueError, match="is not in the release.toml of any component"):
        Catalog.load(registry="registry.example/mirror").require_listed_objects([pod(KUBE2IAM)])

import re
from pathlib import Path

import pytest

from charts.helm_charts import HelmCharts
from charts.images import Images


def test_every_chart_is_pinned_and_free() -> None:
    """Row 80; the licence gate of row 121."""
    for chart in HelmCharts.load():
        assert re.fullmatch(r"\d+\.\d+\.\d+", chart.version), f"{chart.name}: pin a version"
        assert chart.repository.startswith(("https://", "oci://")), f"{chart.name}: {chart.repository}"
        assert chart.licence == "Apache-2.0", f"{chart.name}: {chart.licence}"


def test_every_image_of_a_chart_is_on_the_list_of_images() -> None:
    """Row 170."""
    images = Images.load()
    for chart in HelmCharts.load():
        for name in chart.images:
            assert images.reference(name)


def test_a_chart_and_its_image_are_of_one_release() -> None:
    images = Images.load()
    for chart in HelmCharts.load():
        for name in chart.images:
            assert images.tag(name).removeprefix("v") == chart.version


def test_a_chart_comes_from_its_project_by_default() -> None:
    repository = "https://istio-release.storage.googleapis.com/charts"
    assert HelmCharts.load().chart("istiod").repository == repository


def test_all_charts_come_from_the_accounts_registry_when_one_is_set() -> None:
    """R-2: nothing of a third party is needed at deployment."""
    registry = "012345678901.dkr.ecr.eu-west-1.amazonaws.com/mirror"
    assert HelmCharts.load(registry=registry).chart("istiod").repository == f"oci://{registry}/charts/istiod"


def test_an_unknown_chart_is_told_which_there_are() -> None:
    with pytest.raises(ValueError, match="no chart 'itsio'; there are: aws-load-balancer-controller, base"):
        HelmCharts.load().chart("itsio")


def test_an_incomplete_entry_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "helm_charts.toml"
    path.write_text('[a]\nrepository = "https://a"\nversion = "1"\nsource = "s"\nimages = []\n', encoding="utf-8")
    with pytest.raises(ValueError, match=r"helm_charts.toml: \[a\]: .*'licence'; an entry has repository, version"):
        HelmCharts.load(path)

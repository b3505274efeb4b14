"""The mirror between real registries on loopback."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from charts.kit.helm_charts import HelmChart
from charts.kit.images import Image
from delivery.mirror import retries
from delivery.mirror.crane import Crane, built
from delivery.mirror.errors import MirrorError, TransientError
from delivery.mirror.items import MirroredChart, MirroredImage
from delivery.mirror.mirror import bring, differences
from kubernetes_rehearsal.clients import clients
from tests.delivery.chart_archives import chart_archive, served
from tests.delivery.registries import crane, needs_crane, overloaded_registry, push_image, registry

pytestmark = needs_crane
LIST = "charts/area/app/release.toml"


@pytest.fixture(scope="module")
def upstream() -> Iterator[str]:
    with registry() as address:
        yield address


@pytest.fixture(scope="module")
def mirror() -> Iterator[str]:
    with registry() as address:
        yield f"{address}/mirror"


@pytest.fixture
def client(tmp_path: Path) -> Crane:
    return Crane(built(), credentials=tmp_path)


def image_of(client: Crane, reference: str, digest: str | None = None) -> MirroredImage:
    name, _, tag = reference.rpartition(":")
    image = Image(name="app", image=name, tag=tag, source="s", licence="MIT", digest=digest)
    item = MirroredImage(image, crane=client, listed_in=LIST)
    item.path = name.partition("/")[2]  # the port of a registry on loopback is no part of a name
    return item


@pytest.mark.promise("own-registry")
def test_an_image_arrives_with_its_digest_and_all_platforms_and_is_not_sent_twice(
    client: Crane, upstream: str, mirror: str, tmp_path: Path
) -> None:
    digest = push_image(tmp_path, f"{upstream}/whole/app:1", "whole")
    image = image_of(client, f"{upstream}/whole/app:1", digest)
    assert bring(image, mirror) == "copied"
    assert crane("digest", f"{mirror}/whole/app:1") == digest
    parts = json.loads(crane("manifest", f"{mirror}/whole/app:1"))["manifests"]
    assert [part["platform"]["architecture"] for part in parts] == ["amd64", "arm64"]
    assert bring(image, mirror) == "there"
    assert list(differences(image, mirror)) == []


@pytest.mark.promise("own-registry")
def test_a_recorded_and_mirrored_item_needs_no_access_to_upstream(
    client: Crane, upstream: str, mirror: str, tmp_path: Path
) -> None:
    digest = push_image(tmp_path, f"{upstream}/late/app:1", "late")
    bring(image_of(client, f"{upstream}/late/app:1", digest), mirror)
    gone = image_of(client, "127.0.0.1:1/late/app:1", digest)
    assert bring(gone, mirror) == "there"


def test_half_a_copy_is_completed(client: Crane, upstream: str, mirror: str, tmp_path: Path) -> None:
    digest = push_image(tmp_path, f"{upstream}/half/app:1", "half")
    (first, second) = json.loads(crane("manifest", f"{upstream}/half/app:1"))["manifests"]
    crane("copy", f"{upstream}/half/app@{first['digest']}", f"{mirror}/half/app@{first['digest']}")
    assert bring(image_of(client, f"{upstream}/half/app:1", digest), mirror) == "copied"
    assert crane("digest", f"{mirror}/half/app:1") == digest
    assert crane("digest", f"{mirror}/half/app@{second['digest']}") == second["digest"]


def test_an_index_that_lost_a_platform_is_reported(client: Crane, upstream: str, mirror: str, tmp_path: Path) -> None:
    push_image(tmp_path, f"{upstream}/torn/app:1", "torn")
    (_, second) = json.loads(crane("manifest", f"{upstream}/torn/app:1"))["manifests"]
    image = image_of(client, f"{upstream}/torn/app:1")
    bring(image, mirror)
    crane("delete", f"{mirror}/torn/app@{second['digest']}")
    assert image.missing_parts(mirror) == [second["digest"]]


@pytest.mark.parametrize("recorded", [True, False])
def test_a_tag_that_upstream_moved_is_not_copied(
    client: Crane, upstream: str, mirror: str, tmp_path: Path, recorded: bool
) -> None:
    reference = f"{upstream}/moved-{recorded}/app:1".lower()
    before = push_image(tmp_path, reference, "before")
    if not recorded:
        assert bring(image_of(client, reference), mirror) == "copied"
    now = push_image(tmp_path, reference, "now")
    with pytest.raises(MirrorError, match=rf"{LIST}: \[images.app\]: upstream moved the tag 1: .*{before}.*{now}"):
        bring(image_of(client, reference, before if recorded else None), mirror)
    kept = None if recorded else before
    assert image_of(client, reference).mirrored(mirror) == kept


def test_a_mirror_that_holds_something_else_is_not_changed(
    client: Crane, upstream: str, mirror: str, tmp_path: Path
) -> None:
    digest = push_image(tmp_path, f"{upstream}/other/app:1", "other")
    other = push_image(tmp_path, f"{mirror}/other/app:1", "another")
    with pytest.raises(MirrorError, match=f"has digest {other}, {LIST} records {digest}; tags in the mirror"):
        bring(image_of(client, f"{upstream}/other/app:1", digest), mirror)
    assert crane("digest", f"{mirror}/other/app:1") == other


def test_an_image_that_is_not_upstream_is_reported(client: Crane, upstream: str, mirror: str) -> None:
    with pytest.raises(MirrorError, match=rf"{LIST}: \[images.app\]: 9 does not exist upstream; use another version"):
        bring(image_of(client, f"{upstream}/none/app:9"), mirror)


def test_a_registry_with_too_many_requests_is_worth_another_try(client: Crane, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "ATTEMPTS", 1)
    with (
        overloaded_registry() as address,
        pytest.raises(TransientError, match="crane digest .*(TOOMANYREQUESTS|429)"),
    ):
        bring(image_of(client, f"{address}/app:1"), address)


def test_a_chart_of_a_repository_becomes_an_artifact_that_helm_installs(
    client: Crane, mirror: str, tmp_path: Path
) -> None:
    archive = chart_archive("guestbook", "1.2.3")
    with served({"guestbook": archive}) as (url, digests):
        chart = MirroredChart(
            HelmChart("guestbook", url, "1.2.3", "s", "MIT", (), digests["guestbook"]), crane=client, listed_in=LIST
        )
        assert bring(chart, mirror) == "copied"
        assert bring(chart, mirror) == "there"
        assert list(differences(chart, mirror)) == []
    pull = ["pull", f"oci://{mirror}/charts/guestbook", "--version", "1.2.3", "--plain-http", "-d", str(tmp_path)]
    subprocess.run([clients().helm, *pull], check=True, capture_output=True)
    assert (tmp_path / "guestbook-1.2.3.tgz").read_bytes() == archive


def test_a_chart_of_a_registry_is_copied_as_it_is(client: Crane, upstream: str, mirror: str) -> None:
    with served({"book": chart_archive("book", "1.0.0")}) as (url, digests):
        bring(MirroredChart(HelmChart("book", url, "1.0.0", "s", "MIT", ()), crane=client, listed_in=LIST), upstream)
    listed = HelmChart("book", f"oci://{upstream}/charts/book", "1.0.0", "s", "MIT", (), digests["book"])
    assert bring(MirroredChart(listed, crane=client, listed_in=LIST), mirror) == "copied"
    assert crane("digest", f"{mirror}/charts/book:1.0.0") == crane("digest", f"{upstream}/charts/book:1.0.0")


def test_the_command_fills_a_registry_and_tells_what_it_did(tmp_path: Path) -> None:
    """The complete run without access to upstream: every entry reports why it was not copied."""
    with registry() as address:
        run = subprocess.run(
            [sys.executable, "-c", _OFFLINE, "--registry", f"{address}/mirror"],
            capture_output=True,
            text=True,
            check=False,
        )
    assert run.returncode == 1
    assert (
        "charts/nodes/kube2iam/release.toml: [images.kube2iam]: 0.15.0 does not exist upstream; use another version"
        in run.stderr
    )
    assert (
        "charts/nodes/karpenter/release.toml: [charts.karpenter]: 1.14.1 does not exist upstream; use another version"
        in run.stderr
    )
    assert "Traceback" not in run.stderr


_OFFLINE = """
import sys
from delivery.mirror import __main__ as command
from delivery.mirror.items import MirroredChart, MirroredImage
MirroredImage.upstream = MirroredChart.upstream = lambda self: None
sys.exit(command.main())
"""

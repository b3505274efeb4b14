from pathlib import Path

import pytest

from charts.images import Images

POD = {"kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "evil/miner:1"}]}}


def listing(folder: Path, text: str) -> Path:
    path = folder / "images.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_every_image_is_fully_named_and_free() -> None:
    """Row 170; the licence gate of row 121."""
    for image in Images.load():
        assert "." in image.image.split("/")[0], f"{image.name}: name the registry"
        assert image.tag not in ("latest", "master", "main"), f"{image.name}: pin a version"
        assert image.licence in ("Apache-2.0", "BSD-3-Clause", "MIT"), f"{image.name}: {image.licence}"


def test_an_image_comes_from_its_own_registry_by_default() -> None:
    assert Images.load().reference("kube2iam") == "docker.io/jtblin/kube2iam:0.15.0"


def test_all_images_come_from_the_accounts_registry_when_one_is_set() -> None:
    """Row 6."""
    images = Images.load(registry="012345678901.dkr.ecr.eu-west-1.amazonaws.com/mirror")
    assert images.reference("kube2iam") == (
        "012345678901.dkr.ecr.eu-west-1.amazonaws.com/mirror/docker.io/jtblin/kube2iam:0.15.0"
    )


def test_a_recorded_digest_says_which_image_runs(tmp_path: Path) -> None:
    path = listing(tmp_path, '[a]\nimage = "r.io/a"\ntag = "1"\nsource = "s"\nlicence = "MIT"\ndigest = "sha256:0a"\n')
    images = Images.load(path)
    assert images.reference("a") == "r.io/a:1@sha256:0a"
    assert images.digest("a") == "sha256:0a"
    assert images.pinned_tag("a") == "1@sha256:0a"


def test_a_tag_is_all_there_is_where_no_digest_is_recorded() -> None:
    assert Images.load().pinned_tag("kube2iam") == "0.15.0"


def test_an_image_that_is_not_on_the_list_is_refused_by_name() -> None:
    said = r"^Pod p: container c: image 'evil/miner:1' is not in charts/images.toml; add it there"
    with pytest.raises(ValueError, match=said):
        Images.load().refuse_strangers([POD])


@pytest.mark.parametrize("kind", ["Deployment", "DaemonSet", "Job"])
def test_workloads_are_looked_into(kind: str) -> None:
    workload = {"kind": kind, "metadata": {"name": "w"}, "spec": {"template": {"spec": POD["spec"]}}}
    with pytest.raises(ValueError, match=f"{kind} w: container c"):
        Images.load().refuse_strangers([workload])


def test_scheduled_jobs_are_looked_into_with_their_init_containers() -> None:
    pod = {"initContainers": [{"name": "i", "image": "evil/miner:1"}]}
    job = {"kind": "CronJob", "metadata": {"name": "j"}, "spec": {"jobTemplate": {"spec": {"template": {"spec": pod}}}}}
    with pytest.raises(ValueError, match="CronJob j: container i"):
        Images.load().refuse_strangers([job])


def test_the_upstream_name_is_a_stranger_when_a_registry_is_set() -> None:
    pod = {**POD, "spec": {"containers": [{"name": "c", "image": "docker.io/jtblin/kube2iam:0.15.0"}]}}
    Images.load().refuse_strangers([pod])
    with pytest.raises(ValueError, match="is not in charts/images.toml"):
        Images.load(registry="registry.example/mirror").refuse_strangers([pod])


def test_an_unknown_name_is_told_which_there_are() -> None:
    with pytest.raises(ValueError, match="no image 'kube3iam'; there are: aws-load-balancer-controller"):
        Images.load().reference("kube3iam")


def test_an_incomplete_entry_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"images.toml: \[a\]: .*'licence'; an entry has image, tag, source, licence"):
        Images.load(listing(tmp_path, '[a]\nimage = "r.io/a"\ntag = "1"\nsource = "s"\n'))


def test_an_entry_with_a_field_that_nobody_reads_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"images.toml: \[a\]: .*'size'; an entry has image, tag, source, licence$"):
        Images.load(listing(tmp_path, '[a]\nimage = "r.io/a"\ntag = "1"\nsource = "s"\nlicence = "MIT"\nsize = 1\n'))

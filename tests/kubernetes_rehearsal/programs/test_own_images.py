"""Images of your own, next to those that the table builds."""

from pathlib import Path

import pytest

from kubernetes_rehearsal import programs
from kubernetes_rehearsal.interface import KubernetesError
from kubernetes_rehearsal.programs.archives import write_image
from kubernetes_rehearsal.programs.table import ImageRecipe


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that the variable names."""
    found = tmp_path / "images"
    found.mkdir()
    monkeypatch.setenv(programs.OWN_IMAGES, str(found))
    return found


def test_an_archive_in_the_folder_is_an_image_that_nodes_can_run(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "hello").write_text("hello")
    write_image(folder / "a.tar", "registry.test/team/a:1", ImageRecipe(files={}), {"/hello": tmp_path / "hello"})
    assert programs.images(tmp_path) == [programs.Image("registry.test/team/a:1", folder / "a.tar")]
    assert programs.why_missing("registry.test/team/a:1@sha256:12", tmp_path) == ""
    assert programs.why_missing("registry.test/team/b:1", tmp_path) == "the table of programs does not list it"


def test_without_the_variable_there_are_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(programs.OWN_IMAGES, raising=False)
    assert programs.own_images() == []


def test_a_folder_that_does_not_exist_is_refused(folder: Path) -> None:
    folder.rmdir()
    with pytest.raises(KubernetesError, match="REHEARSAL_IMAGES: .*images is not a folder; create it, or remove"):
        programs.own_images()


@pytest.mark.parametrize("content", [b"", b"no archive"])
def test_a_file_that_is_no_image_is_refused_by_name(folder: Path, content: bytes) -> None:
    (folder / "b.tar").write_bytes(content)
    with pytest.raises(KubernetesError, match=r"b.tar is not a docker-archive; write it with `docker save`"):
        programs.own_images()

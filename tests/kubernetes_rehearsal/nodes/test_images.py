"""Images that nodes pull from archives of this machine."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kubernetes_rehearsal.nodes.images import ImageRegistry, full_name, write_program_image
from kubernetes_rehearsal.programs import Image


@pytest.fixture
def image(tmp_path: Path) -> Image:
    program = tmp_path / "hello"
    program.write_bytes(b"a program")
    return write_program_image(tmp_path / "hello.tar", "registry.example.org/tools/hello:1", program)


@pytest.fixture
def registry(image: Image) -> Iterator[ImageRegistry]:
    registry = ImageRegistry([image])
    yield registry
    registry.stop()


def _get(registry: ImageRegistry, path: str) -> bytes:
    with urllib.request.urlopen(f"http://127.0.0.1:{registry.port}{path}", timeout=5) as answer:
        content: bytes = answer.read()
        return content


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ("nginx", "docker.io/library/nginx:latest"),
        ("jtblin/kube2iam:0.15.0", "docker.io/jtblin/kube2iam:0.15.0"),
        ("localhost:5000/a/b", "localhost:5000/a/b:latest"),
        ("quay.io/a/b:v1@sha256:0123", "quay.io/a/b:v1"),
    ],
)
def test_an_image_is_named_as_a_container_runtime_names_it(image: str, name: str) -> None:
    assert full_name(image) == name


def test_a_node_can_pull_an_image_by_its_tag(registry: ImageRegistry) -> None:
    manifest: dict[str, Any] = json.loads(_get(registry, "/v2/tools/hello/manifests/1?ns=registry.example.org"))
    config = json.loads(_get(registry, f"/v2/tools/hello/blobs/{manifest['config']['digest']}"))
    (layer,) = manifest["layers"]
    assert config["config"]["Entrypoint"] == ["/hello"]
    assert config["rootfs"]["diff_ids"] == [layer["digest"]]
    assert b"a program" in _get(registry, f"/v2/tools/hello/blobs/{layer['digest']}")


def test_an_image_of_another_registry_is_not_found(registry: ImageRegistry) -> None:
    with pytest.raises(urllib.error.HTTPError, match="404"):
        _get(registry, "/v2/tools/hello/manifests/1?ns=docker.io")


def test_the_registry_knows_its_images_with_and_without_a_digest(registry: ImageRegistry) -> None:
    assert registry.has("registry.example.org/tools/hello:1@sha256:0123")
    assert not registry.has("registry.example.org/tools/hello:2")

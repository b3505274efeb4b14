"""Serves image archives of this machine to the nodes of sandboxes, without an external registry."""

import hashlib
import io
import json
import tarfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import IO, Any
from urllib.parse import parse_qs, urlsplit

from kubernetes_rehearsal.certificates import LOOPBACK
from kubernetes_rehearsal.programs import Image

_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar"
_DOCKER_HUB = "docker.io"
_CHUNK_BYTES = 2**20


def full_name(image: str) -> str:
    """Registry, repository and tag of an image, without a digest, as a container runtime completes them."""
    name = image.partition("@")[0]
    host, slash, _ = name.partition("/")
    if not slash or not ("." in host or ":" in host or host == "localhost"):
        name = f"{_DOCKER_HUB}/{name if slash else f'library/{name}'}"
    return name if ":" in name.rpartition("/")[2] else f"{name}:latest"


def write_program_image(
    archive: Path, image: str, program: Path, *, entrypoint: Sequence[str] | None = None, user: str = "65535:65535"
) -> Image:
    """Write an image with one static program in its root folder.

    :param entrypoint: Default: the program alone.
    """
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as files:
        entry = tarfile.TarInfo(program.name)
        entry.size, entry.mode = program.stat().st_size, 0o755
        with program.open("rb") as binary:
            files.addfile(entry, binary)
    digest = hashlib.sha256(layer.getvalue()).hexdigest()
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Entrypoint": list(entrypoint or [f"/{program.name}"]), "User": user, "WorkingDir": "/"},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
    }
    parts = {"config.json": json.dumps(config).encode(), "layer.tar": layer.getvalue()}
    manifest = [{"Config": "config.json", "RepoTags": [image], "Layers": ["layer.tar"]}]
    with tarfile.open(archive, "w") as files:
        for name, content in {"manifest.json": json.dumps(manifest).encode(), **parts}.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            files.addfile(entry, io.BytesIO(content))
    return Image(image, archive)


@dataclass(frozen=True)
class _Blob:
    """A part of an archive."""

    archive: Path
    offset: int
    size: int

    def copy(self, target: io.BufferedIOBase) -> None:
        with self.archive.open("rb") as content:
            content.seek(self.offset)
            left = self.size
            while left:
                part = content.read(min(left, _CHUNK_BYTES))
                target.write(part)
                left -= len(part)


class ImageRegistry:
    """A registry on loopback, from which nodes pull all images, regardless of their registry.

    It implements the pull part of https://github.com/opencontainers/distribution-spec

    :param images: the served images. Of two with the same name, the later one is served.
    """

    def __init__(self, images: Iterable[Image]) -> None:
        self._images = {full_name(image.name): image for image in images}
        self._manifests: dict[str, bytes] = {}
        self._blobs: dict[str, _Blob | bytes] = {}
        self._server = ThreadingHTTPServer((LOOPBACK, 0), _handler(self))
        self._server.daemon_threads = True
        Thread(target=self._server.serve_forever, args=(0.1,), daemon=True).start()

    @property
    def port(self) -> int:
        """Of loopback."""
        return self._server.server_port

    def has(self, image: str) -> bool:
        """Whether nodes can run an image."""
        return full_name(image) in self._images

    def stop(self) -> None:
        """Close the port."""
        self._server.shutdown()
        self._server.server_close()

    def manifest(self, repository: str, reference: str) -> bytes | None:
        """The manifest of a tag or digest, or None if the image does not exist."""
        if reference.startswith("sha256:"):
            found = self._blobs.get(reference)
            return found if isinstance(found, bytes) else None
        image = self._images.get(f"{repository}:{reference}")
        if not image:
            return None
        if image.name not in self._manifests:
            self._manifests[image.name] = self._read(image)
        return self._manifests[image.name]

    def blob(self, digest: str) -> "_Blob | bytes | None":
        """A configuration or a layer of a requested image."""
        return self._blobs.get(digest)

    def _read(self, image: Image) -> bytes:
        """Compose the manifest, and remember where the parts are."""
        with tarfile.open(image.archive, "r:") as files:
            listed = json.load(_member(files, "manifest.json"))[0]
            config = _member(files, listed["Config"]).read()
            layers = []
            for name, digest in zip(listed["Layers"], json.loads(config)["rootfs"]["diff_ids"], strict=True):
                entry = files.getmember(name)
                while entry.issym() or entry.islnk():  # a layer that several images share
                    entry = files.getmember(entry.linkname)
                self._blobs[digest] = _Blob(image.archive, entry.offset_data, entry.size)
                layers.append({"mediaType": _LAYER, "digest": digest, "size": entry.size})
        manifest = {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": {"mediaType": _CONFIG, "digest": _digest(config), "size": len(config)},
            "layers": layers,
        }
        content = json.dumps(manifest).encode()
        self._blobs |= {_digest(config): config, _digest(content): content}
        return content


def _member(files: tarfile.TarFile, name: str) -> IO[bytes]:
    content = files.extractfile(name)
    assert content
    return content


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _handler(registry: ImageRegistry) -> type[BaseHTTPRequestHandler]:
    class RegistryHandler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            host = parse_qs(url.query).get("ns", [_DOCKER_HUB])[0]
            repository, _, rest = url.path.removeprefix("/v2/").rpartition("/manifests/")
            if url.path in ("/v2", "/v2/"):
                self._reply(b"{}", "application/json")
            elif repository:
                self._reply(registry.manifest(f"{host}/{repository}", rest), _MANIFEST)
            else:
                self._reply(registry.blob(url.path.rpartition("/blobs/")[2]), "application/octet-stream")

        do_HEAD = do_GET

        def _reply(self, content: "_Blob | bytes | None", content_type: str) -> None:
            self.send_response(404 if content is None else 200)
            size = 0 if content is None else content.size if isinstance(content, _Blob) else len(content)
            self.send_header("Content-Length", str(size))
            self.send_header("Content-Type", content_type)
            if isinstance(content, bytes):
                self.send_header("Docker-Content-Digest", _digest(content))
            self.end_headers()
            if self.command == "HEAD" or content is None:
                return
            if isinstance(content, _Blob):
                content.copy(self.wfile)
            else:
                self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            """Pulls are not reported."""

    return RegistryHandler

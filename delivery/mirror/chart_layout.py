"""A Helm chart's archive as a reproducible OCI artifact on disk.

Media types: https://helm.sh/docs/topics/registries/#oci-feature-deprecation-and-behavior-changes-with-v370
Files: https://github.com/opencontainers/image-spec/blob/main/image-layout.md
"""

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from delivery.mirror.errors import MirrorError

CONFIG_TYPE = "application/vnd.cncf.helm.config.v1+json"
LAYER_TYPE = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
_MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"


def archive_digest(manifest: Mapping[str, Any] | None) -> str | None:
    """Digest of the archive in a chart's manifest, or None if it is not the manifest of a chart."""
    layers = (manifest or {}).get("layers", [])
    return next((str(layer["digest"]) for layer in layers if layer["mediaType"] == LAYER_TYPE), None)


def write_layout(folder: Path, archive: bytes) -> Path:
    """Write the artifact into an empty folder.

    :raises MirrorError: for an archive without a chart.
    """
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    config = json.dumps(_metadata(archive), sort_keys=True, default=str).encode()
    manifest = {
        "schemaVersion": 2,
        "mediaType": _MANIFEST_TYPE,
        "config": _store(blobs, config, CONFIG_TYPE),
        "layers": [_store(blobs, archive, LAYER_TYPE)],
    }
    entry = _store(blobs, json.dumps(manifest, sort_keys=True).encode(), _MANIFEST_TYPE)
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}), encoding="utf-8")
    (folder / "oci-layout").write_text(json.dumps({"imageLayoutVersion": "1.0.0"}), encoding="utf-8")
    return folder


def _store(blobs: Path, content: bytes, media_type: str) -> dict[str, Any]:
    digest = hashlib.sha256(content).hexdigest()
    (blobs / digest).write_bytes(content)
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content)}


def _metadata(archive: bytes) -> Any:
    """The chart's metadata, from the ``Chart.yaml`` at the top level of the archive."""
    try:
        with tarfile.open(fileobj=io.BytesIO(archive)) as files:
            for member in files:
                parts = member.name.removeprefix("./").split("/")
                if len(parts) == 2 and parts[1] == "Chart.yaml" and (content := files.extractfile(member)):
                    return yaml.safe_load(content)
    except (tarfile.TarError, yaml.YAMLError) as error:
        raise MirrorError(f"archive of a chart: cannot be read: {error}") from None
    raise MirrorError("archive of a chart: has no Chart.yaml")

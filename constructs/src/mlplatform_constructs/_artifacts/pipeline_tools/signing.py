"""Signatures by a key that never leaves KMS, in the form in which cosign looks for them.

https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from pathlib import Path
from typing import Any

from .commands import Failed, aws, setting
from .images import digest_of, put_manifest

_CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
_PAYLOAD_TYPE = "application/vnd.dev.cosign.simplesigning.v1+json"
_MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"


def signature_of(content: Path) -> str:
    """Signature of a file of at most 4,096 bytes: ECDSA over its SHA-256, in base64."""
    how = ("--message-type", "RAW", "--signing-algorithm", "ECDSA_SHA_256")
    signed = aws("kms", "sign", "--key-id", setting("SIGNING_KEY"), "--message", f"fileb://{content}", *how)
    return str(signed["Signature"])


def sign_image(uri: str, digest: str) -> None:
    """Push a signature next to an image, under the tag that cosign expects, unless it exists."""
    repository, tag = uri.partition("/")[2], f"{digest.replace(':', '-')}.sig"
    if digest_of(repository, tag):
        return
    image = {"docker-manifest-digest": digest}
    says = {"identity": {"docker-reference": uri}, "image": image, "type": "cosign container image signature"}
    with tempfile.TemporaryDirectory() as folder:
        payload = Path(folder, "payload.json")
        payload.write_text(json.dumps({"critical": says, "optional": None}), encoding="utf-8")
        layer = _upload(repository, payload, _PAYLOAD_TYPE)
        layer["annotations"] = {"dev.cosignproject.cosign/signature": signature_of(payload)}
        config = Path(folder, "config.json")
        about = {
            "architecture": "",
            "os": "",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]},
        }
        config.write_text(json.dumps(about), encoding="utf-8")
        parts = {"config": _upload(repository, config, _CONFIG_TYPE), "layers": [layer]}
    manifest = json.dumps({"schemaVersion": 2, "mediaType": _MANIFEST_TYPE, **parts})
    put_manifest(repository, tag, manifest, _MANIFEST_TYPE)


def _upload(repository: str, blob: Path, media_type: str) -> dict[str, Any]:
    """Store a small blob; returns how a manifest refers to it."""
    content = blob.read_bytes()
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    to = ("--repository-name", repository)
    upload = aws("ecr", "initiate-layer-upload", *to)["uploadId"]
    part = ("--part-first-byte", "0", "--part-last-byte", str(len(content) - 1), "--layer-part-blob", f"fileb://{blob}")
    aws("ecr", "upload-layer-part", *to, "--upload-id", upload, *part)
    try:
        aws("ecr", "complete-layer-upload", *to, "--upload-id", upload, "--layer-digests", digest)
    except Failed as problem:
        if "LayerAlreadyExistsException" not in str(problem):
            raise
    return {"mediaType": media_type, "digest": digest, "size": len(content)}

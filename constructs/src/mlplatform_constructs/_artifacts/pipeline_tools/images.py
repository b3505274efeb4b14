"""Images in ECR, by its API: no container daemon is needed to look at one or to give it a name."""

from __future__ import annotations

import tempfile

from .commands import Failed, aws, run


def digest_of(repository: str, tag: str) -> str | None:
    """Digest of the image with a tag, or None if there is none."""
    try:
        found = aws("ecr", "describe-images", "--repository-name", repository, "--image-ids", f"imageTag={tag}")
    except Failed as problem:
        if "ImageNotFoundException" in str(problem):
            return None
        raise
    return str(found["imageDetails"][0]["imageDigest"])


def put_manifest(repository: str, tag: str, manifest: str, media_type: str) -> None:
    """Store a manifest, byte for byte, under a tag."""
    with tempfile.NamedTemporaryFile("w", suffix=".json", newline="", encoding="utf-8") as file:
        file.write(manifest)
        file.flush()
        what = ("--image-manifest", f"file://{file.name}", "--image-manifest-media-type", media_type)
        run("aws", "ecr", "put-image", "--repository-name", repository, "--image-tag", tag, *what)

"""Waits for the scan of an image; if it finds nothing too bad, gives the image its version and a signature."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from .commands import Failed, Stop, aws, main, setting
from .gate import refuse
from .images import digest_of, put_manifest
from .kept import keep
from .signing import sign_image

PAUSE_SECONDS = 15
_FORMATS = ("application/vnd.docker.distribution.manifest.v2+json", "application/vnd.oci.image.manifest.v1+json")


def release() -> None:
    """Set the version's tag, sign the image, store the records, and write the image to the parameter.

    :raises Stop: if the scan has findings above the threshold, or the version is another image.
    """
    image = json.loads(Path("image.json").read_text(encoding="utf-8"))
    name = image["repository"].partition("/")[2]
    scan = scan_of(name, image["digest"])
    Path("findings.json").write_text(json.dumps(scan, indent=2, default=str), encoding="utf-8")
    refuse(findings(scan), image["reference"])
    _tag(name, image["digest"], image["version"])
    sign_image(image["repository"], image["digest"])
    for file in ("image.json", "sbom.json", "findings.json"):
        keep(Path(file), f"{image['version']}/{file}", revision=image["revision"])
    aws("ssm", "put-parameter", "--name", setting("PARAMETER"), "--type", "String", "--overwrite",
        "--value", image["reference"])  # fmt: skip
    print(f"released {image['version']}: {image['reference']}")


def findings(scan: dict[str, Any]) -> dict[str, str]:
    """Severity of each vulnerability that a scan found, by its name; of basic and of enhanced scans."""
    found = {each["name"]: each["severity"] for each in scan.get("findings", [])}
    for each in scan.get("enhancedFindings", []):
        name = each.get("packageVulnerabilityDetails", {}).get("vulnerabilityId") or each["title"]
        found[name] = each["severity"]
    return found


def scan_of(repository: str, digest: str) -> dict[str, Any]:
    """The findings of the scan that the push began; enhanced scans stay active after their first findings."""
    question = ("--repository-name", repository, "--image-id", f"imageDigest={digest}")
    deadline = time.monotonic() + 60 * int(setting("SCAN_MINUTES"))
    state = "not begun"
    while True:
        try:
            answer = aws("ecr", "describe-image-scan-findings", *question)
            status = answer["imageScanStatus"]
            state = f"{status['status']}: {status.get('description', '')}"
            if status["status"] in ("COMPLETE", "ACTIVE"):
                scan: dict[str, Any] = answer.get("imageScanFindings", {})
                return scan
            if status["status"] not in ("IN_PROGRESS", "PENDING"):
                raise Stop(f"{repository}@{digest}: cannot be scanned: {state}; take a base image that ECR scans")
        except Failed as problem:
            if "ScanNotFoundException" not in str(problem):
                raise
        if time.monotonic() >= deadline:
            raise Stop(
                f"{repository}@{digest}: no findings after {setting('SCAN_MINUTES')} minutes, scan is {state}; "
                "run the stage again, or give it more minutes"
            )
        time.sleep(PAUSE_SECONDS)


def _tag(repository: str, digest: str, version: str) -> None:
    """Tag the image with its version, which is immutable."""
    there = digest_of(repository, version)
    if there == digest:
        return
    if there:
        raise Stop(f"{repository}:{version}: is {there} already; give this revision another version")
    named = ("--repository-name", repository, "--image-ids", f"imageDigest={digest}")
    (found,) = aws("ecr", "batch-get-image", *named, "--accepted-media-types", *_FORMATS)["images"]
    put_manifest(repository, version, found["imageManifest"], found["imageManifestMediaType"])


if __name__ == "__main__":
    main(release)

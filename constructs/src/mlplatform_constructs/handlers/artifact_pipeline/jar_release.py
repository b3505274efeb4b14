"""Stores a jar under its version, once."""

from __future__ import annotations

import json
from pathlib import Path

from .commands import Stop, aws, main, setting
from .kept import keep, revision_of, sha256


def release() -> None:
    """Keep the jar and its records, and tell the parameter where the jar is.

    :raises Stop: where the jar is not what was built, or the version is another revision's already.
    """
    record = json.loads(Path("jar.json").read_text(encoding="utf-8"))
    jar, version, revision = Path(record["file"]), record["version"], record["revision"]
    if sha256(jar).hex() != record["sha256"]:
        raise Stop(f"{jar}: is not what was built: its checksum is not {record['sha256']}; run the pipeline again")
    if not keep(jar, f"{version}/{jar.name}", revision=revision):
        there = revision_of(f"{version}/{jar.name}")
        if there != revision:
            raise Stop(f"{version}: is released from {there} already; give {revision} another version")
    for file in ("jar.json", "sbom.json"):
        keep(Path(file), f"{version}/{file}", revision=revision)
    place = f"s3://{setting('BUCKET')}/{setting('PREFIX')}/{version}/{jar.name}"
    aws("ssm", "put-parameter", "--name", setting("PARAMETER"), "--type", "String", "--overwrite", "--value", place)
    print(f"released {version}: {place}")


if __name__ == "__main__":
    main(release)

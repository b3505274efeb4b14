"""Stores a jar under its version, once."""

from __future__ import annotations

import json
from pathlib import Path

from .commands import Stop, aws, main, setting
from .kept import keep, kept, sha256
from .signing import signature_of


def release() -> None:
    """Keep the jar and its records, and tell the parameter where the jar is.

    :raises Stop: where the jar is not what was built, or the version is another revision's already.
    """
    record = json.loads(Path("jar.json").read_text(encoding="utf-8"))
    jar, version, revision = Path(record["file"]), record["version"], record["revision"]
    if sha256(jar).hex() != record["sha256"]:
        raise Stop(f"{jar}: is not what was built: its checksum is not {record['sha256']}; run the pipeline again")
    if not keep(jar, f"{version}/{jar.name}", revision=revision):
        there, checksum = kept(f"{version}/{jar.name}")
        if there != revision:
            raise Stop(f"{version}: is released from {there} already; give {revision} another version")
        record["sha256"] = checksum  # of the jar that stays: building again need not make the same bytes
        Path("jar.json").write_text(json.dumps(record, indent=2), encoding="utf-8")
    Path("jar.json.sig").write_text(signature_of(Path("jar.json")), encoding="utf-8")
    for file in ("jar.json", "jar.json.sig", "sbom.json"):
        keep(Path(file), f"{version}/{file}", revision=revision)
    place = f"s3://{setting('BUCKET')}/{setting('PREFIX')}/{version}/{jar.name}"
    aws("ssm", "put-parameter", "--name", setting("PARAMETER"), "--type", "String", "--overwrite", "--value", place)
    print(f"released {version}: {place}")


if __name__ == "__main__":
    main(release)

"""Has the bill of materials of a jar scanned, and stores the jar under its version, once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .commands import Stop, aws, main, setting
from .gate import SEVERITIES, refuse
from .kept import keep, kept, sha256
from .signing import signature_of


def release() -> None:
    """Store the jar and its records, and write the address of the jar to the parameter.

    :raises Stop: if the jar is not the one that was built, the scan has findings above the threshold, or the version
        belongs to another revision.
    """
    record = json.loads(Path("jar.json").read_text(encoding="utf-8"))
    jar, version, revision = Path(record["file"]), record["version"], record["revision"]
    if sha256(jar).hex() != record["sha256"]:
        raise Stop(f"{jar}: differs from the built jar: its checksum is not {record['sha256']}; run the pipeline again")
    if setting("FAIL_ON"):
        scan = aws("inspector-scan", "scan-sbom", "--sbom", "file://sbom.json", "--output-format", "CYCLONE_DX_1_5")
        Path("findings.json").write_text(json.dumps(scan["sbom"], indent=2), encoding="utf-8")
        refuse(findings(scan["sbom"]), jar.name)
    if not keep(jar, f"{version}/{jar.name}", revision=revision):
        there, checksum = kept(f"{version}/{jar.name}")
        if there != revision:
            raise Stop(f"{version}: is released from {there} already; give {revision} another version")
        record["sha256"] = checksum  # of the jar that stays: building again need not make the same bytes
        Path("jar.json").write_text(json.dumps(record, indent=2), encoding="utf-8")
    Path("jar.json.sig").write_text(signature_of(Path("jar.json")), encoding="utf-8")
    for file in ("jar.json", "jar.json.sig", "sbom.json", "findings.json"):
        if Path(file).exists():
            keep(Path(file), f"{version}/{file}", revision=revision)
    place = f"s3://{setting('BUCKET')}/{setting('PREFIX')}/{version}/{jar.name}"
    aws("ssm", "put-parameter", "--name", setting("PARAMETER"), "--type", "String", "--overwrite", "--value", place)
    print(f"released {version}: {place}")


def findings(bill: dict[str, Any]) -> dict[str, str]:
    """Severity of each vulnerability that is added to a bill of materials, by its name: the worst of its ratings."""
    found = {}
    for each in bill.get("vulnerabilities", []):
        rated = {str(rating.get("severity", "")).upper() for rating in each.get("ratings", [])}
        found[each["id"]] = next((severity for severity in SEVERITIES if severity in rated), "UNKNOWN")
    return found


if __name__ == "__main__":
    main(release)

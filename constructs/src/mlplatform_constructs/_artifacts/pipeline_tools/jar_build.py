"""Packages a jar, and lists what is in it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from .commands import Stop, main, setting
from .kept import sha256
from .versions import version_of

OUTPUT = Path("release")


def collect() -> None:
    """Take the one jar and its bill of materials out of the build; write ``release/jar.json``."""
    revision = setting("REVISION")
    version = version_of(Path(), revision)
    OUTPUT.mkdir()
    jar = _only("JAR")
    bill = _only("SBOM")
    json.loads(bill.read_text(encoding="utf-8"))
    shutil.copyfile(jar, OUTPUT / jar.name)
    shutil.copyfile(bill, OUTPUT / "sbom.json")
    record = {"file": jar.name, "sha256": sha256(jar).hex(), "version": version, "revision": revision}
    (OUTPUT / "jar.json").write_text(json.dumps(record, indent=2), encoding="utf-8")
    print(f"built {version} from {revision}: {jar.name}, sha256 {record['sha256']}")


def _only(name: str) -> Path:
    pattern = setting(name)
    found = [path for path in sorted(Path().glob(pattern)) if not path.name.startswith("original-")]  # Maven's shading
    if len(found) != 1:
        there = ", ".join(map(str, found)) or "none"
        raise Stop(f"{pattern}: must match one file that the build made, matches {there}; change {name.lower()}")
    return found[0]


if __name__ == "__main__":
    main(collect)

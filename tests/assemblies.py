"""Cloud assemblies that tests only read. Each is synthesized once for given sources, and shared by all workers."""

import fcntl
import functools
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
CACHE = ROOT / ".cache" / "assemblies"
KEPT = 3
"""Assemblies of one name that stay on disk: those of the sources of now, and of the last two changes."""
STACK = "aws:cloudformation:stack"
_SOURCES = ("app.py", "cdk.json", "constraints.txt", "charts", "config", "constructs/src", "package.json", "stacks")


@functools.cache
def source_hash() -> str:
    """A hash of everything that templates are made from."""
    digest = hashlib.sha256()
    for name in (*_SOURCES, "distributions/job-adviser/src", "distributions/model-repository/src"):
        top = ROOT / name
        for path in [top] if top.is_file() else sorted(each for each in top.rglob("*") if each.is_file()):
            if "__pycache__" not in path.parts:
                digest.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def shared_assembly(name: str, make: Callable[[Path], None], *, cache: Path = CACHE, key: str | None = None) -> Path:
    """The folder that ``make`` has filled, from the cache if the sources have not changed since.

    :param name: of the assembly; whatever else it is made from belongs into the name.
    :param key: what it is made from. Default: the hash of the sources.
    """
    cache.mkdir(parents=True, exist_ok=True)
    folder = cache / f"{name}@{key or source_hash()}"
    with (cache / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # released when the file is closed
        if not folder.exists():
            with tempfile.TemporaryDirectory(dir=cache) as unfinished:
                make(Path(unfinished) / "made")
                (Path(unfinished) / "made").rename(folder)
            for old in sorted(cache.glob(f"{name}@*"), key=lambda path: path.stat().st_mtime)[:-KEPT]:
                shutil.rmtree(old)
    return folder


def run_app(
    outdir: Path, *, accounts: str = "", folder: Path = ROOT, **environment: str
) -> subprocess.CompletedProcess[str]:
    """`python app.py` as the CDK CLI starts it, without AWS credentials, profile or region."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    own = {
        "AWS_EC2_METADATA_DISABLED": "true",
        "CDK_CONTEXT_JSON": json.dumps({"accounts": accounts} if accounts else {}),
        "CDK_OUTDIR": str(outdir),
        "HOME": str(outdir.parent),
        "XDG_CACHE_HOME": str(Path.home() / ".cache"),  # where jsii keeps its unpacked packages, worth eight seconds
    }
    return subprocess.run(
        [sys.executable, "app.py"], cwd=folder, env=clean | own | environment, capture_output=True, text=True
    )


def whole_assembly() -> Path:
    """What `python app.py` writes for all accounts and the pipeline."""

    def make(folder: Path) -> None:
        result = run_app(folder)
        assert result.returncode == 0, result.stderr

    return shared_assembly("app", make)


def templates_of(account: str) -> dict[str, dict[str, Any]]:
    """The templates of a shipped account, by the names of their stacks."""
    folder = whole_assembly() / f"assembly-{account}"
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    stacks = {id: each["properties"] for id, each in manifest["artifacts"].items() if each["type"] == STACK}
    return {
        properties.get("stackName", id): json.loads((folder / properties["templateFile"]).read_text(encoding="utf-8"))
        for id, properties in stacks.items()
    }

"""crane, a registry client that copies images without a container daemon.

https://github.com/google/go-containerregistry is one static program, which also serves a registry for tests. It is
built from its Go module at the version locked in this folder, with the checksums of all modules.
"""

import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from delivery.mirror.errors import MirrorError, TransientError

RELEASE = Path(__file__).parent / "crane_release"
CACHE = Path(__file__).parents[2] / ".cache" / "mirror"
_PACKAGE = "github.com/google/go-containerregistry/cmd/crane"
_TIMEOUT_SECONDS = 3600
_ABSENT = re.compile(r"MANIFEST_UNKNOWN|NAME_UNKNOWN|NOT_FOUND|404 Not Found", re.IGNORECASE)
_PASSING = re.compile(
    r"TOOMANYREQUESTS|\b429\b|\b50[0234]\b|i/o timeout|connection re(set|fused)|unexpected EOF|TLS handshake timeout",
    re.IGNORECASE,
)


def version() -> str:
    """The locked release, such as ``v0.22.1``."""
    found = re.search(r"go-containerregistry (v\S+)", (RELEASE / "go.mod").read_text(encoding="utf-8"))
    assert found
    return found[1]


def built(cache: Path = CACHE) -> Path:
    """The executable, built once into the cache.

    :raises MirrorError: if Go is not installed, or the build fails.
    """
    program = cache / f"crane-{version()}"
    if program.exists():
        return program
    if not shutil.which("go"):
        raise MirrorError(
            f"crane {version()}: not built, and Go is not installed; install Go, or pass an executable with --crane"
        )
    cache.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly -buildvcs=false", "GOWORK": "off"}
    with tempfile.TemporaryDirectory(dir=cache) as scratch:
        build = ["go", "build", "-trimpath", "-ldflags=-s -w", "-o", f"{scratch}/crane", _PACKAGE]
        run = subprocess.run(build, cwd=RELEASE, env=environment, capture_output=True, text=True, check=False)
        if run.returncode:
            raise MirrorError(f"crane {version()}: go build: status {run.returncode}: {run.stderr.strip()[-500:]}")
        os.replace(f"{scratch}/crane", program)
    return program


class Crane:
    """Reads and changes registries.

    :param program: the executable.
    :param credentials: folder with a Docker ``config.json``.
    """

    def __init__(self, program: Path, *, credentials: Path) -> None:
        self._program = program
        self._environment: Mapping[str, str] = {**os.environ, "DOCKER_CONFIG": str(credentials)}

    def digest(self, reference: str) -> str | None:
        """Digest of an image, or of its index if it has one; None if the image does not exist."""
        found = self._call("digest", reference)
        return found.strip() if found is not None else None

    def manifest(self, reference: str) -> dict[str, Any] | None:
        """Manifest of an image or artifact, or None if it does not exist."""
        found = self._call("manifest", reference)
        manifest: dict[str, Any] | None = json.loads(found) if found is not None else None
        return manifest

    def copy(self, source: str, target: str) -> None:
        """Copy all platforms. Layers that already exist at the target are skipped, and the tag is set last."""
        self._run("copy", source, target)

    def push_layout(self, layout: Path, target: str) -> None:
        """Push the only image of an OCI layout on disk."""
        self._run("push", str(layout), target)

    def _call(self, *arguments: str) -> str | None:
        try:
            return self._run(*arguments)
        except TransientError:
            raise
        except MirrorError as error:
            if _ABSENT.search(str(error)):
                return None
            raise

    def _run(self, *arguments: str) -> str:
        try:
            run = subprocess.run(
                [str(self._program), *arguments],
                env=self._environment,
                capture_output=True,
                text=True,
                check=False,
                timeout=_TIMEOUT_SECONDS,
            )
        except subprocess.TimeoutExpired:
            raise TransientError(f"crane {arguments[0]}: timed out after {_TIMEOUT_SECONDS} seconds") from None
        if run.returncode:
            said = " ".join(run.stderr.strip().splitlines()[-1:])[-500:]
            kind = TransientError if _PASSING.search(said) and not _ABSENT.search(said) else MirrorError
            absent = arguments[0] in ("copy", "push") and "NAME_UNKNOWN" in said
            raise kind(
                f"crane {arguments[0]} {arguments[-1]}: {said}" + ("; create the repository first" if absent else "")
            )
        return run.stdout

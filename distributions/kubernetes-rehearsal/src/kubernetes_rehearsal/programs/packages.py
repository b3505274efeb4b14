"""Fetches packages of Debian and PyPI by their own clients, at locked versions and checksums, into one folder each."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

from kubernetes_rehearsal.interface import KubernetesError
from kubernetes_rehearsal.programs.table import PackageSet

_APT = ("-o", "APT::Sandbox::User=root", "-o", "Debug::NoLocking=true")


class Locked(NamedTuple):
    """A Debian package of a lock: one line of ``name version sha256``."""

    name: str
    version: str
    sha256: str


def read_debian_lock(lock: Path) -> list[Locked]:
    """The packages of a lock.

    :raises KubernetesError: for a line that is not a name, a version and a checksum.
    """
    packages = []
    for number, line in enumerate(lock.read_text(encoding="utf-8").splitlines(), start=1):
        parts = line.partition("#")[0].split()
        if parts and (len(parts) != 3 or not re.fullmatch(r"[0-9a-f]{64}", parts[2])):
            raise KubernetesError(f"{lock.name}: line {number}: {line!r} is not 'name version sha256'; correct it")
        if parts:
            packages.append(Locked(*parts))
    return packages


def fetch_debian(packages: PackageSet, lock: Path, target: Path, cache: Path) -> None:
    """Extract the locked packages into ``target``, without installing anything.

    :param cache: folder that keeps the archives.
    :raises KubernetesError: if Debian's tools are missing, a version is no longer served, or a checksum differs.
    """
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise KubernetesError("there is no apt-get and dpkg-deb here; use a Debian 12 machine")
    locked = read_debian_lock(lock)
    cache.mkdir(parents=True, exist_ok=True)
    missing = [package for package in locked if not _archive(package, cache)]
    if missing:
        _download(missing, cache)
    target.mkdir(parents=True)
    for package in locked:
        archive = _archive(package, cache)
        if archive is None:
            raise KubernetesError(f"{package.name} {package.version}: its checksum differs from {lock.name}'s")
        _run(["dpkg-deb", "--extract", str(archive), str(target)])
    _link(target, packages.links.items())


def lock_debian(packages: PackageSet) -> str:
    """The text of a lock for what the archive serves today."""
    with tempfile.TemporaryDirectory() as scratch:
        empty = Path(scratch, "status")
        empty.touch()
        if packages.closure:
            command = ["apt-get", *_APT, "-o", f"Dir::State::status={empty}", "-o", f"Dir::Cache::archives={scratch}"]
            Path(scratch, "partial").mkdir()
            _run([*command, "--no-install-recommends", "--download-only", "--yes", "install", *packages.packages])
        else:
            _run(["apt-get", *_APT, "download", *packages.packages], Path(scratch))
        archives = sorted(Path(scratch).glob("*.deb"))
        found = [_packaged(archive) for archive in archives]
    return "".join(f"{' '.join(package)}\n" for package in _needed(found, packages.without))


def _packaged(archive: Path) -> Locked:
    name, version = _run(["dpkg-deb", "--show", str(archive)]).split()
    return Locked(name, version, _checksum(archive))


def _needed(found: list[Locked], without: Iterable[str]) -> list[Locked]:
    return [package for package in found if not any(fnmatchcase(package.name, pattern) for pattern in without)]


def fetch_pypi(lock: Path, target: Path) -> None:
    """Install the locked packages of PyPI into ``target``.

    :raises KubernetesError: if pip fails, for instance because a checksum differs.
    """
    options = ["--quiet", "--no-deps", "--no-compile", "--require-hashes", "--disable-pip-version-check"]
    _run([sys.executable, "-m", "pip", "install", *options, "--target", str(target), "--requirement", str(lock)])


def lock_pypi(packages: PackageSet) -> str:
    """The text of a lock, in pip's format, for exact versions, including their dependencies if ``closure`` is set."""
    with tempfile.TemporaryDirectory() as scratch:
        options = ["--quiet", "--disable-pip-version-check", *([] if packages.closure else ["--no-deps"])]
        _run([sys.executable, "-m", "pip", "download", *options, "--dest", scratch, *packages.packages])
        archives = sorted(Path(scratch).iterdir(), key=lambda archive: archive.name.lower())
        return "".join(f"{_requirement(archive.name)} --hash=sha256:{_checksum(archive)}\n" for archive in archives)


def _requirement(archive: str) -> str:
    stem = archive.removesuffix(".tar.gz").removesuffix(".zip")
    if archive.endswith(".whl"):
        name, version, *_ = archive.split("-")
    else:
        name, _, version = stem.rpartition("-")
    return f"{name.replace('_', '-').lower()}=={version}"


def _download(packages: list[Locked], cache: Path) -> None:
    command = ["apt-get", *_APT, "download", *(f"{package.name}={package.version}" for package in packages)]
    try:
        _run(command, cache)
    except KubernetesError:
        _run(["apt-get", *_APT, "update"])  # a fresh machine has no lists, or old ones
        _run(command, cache)


def _archive(package: Locked, cache: Path) -> Path | None:
    version = package.version.replace(":", "%3a")
    named = [
        archive for archive in cache.glob(f"{package.name}_{version}_*.deb") if _checksum(archive) == package.sha256
    ]
    return named[0] if named else None


def _link(target: Path, links: Iterable[tuple[str, str]]) -> None:
    for path, destination in links:
        link = target / path
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        os.symlink(destination, link)


def _checksum(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _run(command: list[str], folder: Path | None = None) -> str:
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if run.returncode:
        lines = [
            line for line in run.stderr.splitlines() if line.startswith(("E:", "ERROR"))
        ] or run.stderr.splitlines()
        name = Path(command[0]).name if command[0] != sys.executable else "pip"
        raise KubernetesError(f"{name}: {(lines or ['failed without a message'])[-1].strip()[:300]}")
    return run.stdout

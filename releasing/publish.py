"""``python -m releasing.publish FOLDER --domain D --repository R``: publish finished packages, each version once."""

import argparse
import hashlib
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.utils import InvalidSdistFilename, InvalidWheelFilename, parse_sdist_filename, parse_wheel_filename

from delivery.errors import DeliveryError
from releasing.package_index import PackageIndex

ARRIVAL_SECONDS = 60
"""How long an index may take to list uploaded files."""


@dataclass(frozen=True)
class Release:
    """One version of one project: a wheel and the source archive that it was made from."""

    project: str
    version: str
    files: tuple[Path, ...]

    def __str__(self) -> str:
        return f"{self.project} {self.version}"

    @property
    def checksums(self) -> dict[str, str]:
        """SHA-256 of each file, by its name."""
        return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in self.files}


def releases(folder: Path) -> list[Release]:
    """The packages in ``folder``, validated before anything is uploaded.

    :raises DeliveryError: for a folder without packages, an incomplete pair, a development version, or packages an
        index would refuse.
    """
    found: dict[tuple[str, str], list[Path]] = {}
    for file in sorted(folder.iterdir()) if folder.is_dir() else []:
        found.setdefault(_identity(file), []).append(file)
    if not found:
        raise DeliveryError(f"{folder}: no packages; `make wheel` builds them")
    for (project, version), files in found.items():
        if [file.suffix for file in files] != [".whl", ".gz"]:
            raise DeliveryError(f"{folder}: {project} {version} needs one wheel and one source archive; `make wheel`")
    command = [
        sys.executable,
        "-m",
        "twine",
        "check",
        "--strict",
        *(str(file) for each in found.values() for file in each),
    ]
    checked = subprocess.run(command, capture_output=True, text=True)
    if checked.returncode:
        raise DeliveryError(f"{folder}: not fit for an index\n{checked.stdout}{checked.stderr}".strip())
    return [Release(project, version, tuple(files)) for (project, version), files in found.items()]


def publish(finished: Sequence[Release], index: PackageIndex, *, arrival_seconds: float = ARRIVAL_SECONDS) -> list[str]:
    """Upload the missing packages. If a version exists with other content, nothing is uploaded.

    :returns: a line for each version.
    :raises DeliveryError: with a line for each version that cannot be published, or with the error of an upload.
    """
    lacking, refused, lines = {}, [], []
    for release in finished:
        there = index.checksums(release.project, [file.name for file in release.files])
        changed = [name for name, checksum in there.items() if checksum != release.checksums[name]]
        refused += [f"{release}: {name} is already there with other content; raise the version" for name in changed]
        if missing := [file for file in release.files if file.name not in there]:
            lacking[release] = missing
        else:
            lines.append(f"{release}: already published")
    if refused:
        raise DeliveryError("\n".join(refused))
    for release, missing in lacking.items():
        index.upload(missing)
        _await_arrival(release, index, arrival_seconds)
        lines.append(f"{release}: published")
    return lines


def _await_arrival(release: Release, index: PackageIndex, seconds: float) -> None:
    end = time.monotonic() + seconds
    while (there := index.checksums(release.project, list(release.checksums))) != release.checksums:
        if time.monotonic() > end:
            raise DeliveryError(
                f"{release}: sent, but {index.simple_url} shows {sorted(there)}; look there before you go on"
            )
        time.sleep(2)


def _identity(file: Path) -> tuple[str, str]:
    """Project and version, from the name of a file.

    :raises DeliveryError: if that is not a package, or not one for others.
    """
    try:
        parsed = parse_wheel_filename(file.name) if file.suffix == ".whl" else parse_sdist_filename(file.name)
    except (InvalidSdistFilename, InvalidWheelFilename):
        raise DeliveryError(f"{file}: neither a wheel nor a source archive; remove it") from None
    project, version = parsed[0], parsed[1]
    if version.local or version.is_devrelease:
        raise DeliveryError(
            f"{file}: version {version} is for development; publish a version such as {version.base_version}"
        )
    return project, str(version)


def main(arguments: Sequence[str] | None = None) -> int:
    """Status 0: published, or there already; 1: refused, the reason is on the error output; 2: not understood."""
    parser = argparse.ArgumentParser(prog="python -m releasing.publish", description=__doc__)
    parser.add_argument("folder", type=Path, help="folder of wheels and source archives, such as dist")
    parser.add_argument("--domain", help="CodeArtifact domain")
    parser.add_argument("--domain-owner", help="account of the domain (default: that of the credentials)")
    parser.add_argument("--repository", help="CodeArtifact repository")
    parser.add_argument("--region", help="Region (default: that of the environment)")
    parser.add_argument(
        "--repository-url", help="another index, with the credentials TWINE_USERNAME and TWINE_PASSWORD"
    )
    given = parser.parse_args(arguments)
    if bool(given.repository_url) == bool(given.domain and given.repository):
        parser.error("name --domain and --repository, or --repository-url")
    try:
        finished = releases(given.folder)  # before a token is requested
        index = (
            PackageIndex.at(given.repository_url)
            if given.repository_url
            else PackageIndex.code_artifact(
                domain=given.domain, repository=given.repository, owner=given.domain_owner, region=given.region
            )
        )
        print("\n".join(publish(finished, index)))
    except DeliveryError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""``helm`` for the deployed kubectl handler, which replaces a chart that cannot be downloaded with a stand-in.

All other commands are passed to the helm of the function's layer. Downloaded charts are cached. A registry that does
not respond is not called again in the same run. Registries of the user's account are never called: their charts are
downloaded from the projects. In clusters with real nodes, charts whose programs are built come from Go modules, with
values that account for what the nodes lack.
"""

import argparse
import contextlib
import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from aws_rehearsal.stand_ins import StandIns

_FETCH_SECONDS = 20
_OCI = "oci://"
_VALUES = "rehearsal-values.json"
"""File in the folder of a chart with values that override those of the handler."""


@dataclass(frozen=True)
class Chart:
    """A chart of a version, in a repository or, with ``oci://``, at an address."""

    name: str
    repository: str
    version: str

    @property
    def host(self) -> str:
        """Who has it."""
        return urlsplit(self.repository).netloc


class NoChart(Exception):
    """A chart that can neither be fetched nor replaced. The text is one line."""


@dataclass(frozen=True)
class Charts:
    """Finds charts.

    :param helm: the program.
    :param kept: folder for fetched charts.
    :param notes: folder of the run, for what was replaced and who did not answer.
    :param stand_ins: file with stand-ins for charts. Default: none.
    :param built: JSON file with the charts that the table of programs lists, by name: ``folder``, ``source`` and
        ``values`` of a built chart, or the ``reason`` why it is unavailable. Default: none, for clusters without nodes.
    """

    helm: Path
    kept: Path
    notes: Path
    stand_ins: Path | None = None
    built: Path | None = None

    def put(self, chart: Chart, folder: Path) -> Path:
        """Unpack a chart, or its stand-in, into ``folder``, and return the chart's own folder.

        :raises NoChart: if neither exists, or the registry has no such chart.
        """
        place = folder / chart.name
        built = json.loads(self.built.read_text(encoding="utf-8")).get(chart.name, {}) if self.built else {}
        if "folder" in built:
            self._put_built(chart, built, place)
            return place
        lacking = f"; {built['reason']}" if built else ""
        stand_ins = StandIns.load(self.stand_ins)
        chart = replace(chart, repository=stand_ins.repositories.get(chart.name, chart.repository))
        archive = self.kept / f"{chart.name}-{chart.version}-{_digest(chart.repository)}.tgz"
        refusal = "" if archive.exists() else self._fetch(chart, archive)
        if not refusal:
            with tarfile.open(archive) as packed:
                packed.extractall(folder, filter="data")
        elif stand_ins.charts.get(chart.name):
            stand_ins.write_chart(chart.name, chart.version, place)
            _note(self.notes / f"{chart.name}.standin", f"Helm chart {chart.name} {chart.version}: {refusal}{lacking}")
        else:
            raise NoChart(
                f"chart {chart.name} {chart.version}: {refusal}; connect to the network, "
                "or add a stand-in to the file of stand-ins"
            )
        return place

    def _put_built(self, chart: Chart, built: Mapping[str, Any], place: Path) -> None:
        shutil.copytree(built["folder"], place, copy_function=shutil.copyfile)  # Go's files are read only
        if built["values"]:
            (place / _VALUES).write_text(json.dumps(built["values"]), encoding="utf-8")
        _note(self.notes / f"{chart.name}.built", f"Helm chart {chart.name} {chart.version}: {built['source']}")

    def _fetch(self, chart: Chart, archive: Path) -> str:
        """Fetch into the folder of kept charts. Why that was not possible, or nothing."""
        silent = self.notes / f"{_digest(chart.host)}.silent"
        if silent.exists():
            return silent.read_text(encoding="utf-8")
        self.kept.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.kept) as scratch:
            where = (
                [chart.repository] if chart.repository.startswith(_OCI) else [chart.name, "--repo", chart.repository]
            )
            command = [str(self.helm), "pull", *where, "--version", chart.version, "--destination", scratch]
            own = {f"HELM_{kind}_HOME": scratch for kind in ("CACHE", "CONFIG", "DATA")}
            try:
                subprocess.run(
                    command, env=os.environ | own, check=True, capture_output=True, timeout=_FETCH_SECONDS, text=True
                )
                (found,) = Path(scratch).glob("*.tgz")
            except subprocess.TimeoutExpired:
                reason = f"{chart.host} did not answer within {_FETCH_SECONDS} s"
            except subprocess.CalledProcessError as error:
                if "not found" in error.stderr:  # the registry answers, and does not have it: on AWS this fails, too
                    raise NoChart(f"chart {chart.name} {chart.version}: {error.stderr.strip()}") from None
                reason = f"{chart.host}: {error.stderr.strip().rpartition(': ')[2]}"
            else:
                found.replace(archive)
                return ""
        _note(silent, reason)
        return reason


def stand_ins(notes: Path) -> list[str]:
    """What was replaced in this run, one line a chart."""
    return _noted(notes, "standin")


def built(notes: Path) -> list[str]:
    """Charts of this run that came from Go modules, one line each."""
    return _noted(notes, "built")


def _noted(notes: Path, kind: str) -> list[str]:
    return sorted(note.read_text(encoding="utf-8") for note in notes.glob(f"*.{kind}"))


def wrapper(*, helm: Path, kept: Path, notes: Path, stand_ins: Path | None = None, built: Path | None = None) -> str:
    """Text of a program that is called as ``helm`` is."""
    source = Path(__file__).parents[1]
    given = [str(helm), str(kept), str(notes), str(stand_ins or ""), str(built or "")]
    python = [sys.executable, "-P", "-m", __name__, *given]
    return f'#!/bin/sh\nPYTHONPATH={shlex.quote(str(source))} exec {shlex.join(python)} "$@"\n'


def main(arguments: list[str]) -> int:
    """Run helm as the handler calls it."""
    helm, kept, notes, stand_ins, built, *command = arguments
    charts = Charts(
        Path(helm), Path(kept), Path(notes), Path(stand_ins) if stand_ins else None, Path(built) if built else None
    )
    with contextlib.ExitStack() as scratch:
        try:
            match command:
                case ["registry", "login", *_]:
                    sys.stdin.read()  # a password of the AWS emulator
                    return 0
                case ["pull", address, *rest] if address.startswith(_OCI):
                    charts.put(Chart(address.rpartition("/")[2], address, _version(rest)[0]), Path.cwd())
                    return 0
                case ["upgrade", release, name, *rest] if "--repo" in rest:
                    folder = Path(scratch.enter_context(tempfile.TemporaryDirectory()))
                    version, rest = _version(rest)
                    repository, rest = _option("--repo", rest)
                    place = charts.put(Chart(name, repository, version), folder)
                    command = ["upgrade", release, str(place), *rest, *_overrides(place)]
                case ["upgrade", release, name, *rest]:
                    command = ["upgrade", release, name, *rest, *_overrides(Path(name))]
        except NoChart as error:
            print(f"helm: {error}", file=sys.stderr)
            return 1
        return subprocess.run([helm, *command], check=False).returncode


def _overrides(chart: Path) -> list[str]:
    """Options of helm for values that override those of the handler."""
    values = chart / _VALUES
    return ["--values", str(values)] if values.exists() else []


def _version(rest: list[str]) -> tuple[str, list[str]]:
    return _option("--version", rest)


def _option(name: str, rest: list[str]) -> tuple[str, list[str]]:
    """The value of an option, and what remains without it."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument(name, required=True, dest="value")
    found, remaining = parser.parse_known_args(rest)
    return found.value, remaining


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _note(file: Path, text: str) -> None:
    """Write a file atomically, because functions run concurrently."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=file.parent, delete=False, encoding="utf-8") as partial:
        partial.write(text)
    Path(partial.name).replace(file)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

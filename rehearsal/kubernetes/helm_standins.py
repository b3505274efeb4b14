"""``helm`` for the deployed kubectl handler: where a chart cannot be fetched, a stand-in takes its place.

Everything else is passed on to the helm of the function's layer. A fetched chart is kept; a registry that does not
answer is not asked again in the same run. Registries of the user's account are never asked: such a chart comes from its
own project.
"""

import argparse
import contextlib
import hashlib
import os
import shlex
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from charts.helm_charts import HelmCharts
from rehearsal.kubernetes import helm_standin_charts
from rehearsal.paths import ROOT

_FETCH_SECONDS = 20
_OCI = "oci://"


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

    def upstream(self) -> "Chart":
        """The same chart where its project has it, if it is on the platform's list."""
        try:
            return Chart(self.name, HelmCharts.load().chart(self.name).repository, self.version)
        except ValueError:
            return self


class NoChart(Exception):
    """A chart that can neither be fetched nor replaced. The text is one line."""


@dataclass(frozen=True)
class Charts:
    """Finds charts.

    :param helm: the program.
    :param kept: folder for fetched charts.
    :param notes: folder of the run, for what was replaced and who did not answer.
    """

    helm: Path
    kept: Path
    notes: Path

    def put(self, chart: Chart, folder: Path) -> Path:
        """Unpack a chart, or its stand-in, into ``folder``; the chart's own folder.

        :raises NoChart: where there is neither, or where the registry says that it has no such chart.
        """
        chart = chart.upstream()
        archive = self.kept / f"{chart.name}-{chart.version}-{_digest(chart.repository)}.tgz"
        refusal = "" if archive.exists() else self._fetch(chart, archive)
        place = folder / chart.name
        if not refusal:
            with tarfile.open(archive) as packed:
                packed.extractall(folder, filter="data")
        elif helm_standin_charts.has_stand_in(chart.name):
            helm_standin_charts.write(chart.name, chart.version, place)
            _note(self.notes / f"{chart.name}.standin", f"Helm chart {chart.name} {chart.version}: {refusal}")
        else:
            raise NoChart(
                f"chart {chart.name} {chart.version}: {refusal}; connect to the network, "
                "or add a stand-in to rehearsal/kubernetes/helm_standin_charts.py"
            )
        return place

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
    return sorted(note.read_text(encoding="utf-8") for note in notes.glob("*.standin"))


def wrapper(*, helm: Path, kept: Path, notes: Path) -> str:
    """Text of a program that is called as ``helm`` is."""
    python = [sys.executable, "-P", "-m", __name__, str(helm), str(kept), str(notes)]
    return f'#!/bin/sh\nPYTHONPATH={shlex.quote(str(ROOT))} exec {shlex.join(python)} "$@"\n'


def main(arguments: list[str]) -> int:
    """Run helm as the handler calls it."""
    helm, kept, notes, *command = arguments
    charts = Charts(Path(helm), Path(kept), Path(notes))
    with contextlib.ExitStack() as scratch:
        try:
            match command:
                case ["registry", "login", *_]:
                    sys.stdin.read()  # a password of the embedded AWS
                    return 0
                case ["pull", address, *rest] if address.startswith(_OCI):
                    charts.put(Chart(address.rpartition("/")[2], address, _version(rest)[0]), Path.cwd())
                    return 0
                case ["upgrade", release, name, *rest] if "--repo" in rest:
                    folder = Path(scratch.enter_context(tempfile.TemporaryDirectory()))
                    version, rest = _version(rest)
                    repository, rest = _option("--repo", rest)
                    place = charts.put(Chart(name, repository, version), folder)
                    command = ["upgrade", release, str(place), *rest]
        except NoChart as error:
            print(f"helm: {error}", file=sys.stderr)
            return 1
        return subprocess.run([helm, *command], check=False).returncode


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
    """Write a file at once, since functions run beside each other."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=file.parent, delete=False, encoding="utf-8") as partial:
        partial.write(text)
    Path(partial.name).replace(file)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

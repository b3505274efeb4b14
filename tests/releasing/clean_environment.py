"""Python environments with a built wheel, its dependencies, and no other package of this project."""

import os
import re
import subprocess
import sys
import venv
from collections import defaultdict
from collections.abc import Iterable
from importlib.metadata import Distribution, distributions
from pathlib import Path

from packaging.requirements import Requirement

INSTALLED = {re.sub(r"[-_.]+", "-", each.name).lower(): each for each in distributions()}
"""What the tests run with, by its name as pip compares names."""


class CleanEnvironment:
    """A virtual environment below ``folder``.

    What a wheel depends on is linked from the environment of the tests: exactly the packages that its metadata ask
    for, and what those ask for. That takes a second, needs no network, and an undeclared dependency is missing.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        venv.create(folder, symlinks=True)
        self.python = folder / "bin" / "python"
        (self.packages,) = folder.glob("lib/python*/site-packages")

    def install(self, *arguments: str | Path) -> None:
        """``pip install`` without dependencies, by the pip of the tests."""
        command = [sys.executable, "-m", "pip", f"--python={self.python}", "install", "--no-deps", "--quiet"]
        subprocess.run([*command, *map(str, arguments)], check=True, env=self._environment(), cwd=self.folder)

    def provide(self, requirement: str) -> None:
        """Link the dependencies of an installed wheel; ``mlplatform-constructs[kubernetes-1-35]`` includes an extra."""
        wheel = Requirement(requirement)
        (installed,) = (each for each in distributions(path=[str(self.packages)]) if each.name == wheel.name)
        wanted = _closure(installed.requires, frozenset(wheel.extras), set())
        owners: dict[str, set[str]] = defaultdict(set)
        for name, distribution in INSTALLED.items():
            for file in distribution.files or ():
                for depth in range(1, len(file.parts) + 1):
                    owners["/".join(file.parts[:depth])].add(name)
        for name in wanted:
            for file in INSTALLED[name].files or ():
                self._link(INSTALLED[name], file.parts, owners, wanted)

    def run(self, *arguments: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run this environment's Python, elsewhere than in our folders and deaf to our variables."""
        return subprocess.run(
            [str(self.python), "-I", *map(str, arguments)],
            check=check,
            env=self._environment(),
            cwd=self.folder,
            capture_output=True,
            text=True,
        )

    def _environment(self) -> dict[str, str]:
        node = {name: os.environ[name] for name in ("JSII_NODE", "CDK_VALIDATION")}
        return {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], **node}

    def _link(
        self, distribution: Distribution, parts: tuple[str, ...], owners: dict[str, set[str]], wanted: set[str]
    ) -> None:
        """Link the topmost folder of a file that only wanted packages share, or the file itself."""
        if parts[0] == "..":
            return  # a program of the package
        for depth in range(1, len(parts) + 1):
            path = "/".join(parts[:depth])
            if owners[path] <= wanted or depth == len(parts):
                target, link = Path(str(distribution.locate_file(path))), self.packages / path
                if target.exists() and not link.exists():
                    link.parent.mkdir(parents=True, exist_ok=True)
                    link.symlink_to(target)
                return


def _closure(requires: Iterable[str] | None, extras: frozenset[str], seen: set[tuple[str, frozenset[str]]]) -> set[str]:
    """Names of the packages that a package with these requirements and extras brings along, itself left out."""
    found: set[str] = set()
    for needed in map(Requirement, requires or ()):
        if needed.marker and not any(needed.marker.evaluate({"extra": extra}) for extra in extras | {""}):
            continue
        key = (_normal(needed.name), frozenset(needed.extras))
        if key not in seen:
            seen.add(key)
            found |= {key[0]} | _closure(INSTALLED[key[0]].requires, key[1], seen)
    return found


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()

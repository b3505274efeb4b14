"""Builds commands of published Go modules at locked versions, as static executables."""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from kubernetes_rehearsal.interface import KubernetesError
from kubernetes_rehearsal.programs.table import HERE, GoProgram

_ENVIRONMENT = {"CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly -buildvcs=false", "GOWORK": "off"}


def build_go(program: GoProgram, stamps: Mapping[str, str], target: Path, modules: Path = HERE / "modules") -> None:
    """Build a command into ``target``, an executable file.

    Modules and compiled packages stay in Go's own caches, so a program that shares a lock with another costs little.

    :param stamps: linker values: the full name of a variable, and its value.
    :raises KubernetesError: if Go is missing, or the build fails; with Go's first complaint.
    """
    lock = modules / program.lock
    flags = " ".join(["-s", "-w", *(f"-X {variable}={value}" for variable, value in stamps.items())])
    with tempfile.TemporaryDirectory() as scratch:
        arguments = ["build", "-trimpath", f"-ldflags={flags}", "-o", str(target)]
        if program.overlay:
            arguments.append(f"-modfile={_overlaid(program, lock, Path(scratch))}")
        go([*arguments, program.package], lock)


def go(arguments: list[str], folder: Path) -> str:
    """What a Go command prints.

    :raises KubernetesError: if Go is missing or the command fails.
    """
    if not shutil.which("go"):
        raise KubernetesError("there is no Go here; install the version that go.mod names, or a newer one")
    environment = {**os.environ, **_ENVIRONMENT}
    run = subprocess.run(["go", *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if run.returncode:
        raise KubernetesError(f"go {arguments[0]}: {_complaint(run.stderr)}")
    return run.stdout


def module_file(lock: Path, module: str, path: str) -> Path:
    """A file of a locked module's own archive, such as a template that its image holds.

    :param module: its path without the version.
    """
    return Path(json.loads(go(["list", "-m", "-json", module], lock))["Dir"]) / path


def _overlaid(program: GoProgram, lock: Path, scratch: Path) -> Path:
    """A module file like the lock's, with a copy of the program's module that has our files in it.

    Go's own overlay refuses to replace files in the module cache.
    """
    module = program.module.partition("@")[0]
    go(["mod", "download", module], lock)
    copy = scratch / "module"
    shutil.copytree(module_file(lock, module, "."), copy, copy_function=shutil.copyfile)
    for folder in [copy, *copy.rglob("*/")]:
        folder.chmod(0o755)  # the module cache is read-only
    for path, ours in program.overlay.items():
        (copy / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(lock / ours, copy / path)
    for name in ("go.mod", "go.sum"):
        shutil.copyfile(lock / name, scratch / name)
    go(["mod", "edit", f"-replace={module}={copy}", str(scratch / "go.mod")], scratch)
    return scratch / "go.mod"


def _complaint(stderr: str) -> str:
    """The first line of Go's error output that is neither progress nor a package's heading."""
    lines = [line.strip() for line in stderr.splitlines() if not line.startswith(("go: downloading", "#"))]
    return next((line for line in lines if line), "failed without a message")[:300]

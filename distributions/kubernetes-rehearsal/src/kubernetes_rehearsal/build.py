"""Builds kube-apiserver, kube-controller-manager and etcd from their published Go modules, once, into a cache.

``python -m kubernetes_rehearsal.build 1.35`` builds; ``python -m kubernetes_rehearsal.build lock 1.35.4`` locks.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from kubernetes_rehearsal.binaries import CACHE, RELEASES, SERVERS, Release, locked_release
from kubernetes_rehearsal.interface import KubernetesError

_PACKAGES = {
    "etcd": "go.etcd.io/etcd/server/v3",
    "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
    "kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
}
_VERSIONED = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")


def build(minor: str, cache: Path = CACHE) -> Path:
    """Build the servers of a Kubernetes minor, unless the cache has them.

    :return: the folder with the binaries.
    :raises KubernetesError: if the minor has no lock, Go is missing or too old, or the build fails.
    """
    release = locked_release(minor)
    target = cache / release.version
    if all((target / server).exists() for server in SERVERS):
        print(f"kube-apiserver {release.version}: already in {target}")
        return target
    _check_go(release)
    print(
        f"kube-apiserver {release.version}: building from Go modules into {target}; minutes the first time", flush=True
    )
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as scratch:
        for server in SERVERS:
            started = time.monotonic()
            _go(
                ["build", "-trimpath", f"-ldflags={_flags(release)}", "-o", f"{scratch}/{server}", _PACKAGES[server]],
                release.lock,
            )
            print(f"  {server}: {time.monotonic() - started:.0f} s", flush=True)
        target.mkdir(exist_ok=True)
        for server in SERVERS:
            os.replace(f"{scratch}/{server}", target / server)
    return target


def lock(version: str, releases: Path = RELEASES) -> Path:
    """Write the lock of a Kubernetes patch release, such as ``1.35.4``, from what the release itself requires.

    :return: the folder of the lock.
    """
    major, minor, patch = version.split(".")
    folder = releases / f"{major}.{minor}"
    folder.mkdir(exist_ok=True)
    source = json.loads(_go(["mod", "download", "-json", f"k8s.io/kubernetes@v{version}"], folder))["GoMod"]
    text = Path(source).read_text(encoding="utf-8")
    parts = re.findall(r"^\s+(k8s\.io/\S+) => \./staging", text, re.MULTILINE)
    lines = [
        "module mlplatform/kube-apiserver",
        re.findall(r"^go \S+$", text, re.MULTILINE)[0],
        "tool (",
        *sorted(_PACKAGES.values()),
        ")",
        f"require k8s.io/kubernetes v{version}",
        "replace (",
        *(f"{part} => {part} v0.{minor}.{patch}" for part in parts),
        ")",
    ]
    (folder / "go.sum").unlink(missing_ok=True)
    (folder / "go.mod").write_text("\n".join(lines) + "\n", encoding="utf-8")
    _go(["mod", "tidy"], folder, "-mod=mod")
    return folder


def _flags(release: Release) -> str:
    """Linker flags: no debugging tables, and the version that the servers report."""
    major, minor, _ = release.version.split(".")
    facts = {"gitVersion": f"v{release.version}", "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean"}
    stamps = [f"-X {package}.{name}={value}" for package in _VERSIONED for name, value in facts.items()]
    return " ".join(["-s", "-w", *stamps])


def _check_go(release: Release) -> None:
    have = _go(["env", "GOVERSION"], release.lock).strip()
    if _numbers(have) < _numbers(release.go):
        raise KubernetesError(f"go: {have} is too old for Kubernetes {release.version}; install {release.go} or newer")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3])


def _go(arguments: list[str], folder: Path, flags: str = "-mod=readonly") -> str:
    environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": f"{flags} -buildvcs=false", "GOWORK": "off"}
    run = subprocess.run(["go", *arguments], cwd=folder, env=environment, capture_output=True, text=True)
    if run.returncode:
        raise KubernetesError(f"go {arguments[0]}: status {run.returncode}: {run.stderr.strip()[-500:]}")
    return run.stdout


def main(arguments: list[str]) -> str | None:
    """:return: the failure, in one line."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.minor == "lock" and not re.fullmatch(r"\d+\.\d+\.\d+", options.release or ""):
        parser.error(f"lock needs a patch release such as 1.35.4, got {options.release}")
    if not shutil.which("go"):
        print("kube-apiserver: not built, there is no Go here; the rehearsal uses its embedded Kubernetes stand-in")
        return None
    try:
        if options.minor == "lock":
            print(lock(options.release))
        else:
            build(options.minor)
    except KubernetesError as error:
        return str(error)
    return None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m kubernetes_rehearsal.build", description=__doc__)
    parser.add_argument("minor", help="Kubernetes minor to build, such as 1.35; or lock, to write a lock")
    parser.add_argument("release", nargs="?", help="with lock: the patch release, such as 1.35.4")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

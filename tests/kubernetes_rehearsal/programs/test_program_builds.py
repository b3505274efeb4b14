"""Builds happen once, a failure does not stop the others, and missing programs are reported."""

import shutil
import subprocess
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from kubernetes_rehearsal.interface import KubernetesError
from kubernetes_rehearsal.programs.build import Result, build, make_item
from kubernetes_rehearsal.programs.golang import build_go
from kubernetes_rehearsal.programs.packages import fetch_debian, lock_debian, read_debian_lock
from kubernetes_rehearsal.programs.store import Store
from kubernetes_rehearsal.programs.table import GoProgram, PackageSet, Table, select

TABLE = Table.model_validate(
    {
        "go": {name: {"lock": "joint", "package": f"example.test/{name}"} for name in ("a", "b")},
        "debian": {},
        "pypi": {},
        "images": {f"registry.test/{name}:1": {"files": {f"/{name}": f"go/{name}"}} for name in ("a", "b")},
        "unavailable": {},
    }
)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    lock = tmp_path / "source" / "modules" / "joint"
    lock.mkdir(parents=True)
    (lock / "go.mod").write_text("module x\n")
    return Store(TABLE, tmp_path / "cache", tmp_path / "source")


def make(store: Store, item: str, target: Path) -> None:
    target.write_text(item)


def run(store: Store, make: Callable[[Store, str, Path], None] = make) -> dict[str, Result]:
    return {result.item: result for result in build(store, select(TABLE), make=make)}


def test_what_is_built_is_not_built_again(store: Store) -> None:
    assert not any(result.cached for result in run(store).values())
    assert all(result.cached for result in run(store).values())


def test_a_changed_lock_builds_again(store: Store) -> None:
    run(store)
    (store.source / "modules" / "joint" / "go.mod").write_text("module y\n")
    assert store.facts("go/a") is None
    assert not any(result.cached for result in run(store).values())


def test_a_lost_file_builds_again(store: Store) -> None:
    run(store)
    store.path("go/a").unlink()
    assert not run(store)["go/a"].cached


def test_a_failure_is_reported_for_the_program_and_its_images_and_stops_nothing_else(store: Store) -> None:
    def fail_on_a(store: Store, item: str, target: Path) -> None:
        if item == "go/a":
            raise KubernetesError("go build: no such package\nmore")
        make(store, item, target)

    results = run(store, fail_on_a)
    assert results["go/a"].reason == "go build: no such package"
    assert results["registry.test/a:1"].reason == "go/a is missing: go build: no such package"
    assert results["registry.test/b:1"].facts
    assert not list(store.cache.glob("making-*"))


def test_nothing_new_starts_when_the_time_is_over(store: Store) -> None:
    clock = iter(range(0, 100_000, 60))
    results = {
        result.item: result
        for result in build(store, select(TABLE), minutes=3, make=make, clock=lambda: float(next(clock)))
    }
    assert results["go/a"].facts
    assert results["go/b"].reason == "the 3 minutes of this run were over; run it again"
    assert results["registry.test/a:1"].facts


def test_an_image_holds_what_its_row_says(store: Store) -> None:
    store.keep("go/a", _program(store.cache), 1.0)
    make_item(store, "registry.test/a:1", store.cache / "image.tar")
    with tarfile.open(store.cache / "image.tar") as archive:
        assert "layer.tar" in archive.getnames()


def test_a_go_build_that_fails_says_the_first_complaint(tmp_path: Path) -> None:
    (tmp_path / "joint").mkdir()
    (tmp_path / "joint" / "go.mod").write_text("module x\n\ngo 1.24\n")
    (tmp_path / "joint" / "main.go").write_text("package main\n\nfunc main() { undefined() }\n")
    with pytest.raises(KubernetesError, match=r"there is no Go here|main.go:3:15: undefined: undefined"):
        build_go(GoProgram(lock="joint", package="."), {}, tmp_path / "out", tmp_path)


@pytest.mark.skipif(not shutil.which("go"), reason="needs Go")
def test_our_files_replace_those_of_a_module_in_the_read_only_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published = tmp_path / "proxy" / "example.org" / "greeter" / "@v"
    published.mkdir(parents=True)
    (published / "v1.0.0.info").write_text('{"Version": "v1.0.0"}')
    (published / "v1.0.0.mod").write_text("module example.org/greeter\n\ngo 1.21\n")
    with zipfile.ZipFile(published / "v1.0.0.zip", "w") as archive:
        archive.writestr("example.org/greeter@v1.0.0/go.mod", "module example.org/greeter\n\ngo 1.21\n")
        archive.writestr("example.org/greeter@v1.0.0/main.go", "package main\n\nfunc main() { println(word) }\n")
        archive.writestr("example.org/greeter@v1.0.0/word.go", 'package main\n\nconst word = "theirs"\n')
    for name, value in {
        "GOPROXY": f"file://{tmp_path / 'proxy'}",
        "GONOSUMDB": "example.org",
        "GOMODCACHE": str(tmp_path / "modules"),
    }.items():
        monkeypatch.setenv(name, value)
    lock = tmp_path / "locks" / "greeter"
    lock.mkdir(parents=True)
    (lock / "go.mod").write_text("module lock\n\ngo 1.21\n\nrequire example.org/greeter v1.0.0\n")
    (lock / "ours.txt").write_text('package main\n\nconst word = "ours"\n')
    subprocess.run(["go", "mod", "download", "example.org/greeter"], cwd=lock, check=True)
    program = GoProgram(
        lock="greeter",
        module="example.org/greeter@v1.0.0",
        package="example.org/greeter",
        overlay={"word.go": "ours.txt"},
    )
    try:
        build_go(program, {}, tmp_path / "greeter", tmp_path / "locks")
    finally:
        subprocess.run(["go", "clean", "-modcache"], cwd=lock, check=True)
    assert subprocess.run([tmp_path / "greeter"], capture_output=True, text=True, check=True).stderr == "ours\n"


@pytest.mark.parametrize("line", ["runc 1.1.5", f"runc 1.1.5 {'0' * 63}g", "runc"])
def test_a_lock_line_without_version_and_checksum_is_refused(tmp_path: Path, line: str) -> None:
    (tmp_path / "node.txt").write_text(f"# packages\n{line}\n")
    with pytest.raises(KubernetesError, match=r"node.txt: line 2: 'runc.*' is not 'name version sha256'"):
        read_debian_lock(tmp_path / "node.txt")


def test_a_lock_omits_what_its_set_is_without(monkeypatch: pytest.MonkeyPatch) -> None:
    def client(command: list[str], folder: Path | None = None) -> str:
        if command[0] == "dpkg-deb":
            return f"{Path(command[-1]).stem}\t1.0\n"
        assert folder
        for name in ("gcc-12", "gcc-12-base", "libtorch-dev", "runc"):
            (folder / f"{name}.deb").write_text("")
        return ""

    monkeypatch.setattr("kubernetes_rehearsal.programs.packages._run", client)
    lock = lock_debian(PackageSet(packages=("runc",), without=("*-dev", "gcc-12")))
    assert [line.split()[0] for line in lock.splitlines()] == ["gcc-12-base", "runc"]


def test_a_package_with_another_checksum_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = tmp_path / "node.txt"
    lock.write_text(f"runc 1:1.1.5 {'0' * 64}\n")
    monkeypatch.setattr("kubernetes_rehearsal.programs.packages.shutil.which", lambda name: f"/usr/bin/{name}")

    def download(command: list[str], folder: Path | None = None) -> str:
        assert command[-1] == "runc=1:1.1.5"
        assert folder
        (folder / "runc_1%3a1.1.5_amd64.deb").write_text("something else")
        return ""

    monkeypatch.setattr("kubernetes_rehearsal.programs.packages._run", download)
    with pytest.raises(KubernetesError, match="runc 1:1.1.5: its checksum differs from node.txt's"):
        fetch_debian(PackageSet(packages=("runc",)), lock, tmp_path / "root", tmp_path / "archives")


def _program(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "program").write_text("program")
    return folder / "program"

"""Writes container images as docker-archives that containerd imports, without a registry and without a daemon."""

import hashlib
import io
import json
import os
import stat
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from kubernetes_rehearsal.interface import KubernetesError
from kubernetes_rehearsal.programs.table import ImageRecipe

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PASSWD = "root:x:0:0:root:/root:/sbin/nologin\nnobody:x:65534:65534:nobody:/:/sbin/nologin\n"
_GROUP = "root:x:0:\nnobody:x:65534:\n"


def write_image(archive: Path, name: str, recipe: ImageRecipe, sources: Mapping[str, Path]) -> None:
    """Write an image of one layer. The same inputs give the same bytes.

    :param archive: the file to write.
    :param name: the full name that containers refer to: ``registry/repository:tag``.
    :param sources: path in the image, and its source, a file or folder of this machine.
    """
    scratch = archive.with_suffix(".layer")
    try:
        with tarfile.open(scratch, "w", format=tarfile.PAX_FORMAT) as layer:
            _fill(layer, sources, recipe.user)
        with scratch.open("rb") as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
        configuration = json.dumps(_configuration(recipe, digest), sort_keys=True).encode()
        config = f"{hashlib.sha256(configuration).hexdigest()}.json"
        manifest = json.dumps([{"Config": config, "RepoTags": [name], "Layers": ["layer.tar"]}]).encode()
        with tarfile.open(archive, "w") as outer:
            _add_bytes(outer, config, configuration)
            _add_bytes(outer, "manifest.json", manifest)
            _add_file(outer, scratch, "layer.tar", 0o644)
    finally:
        scratch.unlink(missing_ok=True)


def _configuration(recipe: ImageRecipe, digest: str) -> dict[str, object]:
    environment = {"PATH": _PATH, **recipe.environment}
    return {
        "architecture": "amd64",
        "os": "linux",
        "config": {
            "Entrypoint": list(recipe.entrypoint) or None,
            "Cmd": list(recipe.command) or None,
            "Env": [f"{key}={value}" for key, value in environment.items()],
            "User": recipe.user,
            "WorkingDir": recipe.folder,
        },
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
    }


def _fill(layer: tarfile.TarFile, sources: Mapping[str, Path], user: str) -> None:
    """Add the sources, the folders above them, and what every program expects of a root file system.

    The user of the image gets a name, without which Java and other programs fail.
    """
    added: set[str] = set()
    for path, source in sources.items():
        if not source.exists():
            raise KubernetesError(f"{path}: {source} does not exist; correct the image's files in the table")
        base = PurePosixPath(path.lstrip("/"))
        for name, file in _tree(base, source):
            _add_parents(layer, name, added)
            if str(name) not in added:
                added.add(str(name))
                _add_file(layer, file, str(name), stat.S_IMODE(file.lstat().st_mode))
    number, _, group = user.partition(":")
    own = "" if number in ("", "0", "65534") else f"app:x:{number}:{group or number}::/tmp:/sbin/nologin\n"
    for account_file, text in (("etc/passwd", _PASSWD + own), ("etc/group", _GROUP)):
        if account_file not in added:
            _add_parents(layer, PurePosixPath(account_file), added)
            _add_bytes(layer, account_file, text.encode())
    if "tmp" not in added:
        _add_folder(layer, "tmp", 0o1777)


def _tree(base: PurePosixPath, source: Path) -> Iterator[tuple[PurePosixPath, Path]]:
    """Every file, folder and link of a source, each with its name in the image; links are not followed."""
    if source.is_file():
        yield base, source
        return
    for folder, folders, files in os.walk(source):
        folders.sort()
        inside = base / Path(folder).relative_to(source)
        for name in sorted([*folders, *files]):
            yield inside / name, Path(folder, name)


def _add_parents(layer: tarfile.TarFile, name: PurePosixPath, added: set[str]) -> None:
    for parent in reversed(name.parents[:-1]):
        if str(parent) not in added:
            added.add(str(parent))
            _add_folder(layer, str(parent), 0o1777 if str(parent) == "tmp" else 0o755)


def _add_folder(layer: tarfile.TarFile, name: str, mode: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode = tarfile.DIRTYPE, mode
    layer.addfile(entry)


def _add_file(layer: tarfile.TarFile, source: Path, name: str, mode: int) -> None:
    entry = layer.gettarinfo(str(source), name)
    entry.mode, entry.mtime, entry.uid, entry.gid, entry.uname, entry.gname = mode, 0, 0, 0, "", ""
    if entry.islnk():
        entry.type, entry.linkname, entry.size = tarfile.REGTYPE, "", source.stat().st_size
    if not entry.isreg():
        layer.addfile(entry)
        return
    with source.open("rb") as opened:
        layer.addfile(entry, opened)


def _add_bytes(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), 0o644
    archive.addfile(entry, io.BytesIO(content))

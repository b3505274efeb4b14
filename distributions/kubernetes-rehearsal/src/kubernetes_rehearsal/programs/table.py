"""The table of programs: how each image of a catalog, and each program of a node, is built on this machine.

``table.toml`` holds the data. This module reads it into values and refuses what could not be built.
"""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from kubernetes_rehearsal.interface import KubernetesError

HERE = Path(__file__).parent
TABLE = HERE / "table.toml"


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class GoProgram(_Row):
    """A command of a Go module.

    :param lock: folder under ``modules/`` whose ``go.mod`` and ``go.sum`` fix every version and checksum.
    :param module: the module and version that the lock must have, such as ``k8s.io/kubernetes@v1.35.4``; empty for a
        command of the lock's own folder.
    :param package: the package of the command.
    :param stamps: name of a group of linker values, by which a program knows its own version.
    :param overlay: files that the module's archive lacks: their path in the module, and ours under the lock's folder.
    :param on_demand: built only when it is named, or by ``--all``.
    """

    lock: str
    module: str = ""
    package: str
    stamps: str = ""
    overlay: Mapping[str, str] = Field(default_factory=dict)
    on_demand: bool = False


class PackageSet(_Row):
    """Packages of Debian or PyPI, extracted into one folder; ``locks/KIND/NAME.txt`` has their versions and checksums.

    :param packages: what is wanted, as its client names it.
    :param closure: whether the lock holds everything that the packages depend on, too; without it they need the host's.
    :param without: patterns of names that the lock of a Debian closure omits, such as compilers that nothing starts.
    :param links: symbolic links that installation scripts would have made.
    :param on_demand: fetched only when it is named, or by ``--all``.
    """

    packages: tuple[str, ...]
    closure: bool = False
    without: tuple[str, ...] = ()
    links: Mapping[str, str] = Field(default_factory=dict)
    on_demand: bool = False


class ImageRecipe(_Row):
    """A container image of one layer.

    :param files: path in the image, and what stands there: ``go/PROGRAM``, ``debian/SET/PATH`` or ``pypi/SET/PATH``,
        a file or a folder, or ``module/LOCK/MODULE//PATH``, a file of a Go module's own archive.
    :param user: user and group of the original, by number: Kubernetes checks ``runAsNonRoot`` by it.
    :param note: in what the built image differs from the original.
    """

    files: Mapping[str, str]
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    user: str = ""
    environment: Mapping[str, str] = Field(default_factory=dict)
    folder: str = "/"
    note: str = ""


class ChartRecipe(_Row):
    """A Helm chart in a Go module, of which all programs can be built.

    :param lock: folder under ``modules/`` with the module's version.
    :param module: its path without the version.
    :param path: of the chart in the module.
    :param images: that its pods run with ``values``, by full name.
    :param values: values that differ from those on AWS, such as the image of an EKS add-on.
    :param namespace: of the EKS add-on with the chart's name; empty for a chart that is not an add-on.
    """

    lock: str
    module: str
    path: str
    images: tuple[str, ...] = ()
    values: Mapping[str, Any] = Field(default_factory=dict)
    namespace: str = ""


class Table(_Row):
    """All rows, in the order in which they are worth building.

    - ``unavailable``: images that cannot be built, with the reason.
    - ``unavailable_add_ons``: EKS add-ons whose programs do not run on real nodes, with the reason.
    """

    stamps: Mapping[str, Mapping[str, str]] = Field(default_factory=dict)
    go: Mapping[str, GoProgram]
    debian: Mapping[str, PackageSet]
    pypi: Mapping[str, PackageSet]
    images: Mapping[str, ImageRecipe]
    charts: Mapping[str, ChartRecipe] = Field(default_factory=dict)
    unavailable: Mapping[str, str]
    unavailable_add_ons: Mapping[str, str] = Field(default_factory=dict)

    def why_unavailable(self, image: str) -> str:
        """Why an image is unavailable, in one line; empty for an image that can be built."""
        if image_name(image) in self.images:
            return ""
        repository, _, tag = image_name(image).rpartition(":")
        reason = self.unavailable.get(image_name(image)) or self.unavailable.get(repository)
        if reason:
            return reason
        built = [name.rpartition(":")[2] for name in self.images if name.rpartition(":")[0] == repository]
        if built:
            return f"the table of programs builds {repository} at {', '.join(built)}, not at {tag}"
        return "the table of programs does not list it"

    def parts(self, image: str) -> list[str]:
        """The programs and package sets of an image, such as ``go/training-operator`` and ``debian/java``."""
        sources = [source.split("/") for source in self.images[image].files.values()]
        return list(dict.fromkeys("/".join(source[:2]) for source in sources if source[0] != "module"))


def image_name(image: str) -> str:
    """An image's full name without its digest: ``registry/repository:tag``."""
    name = image.partition("@")[0]
    first, slash, _ = name.partition("/")
    if not slash:
        return f"docker.io/library/{name}"
    return name if "." in first or ":" in first or first == "localhost" else f"docker.io/{name}"


def read_table(path: Path = TABLE, *, locks: bool = True) -> Table:
    """The table of a file.

    :param locks: whether to compare it with its locks. Default: yes; no where a lock is about to be written.
    :raises KubernetesError: for an unknown key, a row that names another which does not exist, or a version that
        differs from the lock's.
    """
    try:
        table = Table.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        first = error.errors()[0]
        raise KubernetesError(f"{path.name}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    mistakes = [*_unknown_parts(table), *(_unlocked(table, path.parent) if locks else ())]
    if mistakes:
        raise KubernetesError("\n".join(f"{path.name}: {mistake}" for mistake in mistakes))
    return table


def _unknown_parts(table: Table) -> Iterable[str]:
    rows: Mapping[str, Mapping[str, object]] = {"go": table.go, "debian": table.debian, "pypi": table.pypi}
    for image in table.images:
        if image != image_name(image):
            yield f"images: {image!r} is not a full name; write {image_name(image)!r}"
        for part in table.parts(image):
            kind, _, name = part.partition("/")
            if name not in rows.get(kind, {}):
                yield f"images: {image}: there is no [{kind}.{name}]; add the row or correct the source"
    for name, chart in table.charts.items():
        for image in chart.images:
            if image not in table.images:
                yield f"charts.{name}: there is no [images.{image!r}]; add the row or correct the name"
    for name, program in table.go.items():
        if program.stamps and program.stamps not in table.stamps:
            yield f"go.{name}: there is no [stamps.{program.stamps}]; add the row"


def _unlocked(table: Table, folder: Path) -> Iterable[str]:
    for name, program in table.go.items():
        module = folder / "modules" / program.lock / "go.mod"
        if not module.exists():
            yield f"go.{name}: modules/{program.lock} has no go.mod; write the lock"
        elif program.module and program.module not in _versions(module.read_text(encoding="utf-8")):
            yield f"go.{name}: modules/{program.lock}/go.mod does not lock {program.module}; change one of them"
    for name, chart in table.charts.items():
        module = folder / "modules" / chart.lock / "go.mod"
        locked = _versions(module.read_text(encoding="utf-8")) if module.exists() else set()
        if chart.module not in {one.partition("@")[0] for one in locked}:
            yield f"charts.{name}: modules/{chart.lock}/go.mod does not lock {chart.module}; change one of them"
    for kind, sets in (("debian", table.debian), ("pypi", table.pypi)):
        for name in sets:
            if not (folder / "locks" / kind / f"{name}.txt").exists():
                yield f"{kind}.{name}: locks/{kind}/{name}.txt does not exist; write it with --lock {kind}/{name}"


def _versions(module: str) -> set[str]:
    """Every ``path@version`` that a ``go.mod`` selects, by a requirement or a replacement."""
    lines = [
        line.partition("//")[0].replace("require", "").replace("replace", "").split() for line in module.splitlines()
    ]
    chosen = {parts[0]: parts[1] for parts in lines if len(parts) == 2}
    chosen |= {parts[0]: parts[-1] for parts in lines if "=>" in parts and len(parts) >= 4}
    return {f"{path}@{version}" for path, version in chosen.items()}


@dataclass(frozen=True)
class Selection:
    """What one run builds.

    :param parts: ``KIND/NAME`` in order.
    :param images: in order.
    """

    parts: list[str] = field(default_factory=list)
    images: list[str] = field(default_factory=list)


def select(table: Table, names: Iterable[str] = (), *, everything: bool = False) -> Selection:
    """The parts and images of the names; without names, all except the optional ones.

    :param names: programs, package sets, full image names, or image repositories.
    :raises KubernetesError: for a name that is not in the table.
    """
    rows: Mapping[str, Mapping[str, object]] = {"debian": table.debian, "go": table.go, "pypi": table.pypi}
    every = [f"{kind}/{name}" for kind in rows for name in rows[kind]]
    wanted = set(names)
    if not wanted:
        parts = [part for part in every if everything or not _on_demand(table, part)]
        return Selection(parts, [image for image in table.images if set(table.parts(image)) <= set(parts)])
    images = [name for name in table.images if wanted & {name, name.rpartition(":")[0], name.split("/")[-1]}]
    parts = [part for part in every if wanted & {part, part.partition("/")[2]}]
    known = {*parts, *(part.partition("/")[2] for part in parts), *images}
    known |= {part for name in images for part in (name.rpartition(":")[0], name.split("/")[-1])}
    unknown = sorted(wanted - known)
    if unknown:
        raise KubernetesError(f"{', '.join(unknown)}: not in the table of programs; --list prints its names")
    images += [name for name in table.images if name not in images and set(table.parts(name)) & set(parts)]
    needed = {part for image in images for part in table.parts(image)} | set(parts)
    return Selection([part for part in every if part in needed], [name for name in table.images if name in images])


def _on_demand(table: Table, part: str) -> bool:
    kind, _, name = part.partition("/")
    if kind == "go":
        return table.go[name].on_demand
    return (table.debian if kind == "debian" else table.pypi)[name].on_demand

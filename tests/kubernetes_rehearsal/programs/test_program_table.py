"""The table of programs is complete for the catalog, agrees with its locks, and explains what is missing."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from charts.catalog import Catalog
from kubernetes_rehearsal.interface import KubernetesError
from kubernetes_rehearsal.programs import NODE_PROGRAMS, why_missing, why_stored_only
from kubernetes_rehearsal.programs.table import image_name, read_table, select

PAGE = Path(__file__).parents[3] / "docs" / "rehearsal-kubernetes.md"
MODULE = "module x\n\nrequire (\n\texample.test/a v1.2.3\n)\n\nreplace example.test/b => example.test/c v2.0.0\n"
ROWS = """
[go.a]
lock = "joint"
module = "example.test/a@v1.2.3"
package = "example.test/a/cmd"

[go.b]
lock = "joint"
module = "example.test/b@v2.0.0"
package = "example.test/b"
on_demand = true

[debian.node]
packages = ["runc"]

[pypi]

[images."registry.test/team/a:1"]
files = {"/a" = "go/a", "/usr" = "debian/node/usr"}

[images."registry.test/team/b:1"]
files = {"/b" = "go/b"}

[unavailable]
"registry.test/team/closed" = "its source is not published"
"""


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    """A table with the given rows, and locks with module a 1.2.3 and package runc."""

    def write_rows(rows: str) -> Path:
        for name, text in {"modules/joint/go.mod": MODULE, "locks/debian/node.txt": f"runc 1 {'0' * 64}\n"}.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        (tmp_path / "table.toml").write_text(rows)
        return tmp_path / "table.toml"

    return write_rows


def test_the_table_agrees_with_its_locks_and_has_every_program_of_a_node() -> None:
    table = read_table()
    assert set(NODE_PROGRAMS) <= set(table.go)
    assert not [name for name in NODE_PROGRAMS if table.go[name].on_demand]


def test_every_image_of_the_catalog_is_built_or_has_a_reason() -> None:
    names = [f"{image.image}:{image.tag}" for image in Catalog.load().images]
    assert names
    assert not [name for name in names if "the table of programs" in read_table().why_unavailable(name)]


def test_every_add_on_and_chart_with_programs_says_how_they_run_or_why_not() -> None:
    table, catalog = read_table(), Catalog.load()
    explained = {*table.charts, *table.unavailable_add_ons}
    assert [name for name in catalog.add_ons if name not in explained] == []
    unexplained = [
        chart.name
        for chart in catalog.helm_charts
        if chart.name not in table.charts
        and not any(
            table.why_unavailable(f"{image.image}:{image.tag}")
            for image in catalog.images
            if image.name in chart.images
        )
    ]
    assert unexplained == []


@pytest.mark.parametrize(
    ("row", "mistake"),
    [
        ('lock = "joint"\nmodule = "example.test/z"\npath = "charts"', "does not lock example.test/z"),
        (
            'lock = "joint"\nmodule = "example.test/a"\npath = "charts"\nimages = ["registry.test/z:1"]',
            r"there is no \[images.'registry.test/z:1'\]",
        ),
    ],
    ids=["module", "image"],
)
def test_a_chart_of_an_unlocked_module_or_an_unknown_image_is_refused(
    write: Callable[[str], Path], row: str, mistake: str
) -> None:
    with pytest.raises(KubernetesError, match=mistake):
        read_table(write(f"{ROWS}\n[charts.z]\n{row}\n"))


def test_what_a_stored_workload_lacks_is_explained(tmp_path: Path) -> None:
    scaler = "registry.k8s.io/autoscaling/cluster-autoscaler:v1"
    lacks = f"{scaler},secrets-store.csi.k8s.io,EKS add-on cert-manager,registry.k8s.io/pause:3.10"
    assert why_stored_only(lacks, tmp_path).split("; ", 3) == [
        f"{scaler}: no version of its Go module is served",
        "secrets-store.csi.k8s.io: no driver of this name runs",
        "EKS add-on cert-manager: no version of the Go module of its commands is served",
        "the sandbox issues its certificates; registry.k8s.io/pause:3.10: not built; "
        "run `python -m kubernetes_rehearsal.programs registry.k8s.io/pause:3.10`",
    ]


def test_a_digest_does_not_change_the_name_and_short_names_become_full() -> None:
    assert image_name("registry.k8s.io/pause:3.10@sha256:12") == "registry.k8s.io/pause:3.10"
    assert image_name("mpioperator/mpi-operator:0.8.0") == "docker.io/mpioperator/mpi-operator:0.8.0"
    assert image_name("mysql:8.0") == "docker.io/library/mysql:8.0"
    assert image_name("localhost:5000/a:1") == "localhost:5000/a:1"


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        ("registry.test/team/closed:7", "its source is not published"),
        ("registry.test/team/a:2@sha256:12", "the table of programs builds registry.test/team/a at 1, not at 2"),
        ("registry.test/team/other:1", "the table of programs does not list it"),
        ("registry.test/team/a:1", ""),
    ],
)
def test_a_missing_image_has_its_reason(write: Callable[[str], Path], image: str, reason: str) -> None:
    assert read_table(write(ROWS)).why_unavailable(image) == reason


def test_an_image_that_is_not_built_yet_names_the_command(tmp_path: Path) -> None:
    image = "registry.k8s.io/pause:3.10"
    assert why_missing(image, tmp_path) == f"not built; run `python -m kubernetes_rehearsal.programs {image}`"


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("a@v1.2.3", "a@v1.2.4", "go.a: modules/joint/go.mod does not lock example.test/a@v1.2.4"),
        ('lock = "joint"\nmodule = "example.test/a', 'lock = "other"\nmodule = "example.test/a', "has no go.mod"),
        ("go/b", "go/c", r"there is no \[go.c\]; add the row"),
        ("[debian.node]", "[debian.nodes]", "locks/debian/nodes.txt does not exist"),
        ('package = "example.test/b"', 'package = "example.test/b"\nstamps = "x"', r"there is no \[stamps.x\]"),
        ("on_demand", "ondemand", "go.b.ondemand"),
        ("registry.test/team/b:1", "team/b:1", "is not a full name; write 'docker.io/team/b:1'"),
    ],
)
def test_a_table_that_cannot_be_built_is_refused(
    write: Callable[[str], Path], before: str, after: str, message: str
) -> None:
    assert before in ROWS
    with pytest.raises(KubernetesError, match=message):
        read_table(write(ROWS.replace(before, after)))


def test_without_names_all_but_the_rows_on_demand_are_selected(write: Callable[[str], Path]) -> None:
    table = read_table(write(ROWS))
    assert select(table).parts == ["debian/node", "go/a"]
    assert select(table).images == ["registry.test/team/a:1"]
    assert select(table, everything=True).parts == ["debian/node", "go/a", "go/b"]


def test_an_image_brings_its_programs_and_a_program_its_images(write: Callable[[str], Path]) -> None:
    table = read_table(write(ROWS))
    assert select(table, ["registry.test/team/a"]).parts == ["debian/node", "go/a"]
    assert select(table, ["b"]).images == ["registry.test/team/b:1"]


def test_an_unknown_name_is_refused(write: Callable[[str], Path]) -> None:
    with pytest.raises(KubernetesError, match="c: not in the table of programs; --list prints its names"):
        select(read_table(write(ROWS)), ["a", "c"])


def test_the_page_states_the_version_of_every_module_and_names_sets_that_exist() -> None:
    """Versions without a tag are not compared. Prometheus numbers its module 0.312.0 for the release 3.12.0."""
    table = read_table()
    section = PAGE.read_text(encoding="utf-8").partition("\n### Programs\n")[2].partition("\n### ")[0]
    rows = [line.split("|")[2] for line in section.splitlines() if line.startswith("| ")]
    stated = {version for row in rows for version in re.findall(r"\d+(?:\.\d+)+", row)}
    modules = {program.module.rpartition("@v")[2] for program in table.go.values() if program.module}
    tagged = {version for version in modules if "-" not in version}
    assert len(tagged) > 20
    assert {re.sub(r"^0\.3(\d\d)\.", r"3.\1.", version) for version in tagged} <= stated
    sets = {f"debian/{name}" for name in table.debian} | {f"pypi/{name}" for name in table.pypi}
    assert set(re.findall(r"`((?:pypi|debian)/[a-z-]+)`", section)) <= sets

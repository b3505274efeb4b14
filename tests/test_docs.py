"""The pages are consistent: every link resolves, every page is in the index, the walks list existing files."""

import re
from pathlib import Path

import pytest

from config.notices import RENAMED
from config.version import VERSION
from delivery import diagram
from stacks.tools.packages import OWN_PACKAGES

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "constructs" / "README.md", *sorted(DOCS.glob("*.md"))]
LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)")
ANCHOR = re.compile(r"\]\(((?:[^)#\s:]+\.md)?#[^)\s]+)\)")
CODE = re.compile(r"`(\w+)`")
STEP = re.compile(r"^\| [^|]+ \| `([^`|]+)` \| `([^`|]+)` \|$", re.MULTILINE)
MOST_FILES = 8


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_to_a_file_leads_to_one(page: Path) -> None:
    targets = LINK.findall(page.read_text(encoding="utf-8"))
    assert [target for target in targets if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_to_a_heading_leads_to_one(page: Path) -> None:
    targets = [target.partition("#") for target in ANCHOR.findall(page.read_text(encoding="utf-8"))]
    missing = [
        f"{file}#{heading}"
        for file, _, heading in targets
        if heading not in headings(page.parent / file if file else page)
    ]
    assert missing == []


def headings(page: Path) -> set[str]:
    """The anchors of a page, as GitHub derives them from its headings."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    titles = [re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title) for title in re.findall(r"^#+ (.+)$", text, re.MULTILINE)]
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_the_index_names_every_page() -> None:
    index = set(LINK.findall((DOCS / "README.md").read_text(encoding="utf-8")))
    assert {path.name for path in DOCS.glob("*.md")} - {"README.md"} <= index


@pytest.mark.promise("six-layers")
def test_every_stack_and_every_folder_of_the_library_is_in_one_layer() -> None:
    _, _, section = (DOCS / "README.md").read_text(encoding="utf-8").partition("\n## Layers\n")
    rows = [line.split("|")[1:4] for line in section.splitlines() if "`" in line]
    assert len(rows) == 6
    stacks = [name for _, named, _ in rows for name in CODE.findall(named)]
    folders = [name for _, _, named in rows for name in CODE.findall(named)]
    _, _, table = (ROOT / "README.md").read_text(encoding="utf-8").partition("\n## Stacks\n")
    listed = [line.split("|")[1] for line in table.partition("\n## ")[0].splitlines() if line.startswith("| `")]
    library = ROOT / "constructs" / "src" / "mlplatform_constructs"
    assert sorted(stacks) == sorted(name for cell in listed for name in CODE.findall(cell))
    assert sorted(folders) == sorted(path.parent.name for path in library.glob("*/__init__.py"))


def test_pages_install_by_name_only_packages_that_no_outsider_can_publish() -> None:
    pages = [*PAGES, *sorted(ROOT.glob("distributions/*/README.md"))]
    texts = [page.read_text(encoding="utf-8") for page in pages]
    named = {name for text in texts for name in re.findall(r'pip install "?(mlplatform-[\w-]+)', text)}
    assert "mlplatform-constructs" in named
    assert named <= set(OWN_PACKAGES)
    releasing = (DOCS / "releasing.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `(mlplatform-[\w-]+)`", releasing, re.MULTILINE)) == set(OWN_PACKAGES)


def walks() -> dict[str, list[tuple[str, str]]]:
    """The files and search texts of each walk in the contributor's page."""
    sections = (DOCS / "contributing.md").read_text(encoding="utf-8").split("\n## ")
    return {section.split("\n")[0]: STEP.findall(section) for section in sections if section.startswith("A walk: ")}


def test_there_is_a_walk_of_a_node_group_and_of_sign_in() -> None:
    assert list(walks()) == ["A walk: a GPU node group", "A walk: sign-in"]


@pytest.mark.parametrize("steps", walks().values(), ids=walks())
def test_a_walk_takes_few_files_and_finds_in_each_what_the_page_says(steps: list[tuple[str, str]]) -> None:
    files = [file for file, _ in steps]
    assert 2 < len(files) <= MOST_FILES
    assert len(set(files)) == len(files), "turns back"
    for file, words in steps:
        assert words in (ROOT / file).read_text(encoding="utf-8"), f"{file}: no {words}"


@pytest.mark.promise("architecture-diagram")
def test_the_diagram_is_that_of_the_construct_tree(assembly: Path) -> None:
    drawn = (DOCS / "platform.svg").read_text(encoding="utf-8")
    assert drawn == diagram.render("local", assembly), "run `make docs`"


def test_the_newest_entry_of_the_changelog_is_this_version() -> None:
    headings = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert headings[0] == VERSION


def test_no_deprecated_key_outlives_its_version() -> None:
    reached = [place for place, renamed in RENAMED.items() if numbers(renamed.until) <= numbers(VERSION)]
    assert reached == [], "delete these entries, and say so in the changelog under Removed"


def numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))

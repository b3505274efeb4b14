from pathlib import Path

import pytest

from promises import record
from promises.record import RecordError


def load(folder: Path, **areas: str) -> tuple[record.Area, ...]:
    for name, text in areas.items():
        (folder / f"{name}.toml").write_text(text, encoding="utf-8")
    return record.load(folder)


def test_areas_are_sorted_by_title_and_promises_keep_their_order(tmp_path: Path) -> None:
    areas = load(
        tmp_path,
        a='title = "Storage"\n[late]\nsentence = "It is late."\n[early]\nsentence = "It is early."',
        z='title = "Nodes"\n[nodes]\nsentence = "There are nodes."\nplanned = true',
    )
    assert [area.title for area in areas] == ["Nodes", "Storage"]
    assert list(areas[1].promises) == ["late", "early"]
    assert areas[0].promises["nodes"].planned
    assert not areas[1].promises["late"].planned


def test_refuses_every_mistake_with_place_value_and_fix(tmp_path: Path) -> None:
    with pytest.raises(RecordError) as refusal:
        load(
            tmp_path,
            a='[Gpu_From_Zero]\nsentence = "no sentence"\n[typo]\nsentence = "It is."\nstatus = "kept"\n[none]',
            b='title = "B"\n[spot]\nsentence = "It is."',
            c='title = "C"\n[spot]\nsentence = "It is."\nplanned = "soon"\n[spot-too]\nsentence = "It is."',
            d='title = "D"\n[spot-too]\nsentence = "It is."',
        )
    assert str(refusal.value).splitlines() == [
        "promises/areas/a.toml: title: required; add the heading of the area as text",
        "promises/areas/a.toml: Gpu_From_Zero: not an id; use lower-case words with hyphens, such as 'gpu-from-zero'",
        "promises/areas/a.toml: Gpu_From_Zero.sentence: not a sentence; begin with a capital letter and end with a "
        "full stop; got 'no sentence'",
        "promises/areas/a.toml: typo.status: unknown key; remove it; got 'kept'",
        "promises/areas/a.toml: none.sentence: required; add it; got {}",
        "promises/areas/c.toml: spot.planned: Input should be a valid boolean, unable to interpret input; got 'soon'",
        "promises/areas/d.toml: spot-too: also in promises/areas/c.toml; merge the two, or choose another id",
    ]


def test_refuses_a_file_that_is_not_toml(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"promises/areas/a.toml: not TOML: "):
        load(tmp_path, a="[")

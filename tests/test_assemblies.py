import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.assemblies import KEPT, shared_assembly


def test_an_assembly_is_made_once_however_many_ask_for_it_at_the_same_time(tmp_path: Path) -> None:
    made = []

    def make(folder: Path) -> None:
        folder.mkdir()
        made.append(folder)

    with ThreadPoolExecutor(4) as workers:
        folders = set(workers.map(lambda _: shared_assembly("one", make, cache=tmp_path, key="a"), range(8)))
    assert len(made) == len(folders) == 1
    assert folders.pop().is_dir()


def test_an_assembly_that_failed_leaves_nothing_that_looks_like_one(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        folder.mkdir()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        shared_assembly("one", fail, cache=tmp_path, key="a")
    assert shared_assembly("one", Path.mkdir, cache=tmp_path, key="a").is_dir()


def test_assemblies_of_older_sources_are_deleted(tmp_path: Path) -> None:
    for age in range(5):
        folder = shared_assembly("one", Path.mkdir, cache=tmp_path, key=str(age))
        os.utime(folder, (age, age))
    shared_assembly("other", Path.mkdir, cache=tmp_path, key="0")
    assert len(list(tmp_path.glob("one@*"))) == KEPT
    assert (tmp_path / "one@4").is_dir()
    assert (tmp_path / "other@0").is_dir()

from contextlib import nullcontext as does_not_raise
from types import SimpleNamespace
from typing import Any

import pytest

from promises.pytest_hook import pytest_collection_modifyitems


def item(*marks: pytest.MarkDecorator) -> Any:
    return SimpleNamespace(nodeid="tests/test_a.py::test_b", iter_markers=lambda name: [mark.mark for mark in marks])


def test_accepts_tests_with_and_without_promises() -> None:
    with does_not_raise():
        pytest_collection_modifyitems([item(), item(pytest.mark.promise("gpu-from-zero", "spot"))])


@pytest.mark.parametrize(
    ("mark", "mistake"),
    [
        (
            pytest.mark.promise("gpu-from-zero", "gpu-from-none"),
            "promise 'gpu-from-none' does not exist; correct the id, or add the promise to a file in promises/areas",
        ),
        (
            pytest.mark.promise(),
            'promise without an id; write ids as arguments, such as promise("gpu-from-zero")',
        ),
        (
            pytest.mark.promise(id="gpu-from-zero"),
            'promise without an id; write ids as arguments, such as promise("gpu-from-zero")',
        ),
    ],
)
def test_refuses_a_mark_that_names_no_promise(mark: pytest.MarkDecorator, mistake: str) -> None:
    with pytest.raises(pytest.UsageError) as refusal:
        pytest_collection_modifyitems([item(mark)])
    assert str(refusal.value) == f"tests/test_a.py::test_b: {mistake}"


def test_the_hook_is_active(request: pytest.FixtureRequest) -> None:
    plugins = request.config.pluginmanager.hook.pytest_collection_modifyitems.get_hookimpls()
    assert any(plugin.function is pytest_collection_modifyitems for plugin in plugins)

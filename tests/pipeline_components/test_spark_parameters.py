from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlplatform_components import ComponentError
from mlplatform_components.spark_parameters import PLATFORMS, Platform, as_table, converted, parameters_on, plan_from
from mlplatform_components.spark_sizing import size_executors

PAGE = Path(__file__).parents[2] / "docs" / "spark.md"
platforms = st.sampled_from(PLATFORMS)


@pytest.mark.promise("comparable-parameters")
@given(size=st.integers(1, 1 << 45), source=platforms, target=platforms)
def test_a_plan_means_the_same_on_every_platform(size: int, source: Platform, target: Platform) -> None:
    plan = size_executors(input_bytes=size)
    there = converted(parameters_on(source, plan), source=source, target=target)
    assert there == parameters_on(target, plan)
    assert plan_from(target, there) == plan_from(source, parameters_on(source, plan))


def test_each_platform_has_its_own_words() -> None:
    plan = size_executors(input_bytes=1 << 30)
    assert "--num-executors" in parameters_on("on-premise", plan)
    assert "spark.executor.instances" in parameters_on("emr", plan)
    assert "spec.executor.instances" in parameters_on("eks", plan)


@pytest.mark.promise("comparable-parameters")
def test_the_page_has_the_table() -> None:
    assert as_table() in PAGE.read_text(encoding="utf-8")


def test_refuses_a_parameter_that_the_other_platform_does_not_have() -> None:
    with pytest.raises(ComponentError, match="--queue: emr has no such parameter; leave it out"):
        converted({"--queue": "night"}, source="on-premise", target="emr")


def test_refuses_an_unknown_platform() -> None:
    with pytest.raises(ComponentError, match="platform: must be one of on-premise, emr, eks, got 'gke'"):
        parameters_on("gke", size_executors(input_bytes=1))  # type: ignore[arg-type]

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlplatform_components import ComponentError
from mlplatform_components.spark_phases import PHASES, Job, PhaseModel, Run

RECORDED = Path(__file__).parents[2] / "examples" / "spark" / "recorded_runs.json"
PAGE = Path(__file__).parents[2] / "docs" / "spark.md"
jobs = st.builds(Job, input_bytes=st.integers(1, 1 << 42), trees=st.integers(100, 10_000), cores=st.integers(1, 1000))


def ideal(job: Job) -> Run:
    seconds = {"executors": 0.5, "index": 1 + 20 * job.work("index"), "load": 2 + 60 * job.work("load")}
    return Run(job=job, seconds={**seconds, "trees": 3 + 5 * job.work("trees")})


@pytest.mark.promise("phase-timing")
@given(job=jobs)
def test_a_model_of_runs_without_noise_knows_every_phase_of_another_job(job: Job) -> None:
    sizes = [(10**9, 100, 4), (5 * 10**9, 100, 8), (10**10, 1000, 8), (10**10, 10_000, 16)]
    model = PhaseModel(ideal(Job(input_bytes=size, trees=trees, cores=cores)) for size, trees, cores in sizes)
    found = model.estimate(job)
    for phase in PHASES:
        assert found.seconds[phase] == pytest.approx(ideal(job).seconds[phase], rel=1e-6)
    assert found.error == pytest.approx(0, abs=1e-6)


@pytest.mark.promise("phase-timing")
@given(job=jobs)
def test_more_trees_and_more_data_never_take_less_time(job: Job) -> None:
    model = PhaseModel.read(RECORDED)
    more_trees = Job(input_bytes=job.input_bytes, trees=2 * job.trees, cores=job.cores)
    more_data = Job(input_bytes=2 * job.input_bytes, trees=job.trees, cores=job.cores)
    more_cores = Job(input_bytes=job.input_bytes, trees=job.trees, cores=2 * job.cores)
    here = model.estimate(job).total
    assert here <= model.estimate(more_trees).total
    assert here <= model.estimate(more_data).total
    assert here >= model.estimate(more_cores).total


@pytest.mark.promise("phase-timing")
def test_the_page_states_the_error_on_recorded_runs() -> None:
    model = PhaseModel.read(RECORDED)
    assert len(model.runs) == len(json.loads(RECORDED.read_text(encoding="utf-8")))
    assert f"misses by {model.error:.0%} on average" in " ".join(PAGE.read_text(encoding="utf-8").split())


def test_data_that_does_not_fit_makes_loading_thirty_to_fifty_times_slower() -> None:
    found = PhaseModel.read(RECORDED).estimate(Job(input_bytes=10**9, trees=100, cores=4))
    least, most = found.with_spill
    assert least - found.total == pytest.approx(29 * found.seconds["load"])
    assert most - found.total == pytest.approx(49 * found.seconds["load"])


def test_refuses_too_few_runs() -> None:
    with pytest.raises(ComponentError, match="runs: three or more are needed, got 2"):
        PhaseModel([ideal(Job(input_bytes=1, trees=1, cores=1))] * 2)


def test_refuses_a_job_without_trees() -> None:
    with pytest.raises(ComponentError, match="trees: must be 1 or more, got 0"):
        Job(input_bytes=1, trees=0, cores=1)

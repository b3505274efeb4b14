"""Estimates, prices and proposals."""

import datetime
import math
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from job_adviser import (
    Calibration,
    Dataset,
    Estimate,
    Estimator,
    InvalidRequest,
    Job,
    LocalMachine,
    Mix,
    Prices,
    Range,
    RecordedRun,
    Thresholds,
    advise,
    cross_validated,
    proposals,
)
from job_adviser.dataset import Probe, tally
from job_adviser.estimate import modelled_seconds
from job_adviser.formats import Kind
from job_adviser.prices import current, renewed

GIB = 1024**3
BACKENDS = ["local", "eks", "emr", "sagemaker"]


def data(objects: int = 100, size: int = GIB, name: str = "{}.csv", **changes: Any) -> Dataset:
    found = tally((name.format(number), size) for number in range(objects)).dataset("s3://data/")
    return replace(found, **changes)


DATASETS = st.builds(
    data,
    objects=st.integers(1, 300),
    size=st.integers(1, 50 * GIB),
    name=st.sampled_from(["{}.csv", "{}.csv.gz", "{}.parquet", "{}", "day={}/x.json"]),
    error=st.floats(0, 0.5),
)
JOBS = st.builds(
    Job,
    cpu_seconds_per_gib=st.floats(0.1, 1000),
    passes=st.integers(1, 1000),
    in_memory=st.booleans(),
    target_minutes=st.floats(1, 600),
)
RATES = {each: Prices.load().hourly(each, Mix()) for each in Prices.load().instances}


@pytest.mark.promise("job-estimate")
@given(DATASETS, JOBS)
@settings(deadline=None)
def test_each_backend_gets_a_time_to_prepare_a_time_to_run_and_a_cost_with_their_uncertainty(
    dataset: Dataset, job: Job
) -> None:
    found = Estimator().all(dataset, job)
    assert [each.backend for each in found] == BACKENDS
    for each in found:
        assert each.prepare.low <= each.prepare.expected <= each.prepare.high
        assert 0 < each.run.low < each.run.expected < each.run.high
        assert math.isfinite(each.cost.high)
        assert (each.cost.expected == 0) == (each.backend == "local")
        assert each.run.high / each.run.low >= 4, "without recorded runs, half to twice at least"


@given(DATASETS, JOBS, st.integers(2, 5))
@settings(deadline=None)
def test_more_work_never_takes_less_time_on_the_same_instances(dataset: Dataset, job: Job, times: int) -> None:
    estimator, more = Estimator(), replace(job, passes=job.passes * times, target_minutes=job.target_minutes)
    for before, after in zip(estimator.all(dataset, job), estimator.all(dataset, more), strict=True):
        assert after.run.expected * after.instances >= before.run.expected * before.instances * 0.999


@given(DATASETS, JOBS)
@settings(deadline=None)
def test_cached_data_fits_into_memory_or_the_estimate_says_that_it_spills(dataset: Dataset, job: Job) -> None:
    cached = replace(job, in_memory=True)
    for each in Estimator().all(dataset, cached):
        spilled = any("do not fit" in note for note in each.notes)
        assert spilled != each.fits_in_memory
        if each.instance:
            memory = each.instances * Prices.load().instance(each.instance).memory_gib * 0.54
            assert each.fits_in_memory == (dataset.expanded_bytes * 3 / GIB <= memory)


def test_data_that_spills_takes_thirty_to_fifty_times_as_long() -> None:
    small = Estimator(local=LocalMachine(vcpus=4, memory_gib=16))
    large = Estimator(local=LocalMachine(vcpus=4, memory_gib=1024))
    job = Job(in_memory=True)
    slow, fast = (each.all(data(10), job, ["local"])[0] for each in (small, large))
    assert (slow.run.low / fast.run.low, slow.run.high / fast.run.high) == (30, 50)


def test_files_with_one_reader_leave_processors_idle_and_the_estimate_says_so() -> None:
    one = data(1, 100 * GIB, "{}.csv.gz")
    [estimate] = Estimator().all(one, Job(), ["eks"])
    assert "only 1 of 8 processors can read at the same time" in estimate.notes
    [other] = Estimator().all(data(1, 400 * GIB, "{}.csv"), Job(), ["eks"])
    assert other.run.expected < estimate.run.expected / 4


def test_an_estimated_input_widens_the_range() -> None:
    [sure], [unsure] = (Estimator().all(data(error=error), Job(), ["eks"]) for error in (0.0, 0.5))
    assert unsure.run.high == pytest.approx(sure.run.high * 1.5)
    assert unsure.run.low == pytest.approx(sure.run.low / 1.5)


def test_sagemaker_bills_its_own_price_and_emr_adds_its_own() -> None:
    prices = Prices.load()
    found = {each.backend: each for each in Estimator().all(data(500), Job())}

    def hourly(each: Estimate, prepared: bool) -> float:
        seconds = each.run.expected + (each.prepare.expected if prepared else 0)
        return each.cost.expected / each.instances / seconds * 3600

    instance = prices.instance("r5.2xlarge")
    assert hourly(found["sagemaker"], False) == pytest.approx(instance.sagemaker)
    half = Mix(on_demand=0.5, spot=0.5)
    assert hourly(found["emr"], True) == pytest.approx(prices.hourly("r5.2xlarge", half).expected + instance.emr)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ([], "job: must be an object"),
        ({"pases": 2}, "job.pases: unknown; there are: cpu_seconds_per_gib, passes"),
        ({"passes": 0}, "job.passes: must be a number above 0, at most 1e\\+06, got 0"),
        ({"passes": "2"}, "job.passes: must be a number"),
        ({"cpu_seconds_per_gib": float("nan")}, "must be a number above 0"),
        ({"in_memory": 1}, "job.in_memory: must be true or false"),
    ],
)
def test_a_job_that_makes_no_sense_is_refused(value: object, why: str) -> None:
    with pytest.raises(InvalidRequest, match=why):
        Job.parse(value)


def test_an_unknown_backend_is_refused_with_those_that_exist() -> None:
    with pytest.raises(InvalidRequest, match="backends: no 'ecs'; there are: local, eks, emr, sagemaker"):
        advise(data(), only=["ecs"])


# Prices


@pytest.mark.promise("dated-prices")
@pytest.mark.parametrize("instance", sorted(Prices.load().instances))
def test_the_mix_of_purchase_options_saves_a_third_of_the_price_of_managed_instances(instance: str) -> None:
    """Instances that are not SageMaker's, half of them on demand, a third in a savings plan, the rest spot."""
    mix = Mix(on_demand=0.5, savings_plan=0.35, spot=0.15)
    assert 0.30 <= Prices.load().saving(instance, mix) <= 0.40


@pytest.mark.promise("dated-prices")
def test_prices_have_a_day_and_sources_and_old_ones_are_reported() -> None:
    prices = Prices.load()
    assert prices.compared <= datetime.date(2026, 11, 30)
    assert set(prices.sources) >= {"on_demand", "savings_plan", "spot", "emr", "sagemaker"}
    later = prices.compared + datetime.timedelta(days=181)
    assert not advise(data(), today=prices.compared).warnings
    assert advise(data(), today=later).warnings == (
        "the prices were compared 181 days ago; renew them with python -m job_adviser.prices",
    )


@pytest.mark.promise("dated-prices")
def test_prices_of_another_region_are_reported() -> None:
    prices = Prices.load()
    assert not advise(data(), today=prices.compared, region=prices.region).warnings
    [warning] = advise(data(), today=prices.compared, region="eu-west-1").warnings
    assert warning.startswith(f"the prices are those of {prices.region}, not of eu-west-1;")


@given(st.floats(0, 1), st.floats(0, 1))
def test_a_mix_costs_at_least_spot_and_at_most_on_demand(one: float, two: float) -> None:
    low, high = sorted((one, two))
    mix = Mix(on_demand=low, savings_plan=high - low, spot=1 - high)
    prices = Prices.load()
    for name, instance in prices.instances.items():
        found = prices.hourly(name, mix)
        assert instance.spot - 1e-9 <= found.expected <= instance.on_demand + 1e-9
        assert found.high <= instance.on_demand + 1e-9


@pytest.mark.parametrize("shares", [(0.5, 0.4, 0.2), (1.1, 0, 0), (-0.1, 0.6, 0.5), (0, 0, 0)])
def test_shares_that_do_not_add_up_are_refused(shares: tuple[float, float, float]) -> None:
    with pytest.raises(InvalidRequest, match="shares must be 0 to 1 with the sum 1"):
        Mix(*shares)


@pytest.mark.parametrize(
    ("line", "why"),
    [("spot = 0.077", "missing 1 required"), ("spot = 0", "must be a number above 0, got 0"), ("spto = 1", "spto")],
)
def test_a_table_with_a_missing_or_free_price_is_refused(tmp_path: Path, line: str, why: str) -> None:
    source = Path(str(Prices.load.__func__.__globals__["files"]("job_adviser") / "data" / "prices.toml"))
    text = source.read_text(encoding="utf-8")
    changed = text.replace("spot = 0.077\n", "" if line == "spot = 0.077" else f"{line}\n")
    (tmp_path / "prices.toml").write_text(changed, encoding="utf-8")
    with pytest.raises(InvalidRequest, match=why):
        Prices.load(tmp_path / "prices.toml")


def test_a_table_is_renewed_from_the_price_list(tmp_path: Path) -> None:
    class PriceList:
        """One product for each type, at a dollar."""

        def get_products(self, *, ServiceCode: str, Filters: list[dict[str, str]]) -> dict[str, list[str]]:
            asked = {each["Field"]: each["Value"] for each in Filters}
            assert asked["regionCode"] == "us-east-1"
            if asked["instanceType"] == "x9.none":
                return {"PriceList": []}
            return {
                "PriceList": ['{"terms":{"OnDemand":{"a":{"priceDimensions":{"b":{"pricePerUnit":{"USD":"1.0"}}}}}}}']
            }

    found = current(PriceList(), "us-east-1", ["m5.xlarge"])
    text = (Path(str(__import__("job_adviser").__file__)).parent / "data" / "prices.toml").read_text(encoding="utf-8")
    file = tmp_path / "prices.toml"
    file.write_text(renewed(text, found, datetime.date(2027, 1, 2)), encoding="utf-8")
    new = Prices.load(file)
    assert (new.compared, new.instance("m5.xlarge").on_demand) == (datetime.date(2027, 1, 2), 1.0)
    assert new.instance("m5.2xlarge") == Prices.load().instance("m5.2xlarge")
    with pytest.raises(InvalidRequest, match="x9.none: has no on-demand price in us-east-1"):
        current(PriceList(), "us-east-1", ["x9.none"])


# Recorded runs


def runs(count: int, *, factor: float, noise: float, seed: int) -> list[RecordedRun]:
    chance = random.Random(seed)
    modelled = [chance.uniform(10, 5000) for _ in range(count)]
    return [RecordedRun("eks", each, each * factor * math.exp(chance.gauss(0, noise))) for each in modelled]


@pytest.mark.promise("job-estimate")
@given(st.floats(0.2, 5), st.floats(0.01, 0.5), st.integers(0, 10**6))
@settings(deadline=None, max_examples=60)
def test_recorded_runs_correct_the_model_and_bound_its_error(factor: float, noise: float, seed: int) -> None:
    found = cross_validated(runs(40, factor=factor, noise=noise, seed=seed), "eks")
    assert found.median < 2 * noise + 0.02
    assert found.within >= 0.6
    calibration = Calibration.of(runs(40, factor=factor, noise=noise, seed=seed), "eks")
    assert calibration.factor == pytest.approx(factor, rel=4 * noise / math.sqrt(40) + 0.01)


SCANS = [
    (586_074, 0.0475),
    (885_322, 0.1022),
    (1_179_603, 0.0976),
    (1_473_895, 0.1694),
    (1_767_418, 0.2381),
    (2_058_852, 0.2158),
    (2_360_276, 0.2448),
    (2_661_700, 0.3302),
    (2_963_134, 0.3234),
    (3_274_559, 0.2912),
    (3_585_994, 0.3756),
    (3_897_417, 0.4027),
]
"""Measured: bytes of a CSV file, and seconds of processor time in which ``csv.DictReader`` read and summed it."""


@pytest.mark.promise("job-estimate")
def test_each_measured_run_is_estimated_from_the_others_within_a_third() -> None:
    recorded = [
        RecordedRun("local", modelled_seconds(data(1, size), Job(), 1, 1, 10_000), seconds) for size, seconds in SCANS
    ]
    found = cross_validated(recorded, "local")
    assert found.median < 1 / 3
    assert found.within >= 0.6


def test_fewer_than_four_runs_change_nothing_and_other_backends_do_not_count() -> None:
    assert Calibration.of(runs(3, factor=3, noise=0.1, seed=0), "eks") == Calibration(runs=3)
    assert Calibration.of(runs(30, factor=3, noise=0.1, seed=0), "emr") == Calibration()
    with pytest.raises(ValueError, match="eks: needs 5 runs, got 4"):
        cross_validated(runs(4, factor=1, noise=0.1, seed=0), "eks")


def test_estimates_use_the_recorded_runs_of_their_backend() -> None:
    known = Estimator(runs=tuple(runs(30, factor=3, noise=0.05, seed=0)))
    before, after = (each.all(data(), Job(), ["eks", "emr"]) for each in (Estimator(), known))
    assert after[0].run.expected == pytest.approx(3 * before[0].run.expected, rel=0.1)
    assert after[0].run.high / after[0].run.low < before[0].run.high / before[0].run.low
    assert after[1] == before[1]


# Proposals


def actions(dataset: Dataset, **thresholds: Any) -> list[str]:
    found = proposals(dataset, Job(), Estimator(), Thresholds(**thresholds))
    return sorted(each.action for each in found)


READABLE = Probe("0.csv", Kind("csv"), compressibility=5.0, columns=("id", "day"))


@pytest.mark.promise("input-advice")
@pytest.mark.parametrize(
    ("dataset", "expected"),
    [
        (data(100, probes=(READABLE,)), ["compress", "convert", "partition"]),
        (data(5, probes=(READABLE,)), []),
        (data(100, GIB, "{}.parquet"), ["partition"]),
        (data(100, GIB, "day={}/x.parquet"), []),
        (data(2, 8 * GIB, "{}.csv.gz"), ["convert", "partition", "split"]),
        (data(20_000, 1000), ["merge"]),
        (data(100, GIB, "{}.jpg"), []),
    ],
)
def test_above_a_threshold_compression_conversion_partitioning_merging_and_splitting_are_proposed(
    dataset: Dataset, expected: list[str]
) -> None:
    assert actions(dataset) == expected


def test_the_threshold_is_a_setting() -> None:
    assert actions(data(5, probes=(READABLE,)), large_gib=1) == ["compress", "convert", "partition"]
    with pytest.raises(InvalidRequest, match="thresholds: must be above 0"):
        Thresholds(large_gib=0)


@pytest.mark.promise("input-advice")
def test_a_proposal_says_what_it_saves_and_what_it_costs() -> None:
    found = {each.action: each for each in proposals(data(200, probes=(READABLE,)), Job(), Estimator())}
    for each in found.values():
        assert each.takes_seconds.expected > 0
        assert each.costs.expected > 0
        assert each.runnable
    assert found["convert"].saves_seconds.expected > 60
    assert found["convert"].saves_dollars.expected > 0
    assert found["compress"].saves_storage == pytest.approx(200 * 0.8 * 0.023)
    assert "200.0 GiB of csv are not compressed; a sample became 5.0 times smaller" in found["compress"].why


def test_merging_many_small_objects_saves_the_requests_for_them() -> None:
    small = data(300_000, 2000)
    [merge] = proposals(small, Job(), Estimator())
    assert merge.saves_seconds.expected > 60


@given(DATASETS, JOBS)
@settings(deadline=None)
def test_no_proposal_loses(dataset: Dataset, job: Job) -> None:
    for each in proposals(dataset, job, Estimator(), Thresholds(large_gib=0.001, small_objects=1)):
        assert each.saves_seconds.expected > 0 or each.saves_dollars.expected > 0 or each.saves_storage > 0
        assert each.saves_seconds.low >= 0


def test_a_range_is_in_order() -> None:
    with pytest.raises(ValueError, match="low <= expected <= high"):
        Range(2, 1, 3)
    assert 2 in Range(1, 2, 3)
    assert 4 not in Range(1, 2, 3)


def test_the_text_of_an_advice_names_each_backend_and_the_whole_is_json() -> None:
    found = advise(data(200, probes=(READABLE,), at_least=True))
    text = found.text()
    for words in ("at least 200 objects", "this machine", "EKS", "EMR", "SageMaker", "convert:", "S3 Inventory"):
        assert words in text
    document = found.document()
    assert document["fastest"] in BACKENDS
    assert document["cheapest"] in BACKENDS[1:]
    assert document["input"]["columns"] == ["id", "day"]
    assert document["prices"]["region"] == "us-east-1"

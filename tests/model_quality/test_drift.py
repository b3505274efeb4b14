"""Measures of drift on data that drifts and on data that does not, and what they refuse."""

import random

import pytest

from model_quality import kolmogorov_smirnov_distance, percentile, population_stability_index

MAJOR = 0.25
"""A population stability index above this is called a major shift, and raises the alert."""


def normal(seed: int, *, mean: float = 0.0, deviation: float = 1.0, size: int = 2000) -> list[float]:
    source = random.Random(seed)
    return [source.gauss(mean, deviation) for _ in range(size)]


@pytest.mark.promise("model-accuracy")
@pytest.mark.parametrize("seed", range(5))
def test_two_samples_of_one_distribution_do_not_drift(seed: int) -> None:
    before, after = normal(seed), normal(seed + 100)
    assert population_stability_index(before, after) < 0.05
    assert kolmogorov_smirnov_distance(before, after) < 0.06  # type: ignore[operator]


@pytest.mark.promise("model-accuracy")
@pytest.mark.parametrize(
    ("mean", "deviation"), [(1.0, 1.0), (-1.0, 1.0), (0.0, 3.0), (0.0, 0.3)], ids=["up", "down", "wider", "narrower"]
)
def test_a_shift_of_mean_or_spread_is_a_major_one(mean: float, deviation: float) -> None:
    before, after = normal(1), normal(2, mean=mean, deviation=deviation)
    assert population_stability_index(before, after) > MAJOR
    assert kolmogorov_smirnov_distance(before, after) > 0.2  # type: ignore[operator]


def test_a_small_shift_is_between() -> None:
    assert 0.02 < population_stability_index(normal(1), normal(2, mean=0.3)) < MAJOR


def test_categories_drift_when_their_shares_change_or_a_new_one_appears() -> None:
    before = ["basic"] * 700 + ["gold"] * 300
    assert population_stability_index(before, ["basic"] * 690 + ["gold"] * 310) < 0.01
    assert population_stability_index(before, ["basic"] * 300 + ["gold"] * 700) > MAJOR
    assert population_stability_index(before, ["basic"] * 700 + ["platinum"] * 300) > MAJOR
    assert kolmogorov_smirnov_distance(before, before) is None


def test_values_that_go_missing_are_a_drift() -> None:
    before = normal(1)
    after = [None if index % 3 == 0 else value for index, value in enumerate(normal(2))]
    assert population_stability_index(before, after) > MAJOR


def test_a_feature_with_many_equal_values_has_a_finite_index() -> None:
    before = [0.0] * 1900 + [float(number) for number in range(100)]
    assert population_stability_index(before, before) == pytest.approx(0)
    assert population_stability_index(before, [5.0] * 2000) > 1


def test_the_distance_is_that_of_the_definition() -> None:
    before = [float(number) for number in range(20)]
    assert kolmogorov_smirnov_distance(before, [value + 10 for value in before]) == pytest.approx(0.5)
    assert kolmogorov_smirnov_distance(before, [value + 100 for value in before]) == 1


def test_a_percentile_is_interpolated() -> None:
    assert percentile([3.0, 1.0, 2.0], 50) == 2
    assert percentile([0.0, 10.0], 95) == pytest.approx(9.5)


def test_an_empty_sample_is_refused() -> None:
    with pytest.raises(ValueError, match="a sample is empty; give at least one value of each"):
        population_stability_index([], [1.0])
    with pytest.raises(ValueError, match="no values; give at least one"):
        percentile([], 95)

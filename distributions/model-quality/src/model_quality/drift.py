"""Measures of the difference between two samples of one feature, without dependencies."""

import bisect
import math
from collections import Counter
from collections.abc import Sequence

Value = float | str | bool | None
"""A value of a feature. Numbers are compared by distribution, anything else by category; None is missing."""

_BINS = 10
_PSEUDO_COUNT = 0.5  # keeps the logarithm finite where one of the samples has no value


def population_stability_index(expected: Sequence[Value], actual: Sequence[Value], *, bins: int = _BINS) -> float:
    """The population stability index (PSI) of ``actual`` against ``expected``.

    The sum over all bins of ``(a - e) * ln(a / e)``, where ``a`` and ``e`` are shares of the samples. Below 0.1 is
    usually called no shift, above 0.25 a major one. Numbers are put into bins with equal shares of ``expected``, other
    values into one bin for each; missing values have their own. Two samples of ``n`` and ``m`` values of one
    distribution differ by about ``(bins - 1) * (1 / n + 1 / m)``.

    :raises ValueError: for an empty sample.
    """
    if not expected or not actual:
        raise ValueError("a sample is empty; give at least one value of each")
    edges = _edges(expected, bins) if _is_numeric(expected) else None
    before, after = _counts(expected, edges), _counts(actual, edges)
    keys = before.keys() | after.keys()
    total = 0.0
    for key in keys:
        e = (before[key] + _PSEUDO_COUNT) / (len(expected) + _PSEUDO_COUNT * len(keys))
        a = (after[key] + _PSEUDO_COUNT) / (len(actual) + _PSEUDO_COUNT * len(keys))
        total += (a - e) * math.log(a / e)
    return total


def kolmogorov_smirnov_distance(expected: Sequence[Value], actual: Sequence[Value]) -> float | None:
    """The greatest distance between the two cumulative distributions, 0 to 1; None unless both are numbers.

    Missing values are left out.
    """
    before = sorted(float(value) for value in expected if _is_number(value))  # type: ignore[arg-type]
    after = sorted(float(value) for value in actual if _is_number(value))  # type: ignore[arg-type]
    if not _is_numeric(expected) or not before or not after:
        return None
    return max(
        abs(bisect.bisect_right(before, value) / len(before) - bisect.bisect_right(after, value) / len(after))
        for value in {*before, *after}
    )


def percentile(values: Sequence[float], percent: float) -> float:
    """The value below which ``percent`` of the values are, by linear interpolation.

    :raises ValueError: for no values.
    """
    if not values:
        raise ValueError("no values; give at least one")
    ordered = sorted(values)
    position = (len(ordered) - 1) * percent / 100
    low = math.floor(position)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (position - low)


def _is_number(value: Value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value)


def _is_numeric(values: Sequence[Value]) -> bool:
    """Whether a feature is a number with more values than bins; few values are categories."""
    present = [value for value in values if value is not None]
    return bool(present) and all(map(_is_number, present)) and len(set(present)) > _BINS


def _edges(values: Sequence[Value], bins: int) -> list[float]:
    numbers = [float(value) for value in values if _is_number(value)]  # type: ignore[arg-type]
    return sorted({percentile(numbers, 100 * number / bins) for number in range(1, bins)})


def _counts(values: Sequence[Value], edges: Sequence[float] | None) -> Counter[str]:
    """The number of values in each bin. An edge that many values equal is a bin of its own."""
    found: Counter[str] = Counter()
    for value in values:
        if edges is not None and _is_number(value):
            number = float(value)  # type: ignore[arg-type]
            found[f"{bisect.bisect_left(edges, number)}-{bisect.bisect_right(edges, number)}"] += 1
        else:
            found["missing" if value is None else f"value {value}"] += 1
    return found

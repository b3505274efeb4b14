"""Numbers with their uncertainty."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Range:
    """An estimate: about four of five values lie between ``low`` and ``high``.

    :raises ValueError: if the three are not in order.
    """

    low: float
    expected: float
    high: float

    def __post_init__(self) -> None:
        if not 0 <= self.low <= self.expected <= self.high:
            raise ValueError(f"a range must be 0 <= low <= expected <= high, got {self}")

    def __add__(self, other: "Range") -> "Range":
        return Range(self.low + other.low, self.expected + other.expected, self.high + other.high)

    def times(self, factor: float) -> "Range":
        return Range(self.low * factor, self.expected * factor, self.high * factor)

    def spread(self, factor: float) -> "Range":
        """The same with ``low`` and ``high`` further apart by a factor of 1 or more."""
        return Range(self.low / factor, self.expected, self.high * factor)

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high

    @classmethod
    def exactly(cls, value: float) -> "Range":
        return cls(value, value, value)

"""What a proof found wrong."""

from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Finding:
    """A fault, in one line: place, value, fix.

    :param place: the object, as ``Kind namespace/name``.
    :param what: what is wrong with it, and what to do.
    """

    place: str
    what: str

    def __str__(self) -> str:
        return f"{self.place}: {self.what}"

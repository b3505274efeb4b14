"""Finds denied permissions and repeated errors in the log of a program."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence

_DENIED = re.compile(r"\b(forbidden|unauthorized)\b", re.IGNORECASE)
# klog writes E1130, other libraries a level: level=error, "level":"error", ERROR.
_ERROR = re.compile(r'^E\d{4} |\blevel"?[=:]\s*"?(?i:error|fatal)\b|\b(?:ERROR|FATAL|panic:)')
# Messages about an unknown argument; many programs print their usage after it.
_ARGUMENT = re.compile(
    r"flag provided but not defined|unknown (?:short |long )?flag|unrecogni[sz]ed arguments|unknown option"
)
_PANIC = re.compile(r"^panic: ")  # its trace follows
_TRACE = re.compile(r"^\t\S+:\d+")  # a file and line of a trace, which libraries write after an error
# Two writers met; the controller reads the object again and repeats its change, as it must.
_CONFLICT = re.compile(r"the object has been modified; please apply your changes to the latest version")
_VARIABLE = re.compile(r"0x[0-9a-f]+|[0-9a-f]{8}-[0-9a-f-]{27}|\d+|-[0-9a-z]{5}\b")
REPEATS = 3
_SHOWN_CHARACTERS = 300


def denied(lines: Iterable[str]) -> list[str]:
    """Lines about a denied permission, without duplicates."""
    return _distinct(line for line in lines if _DENIED.search(line))


def repeated_errors(lines: Iterable[str]) -> list[str]:
    """Errors that occur ``REPEATS`` times or more, ignoring times and numbers; one line of each.

    An error at the start, while another part is not ready yet, is not a fault; a repeated error is. Conflicts of two
    writers are not faults.
    """
    errors = [line for line in lines if _ERROR.search(line) and not _CONFLICT.search(line)]
    counts = Counter(map(_shape, errors))
    return _distinct(line for line in errors if counts[_shape(line)] >= REPEATS)


def cause(lines: Sequence[str]) -> list[str]:
    """The line with the reason why a program ended.

    It is that of an unknown argument, of a panic, or of the error before a trace; otherwise the last one.
    """
    known = [line for reason in (_ARGUMENT, _PANIC) for line in lines if reason.search(line)]
    if lines and _TRACE.search(lines[-1]):
        known += [line for line in lines if _ERROR.search(line)][-1:]
    return [line[:_SHOWN_CHARACTERS] for line in known[:1] or lines[-1:]]


def _distinct(lines: Iterable[str]) -> list[str]:
    """One line of each shape, the first."""
    return [line[:_SHOWN_CHARACTERS] for line in {_shape(line): line for line in reversed(list(lines))}.values()][::-1]


def _shape(line: str) -> str:
    """What stays the same when a program writes a line again."""
    return _VARIABLE.sub("#", line)

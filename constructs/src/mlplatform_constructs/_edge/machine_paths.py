"""Which paths of a load balancer belong to which scope of machines, and in which order its rules are evaluated."""

import hashlib
from collections.abc import Sequence
from fnmatch import fnmatchcase

from .._arguments import ConfigurationError

FIRST_PRIORITY, PRIORITIES = 1_000, 48_000
MOST_PATHS = 3
"""A rule holds five values at most; host name and token are two."""


class MachinePaths:
    """The paths of each scope.

    The priority of a rule follows from the name of its scope. An order of calls would give two rules each other's
    priority when the order changes, and Elastic Load Balancing refuses that (``PriorityInUse``): it updates one rule
    after the other. Which rule comes first does not matter, because no path fits two scopes.

    :param place: path of the construct, for refusals.
    """

    def __init__(self, place: str) -> None:
        self._place = place
        self._scopes: dict[str, tuple[int, tuple[str, ...]]] = {}

    def add(self, scope: str, paths: Sequence[str]) -> int:
        """The priority of the rule that grants the scope access to these paths.

        :raises ConfigurationError: for no path or too many, a scope that has paths, a path that fits two scopes.
        """
        if not 1 <= len(paths) <= MOST_PATHS:
            raise ConfigurationError(
                f"{self._place}: paths must be 1 to {MOST_PATHS}, got {len(paths)}; name a path above them"
            )
        if scope in self._scopes:
            raise ConfigurationError(
                f"{self._place}: scope {scope!r} has its paths already; name all of them in one call"
            )
        priority = FIRST_PRIORITY + int(hashlib.sha256(scope.encode()).hexdigest(), 16) % PRIORITIES
        for other, (taken, patterns) in self._scopes.items():
            if priority == taken:
                raise ConfigurationError(
                    f"{self._place}: scopes {other!r} and {scope!r} get one priority; rename one of them"
                )
            for path in paths:
                if same := [each for each in patterns if fnmatchcase(path, each) or fnmatchcase(each, path)]:
                    raise ConfigurationError(
                        f"{self._place}: path {path!r} of scope {scope!r} overlaps {same[0]!r} of scope {other!r}; "
                        "a path belongs to one scope"
                    )
        self._scopes[scope] = (priority, tuple(paths))
        return priority

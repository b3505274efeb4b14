"""Errors. Every message contains the place, the problem and the fix, with one line for each mistake."""


class RepositoryError(Exception):
    """The repository refuses, or cannot do, what was asked."""


class Conflict(RepositoryError):
    """The version number is taken: by another publisher, or by a version that was withdrawn."""


class NoSuchVersion(RepositoryError):
    """The model or version does not exist, or was withdrawn."""


class Damaged(RepositoryError):
    """What is stored is not what was published."""

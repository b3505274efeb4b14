"""What can go wrong. Every text says where, what was found, and what to do; one line for each mistake."""


class RepositoryError(Exception):
    """The repository refuses, or cannot do, what was asked."""


class Conflict(RepositoryError):
    """The version number is taken: by another publisher, or by a version that was withdrawn."""


class NoSuchVersion(RepositoryError):
    """There is no such model or version, or it was withdrawn."""


class Damaged(RepositoryError):
    """What is stored is not what was published."""

"""Errors. Every message contains the place, the problem and the fix."""


class AdviserError(Exception):
    """The adviser refuses, or cannot do, what was asked.

    - ``status``: the HTTP status of the answer.
    """

    status = 400


class InvalidRequest(AdviserError):
    """A request with an unknown key, a wrong type or a value out of range."""


class NotPermitted(AdviserError):
    """Data or a prefix that the adviser has no permission for."""

    status = 403


class NotFound(AdviserError):
    """A bucket, a prefix, an inventory or a run that does not exist."""

    status = 404


class NotUsable(AdviserError):
    """Data that exists, but that no job could read: archived, encrypted by its writer, or empty."""

    status = 422

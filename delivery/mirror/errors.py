"""The errors of the mirror."""


class MirrorError(Exception):
    """An image, chart or registry cannot be mirrored. The message is one line: the item, the digests and the fix."""


class TransientError(MirrorError):
    """A transient error of a registry, such as throttling; a retry may succeed."""

"""What the mirror says when it stops."""


class MirrorError(Exception):
    """One image, chart or registry cannot be mirrored. The text is one line: what, which digests, what to do."""


class PassingError(MirrorError):
    """The registry may answer another time: too many requests, or trouble of its own."""

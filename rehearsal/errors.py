class RehearsalError(Exception):
    """A rehearsal cannot go on. The text says what, where, and what to do, and may carry the words of a tool below."""

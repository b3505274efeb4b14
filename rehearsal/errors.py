class RehearsalError(Exception):
    """A rehearsal cannot continue. The message contains the problem, the place and the fix, and may quote a tool."""

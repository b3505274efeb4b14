class BatchError(Exception):
    """A run that cannot go on. Its text names the place, the value and the fix."""

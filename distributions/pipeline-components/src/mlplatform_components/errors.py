"""What the functions of this package raise: place, what is wrong with it, what to do."""


class ComponentError(Exception):
    """A job was refused, failed, or could not be followed."""


class JobFailed(ComponentError):
    """The service reports that a job ended without success."""


class TimedOut(ComponentError):
    """A job did not reach its state in time. It was stopped."""


class NotDeleted(ComponentError):
    """A cluster could not be deleted and may still cost money."""

class DeliveryError(Exception):
    """A tool of delivery cannot go on or found something wrong. The text says what, where, and what to do."""

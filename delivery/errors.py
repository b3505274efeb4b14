class DeliveryError(Exception):
    """An error or a finding of a delivery tool. The message contains the place, the problem and the fix."""

"""The ``[alarms]`` section: the recipient of alarms."""

from config.people import Email
from config.section import Section, key


class Alarms(Section):
    """Alarms of all stacks: database, features, models, and security-relevant events in the account."""

    email: Email | None = key(
        "Email address that receives alarms, after confirming the subscription. Default: none; subscribe to the topic "
        "in the outputs of the stack Security.",
        default=None,
    )

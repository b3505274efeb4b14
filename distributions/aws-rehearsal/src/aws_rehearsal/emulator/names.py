"""Names that the emulator and what drives it share."""

BOOTSTRAP_STACK = "CDKToolkit"
"""The stack with which the CDK CLI bootstraps a Region."""
LOOPBACK = "127.0.0.1"
EMULATED_ACCOUNT = "000000000000"
"""The account of every emulated resource. The CDK CLI refuses to deploy it with the credentials of a real account."""

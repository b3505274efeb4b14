"""Tags that the platform puts on its CloudFormation stacks."""

STAGE = "mlplatform:stage"
"""Tag of every stack in an account's stage. Its value is the name of the account file, which identifies the stacks."""

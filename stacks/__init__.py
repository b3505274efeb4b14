"""The platform's stacks: wiring between the account's settings, the construct library and the charts."""

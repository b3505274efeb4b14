"""The compliance pack as an assertion."""

import aws_cdk as cdk


def assert_complies(app: cdk.App) -> None:
    """The app synthesizes, and so passes the compliance pack, which fails synthesis at a finding."""
    assert app.synth().stacks_recursively, "the app has no stack, so nothing was checked"

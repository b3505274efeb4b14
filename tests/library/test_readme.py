import re
from pathlib import Path

import aws_cdk as cdk
import pytest

README = (Path(__file__).parents[2] / "constructs" / "README.md").read_text(encoding="utf-8")
EXAMPLES = {
    heading: "\n".join(re.findall(r"```python\n(.*?)```", section, re.DOTALL))
    for heading, section in re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", README, re.DOTALL | re.MULTILINE)
}


@pytest.mark.parametrize("heading", EXAMPLES)
def test_every_example_runs_and_synthesizes(heading: str, app: cdk.App, stack: cdk.Stack) -> None:
    exec(EXAMPLES[heading], {"app": app, "stack": stack})
    app.synth()


def test_every_construct_has_an_example() -> None:
    assert not [heading for heading, example in EXAMPLES.items() if not example]

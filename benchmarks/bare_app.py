"""Synthesizes the resources of an existing assembly from its templates: the lower bound of any construct design.

Node creates them, with one call for each stack. Settings are read and the compliance pack runs, as in the app itself.
Values that a stack reads from the outputs of another are replaced by text, because ``CfnInclude`` refuses the function.
"""

import contextlib
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import aws_cdk as cdk
from aws_cdk.cloudformation_include import CfnInclude

from config.loader import load_accounts
from stacks.app import new_app


def included(template: Any) -> Any:
    """A template, or a part of one, that ``CfnInclude`` accepts."""
    if isinstance(template, dict):
        known = "Fn::GetStackOutput" not in template
        return {key: included(value) for key, value in template.items()} if known else "arn:aws:s3:::output"
    return [included(each) for each in template] if isinstance(template, list) else template


load_accounts(["staging"])
app = new_app()
with tempfile.TemporaryDirectory() as folder:
    for number, path in enumerate(sorted(Path(sys.argv[1]).rglob("*.template.json"))):
        environment = cdk.Environment(account="111111111111", region="eu-west-1")
        stack = cdk.Stack(app, f"Stack{number}", env=environment, synthesizer=cdk.LegacyStackSynthesizer())
        copy = Path(folder, path.name)
        copy.write_text(json.dumps(included(json.loads(path.read_text(encoding="utf-8")))), encoding="utf-8")
        CfnInclude(stack, "Template", template_file=str(copy))
with contextlib.suppress(RuntimeError):  # a template does not hold what was acknowledged; the pack has run
    app.synth()

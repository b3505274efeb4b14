"""The resources of an assembly that is there, made again from its templates: what no design of constructs goes below.

Node makes them, with one call a stack. Settings are read and the compliance pack runs, as in the app itself.
"""

import contextlib
import sys
from pathlib import Path

import aws_cdk as cdk
from aws_cdk.cloudformation_include import CfnInclude

from config.loader import load_accounts
from stacks.app import new_app

load_accounts(["staging"])
app = new_app()
for number, path in enumerate(sorted(Path(sys.argv[1]).rglob("*.template.json"))):
    environment = cdk.Environment(account="111111111111", region="eu-west-1")
    stack = cdk.Stack(app, f"Stack{number}", env=environment, synthesizer=cdk.LegacyStackSynthesizer())
    CfnInclude(stack, "Template", template_file=str(path))
with contextlib.suppress(RuntimeError):  # a template does not hold what was acknowledged; the pack has run
    app.synth()

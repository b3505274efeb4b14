"""The same resources as in the assembly that is named, without a construct or a type: what no design goes below.

Settings are read and the compliance pack is loaded, as in the app itself.
"""

import json
import sys
from pathlib import Path

import aws_cdk as cdk

from config.loader import load_accounts
from stacks.app import new_app

load_accounts(["staging"])
app = new_app()
for number, path in enumerate(sorted(Path(sys.argv[1]).rglob("*.template.json"))):
    stack = cdk.Stack(app, f"Stack{number}")
    for id, resource in json.loads(path.read_text(encoding="utf-8"))["Resources"].items():
        cdk.CfnResource(stack, id, type=resource["Type"], properties=resource.get("Properties", {}))
app.synth()

"""An app of one stack that is quick to synthesize: ``python tiny_app.py TEMPLATE FOLDER`` writes its cloud assembly."""

import json
import shutil
import sys
from pathlib import Path


def main(template: str, folder: str) -> None:
    Path(folder).mkdir()
    shutil.copy(template, Path(folder) / "Tiny.template.json")
    stack = {
        "type": "aws:cloudformation:stack",
        "environment": "aws://000000000000/us-east-1",
        "properties": {"templateFile": "Tiny.template.json"},
    }
    manifest = {"version": "48.0.0", "artifacts": {"Tiny": stack}}
    (Path(folder) / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])

"""What the components of pipelines call, read from their source."""

import ast
import re
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "distributions" / "pipeline-components" / "src" / "mlplatform_components"


def calls_of(module: str, client: str, prefix: str) -> set[str]:
    """The IAM actions behind the calls of a boto3 client.

    :param module: of the component library, such as ``emr``.
    :param client: name of the variable that holds the client.
    :param prefix: of the actions, such as ``elasticmapreduce``.
    """
    found: set[str] = set()
    for node in ast.walk(ast.parse((SOURCE / f"{module}.py").read_text(encoding="utf-8"))):
        match node:
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id=name), attr="get_paginator"),
                args=[ast.Constant(value=str(operation))],
            ) if name == client:
                found.add(operation)
            case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr=operation)) if name == client:
                found.add(operation)
    return {f"{prefix}:{_action(operation)}" for operation in found - {"get_paginator"}}


def _action(operation: str) -> str:
    return re.sub(r"(?:^|_)([a-z])", lambda letter: letter[1].upper(), operation)

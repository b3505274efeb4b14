"""Draws the platform: the stacks of an account in deployment order, with their main constructs and services.

``python -m delivery.diagram local > docs/platform.svg`` reads the construct tree in ``cdk.out``.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

from delivery.assembly import ASSEMBLY, stacks_of

_WIDTH, _COLUMN, _GAP, _LINE, _MARGIN, _HEAD = 176, 236, 22, 16, 20, 44
_WIDEST = 30
"""Characters of the line of services that fit into a box."""
_STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#1f2933}.title{font-weight:600}.services{font-size:10px;fill:#52606d}"
    ".step{font-size:11px;fill:#52606d}rect{fill:#f5f7fa;stroke:#7b8794}.paper{fill:#fff;stroke:none}"
    "path{fill:none;stroke:#9aa5b1}"
)
_SERVICES = {
    "ApiGatewayV2": "API Gateway",
    "ApplicationAutoScaling": "Auto Scaling",
    "AutoScaling": "Auto Scaling",
    "CertificateManager": "Certificate Manager",
    "DirectoryService": "Directory Service",
    "ElasticLoadBalancingV2": "Elastic Load Balancing",
    "Events": "EventBridge",
    "KinesisFirehose": "Firehose",
    "Route53": "Route 53",
    "SSO": "Identity Center",
    "SecretsManager": "Secrets Manager",
    "StepFunctions": "Step Functions",
    "WAFv2": "WAF",
}
_EVERYWHERE = {"CDK", "CloudFormation", "IAM", "Lambda", "Logs"}
"""Services that nearly every stack uses, omitted because they distinguish no stack."""
_NOT_DRAWN = {"Exports", "Publish", "People", "KnownPeople"}
"""Construct ids of namespaces in the tree, omitted from the picture."""


@dataclass
class Box:
    """A stack in the picture.

    :param parts: its constructs, by their ids.
    :param needs: the boxes that must be deployed directly before it.
    """

    name: str
    parts: list[str]
    used: Counter[str]
    needs: list["Box"] = field(default_factory=list)
    x: int = 0
    y: int = 0

    @property
    def column(self) -> int:
        """The length of the longest chain of stacks that must be deployed before it."""
        return max((need.column + 1 for need in self.needs), default=0)

    @property
    def height(self) -> int:
        """In pixels."""
        return _LINE * (len(self.parts) + 2) + 14


def render(account: str, assembly: Path = ASSEMBLY) -> str:
    """The picture of one account, as SVG."""
    boxes = _boxes(account, assembly)
    columns: dict[int, list[Box]] = {}
    for box in boxes:
        columns.setdefault(box.column, []).append(box)
    heights = {number: sum(box.height + _GAP for box in column) - _GAP for number, column in columns.items()}
    tallest = max(heights.values())
    for number, column in columns.items():
        y = _MARGIN + _HEAD + (tallest - heights[number]) // 2
        for box in column:
            box.x, box.y = _MARGIN + number * _COLUMN, y
            y += box.height + _GAP
    width = 2 * _MARGIN + (len(columns) - 1) * _COLUMN + _WIDTH
    height = 2 * _MARGIN + _HEAD + tallest
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        'aria-label="The stacks of an account, in the order of their deployment">',
        f"<style>{_STYLE}</style>",
        f'<rect class="paper" width="{width}" height="{height}"/>',
        *(
            f'<text class="step" x="{_MARGIN + number * _COLUMN}" y="{_MARGIN + 12}">step {number + 1}</text>'
            for number in sorted(columns)
        ),
        *(_arrow(need, box) for box in boxes for need in box.needs),
        *(line for box in boxes for line in _drawn(box, _services_of(box, boxes))),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _services_of(box: Box, boxes: list[Box]) -> str:
    """As many of its services as fit, the least common ones first."""
    shared = Counter(service for each in boxes for service in each.used)
    chosen: list[str] = []
    for service in sorted(box.used, key=lambda name: (shared[name], -box.used[name], name)):
        if len(", ".join([*chosen, _SERVICES.get(service, service)])) <= _WIDEST:
            chosen.append(_SERVICES.get(service, service))
    return ", ".join(chosen)


def _boxes(account: str, assembly: Path) -> list[Box]:
    tree = json.loads((assembly / "tree.json").read_text(encoding="utf-8"))["tree"]
    stacks = {stack.id: stack for stack in stacks_of(account, assembly)}
    boxes = {
        id: _box(id.partition("/")[2], tree["children"][account]["children"][id.partition("/")[2]]) for id in stacks
    }
    before = {id: _all_before(id, {id: stack.dependencies for id, stack in stacks.items()}) for id in stacks}
    for id, stack in stacks.items():
        direct = [need for need in stack.dependencies if need in boxes]
        boxes[id].needs = [boxes[need] for need in direct if not any(need in before[other] for other in direct)]
    return sorted(boxes.values(), key=lambda box: (box.column, list(boxes.values()).index(box)))


def _all_before(id: str, dependencies: Mapping[str, tuple[str, ...]]) -> set[str]:
    found: set[str] = set()
    todo = [id]
    while todo:
        for need in dependencies.get(todo.pop(), ()):
            if need not in found:
                found.add(need)
                todo.append(need)
    return found


def _box(name: str, stack: Mapping[str, Any]) -> Box:
    parts = [
        id
        for id, child in stack["children"].items()
        if child.get("constructInfo", {}).get("fqn") == "constructs.Construct" and id not in _NOT_DRAWN
    ]
    used = Counter(service for service in _services(stack) if service not in _EVERYWHERE)
    return Box(name, parts, used)


def _services(construct: Mapping[str, Any]) -> Iterator[str]:
    kind = construct.get("attributes", {}).get("aws:cdk:cloudformation:type", "")
    if kind.startswith("AWS::"):
        yield kind.split("::")[1]
    for child in construct.get("children", {}).values():
        yield from _services(child)


def _arrow(need: Box, box: Box) -> str:
    x1, y1, x2, y2 = need.x + _WIDTH, need.y + need.height // 2, box.x, box.y + box.height // 2
    middle = (x1 + x2) // 2
    return f'<path d="M{x1} {y1}C{middle} {y1} {middle} {y2} {x2} {y2}"/>'


def _drawn(box: Box, services: str) -> Iterator[str]:
    left = box.x + 10
    yield f'<rect x="{box.x}" y="{box.y}" width="{_WIDTH}" height="{box.height}" rx="6"/>'
    yield f'<text class="title" x="{left}" y="{box.y + 20}">{escape(box.name)}</text>'
    for number, part in enumerate(box.parts):
        yield f'<text x="{left}" y="{box.y + 38 + number * _LINE}">{escape(part)}</text>'
    y = box.y + 38 + len(box.parts) * _LINE
    yield f'<text class="services" x="{left}" y="{y}">{escape(services)}</text>'


def main(arguments: list[str]) -> int:
    """Write the picture to standard output."""
    parser = argparse.ArgumentParser(prog="python -m delivery.diagram", description=main.__doc__)
    parser.add_argument("account", help="name of the account file")
    parser.add_argument("--assembly", type=Path, default=ASSEMBLY, help="cloud assembly. Default: %(default)s")
    given = parser.parse_args(arguments)
    sys.stdout.write(render(given.account, given.assembly))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

from collections.abc import Mapping
from typing import Literal

from constructs import Construct

from charts.kit.chart import ComponentChart
from charts.kit.objects import namespace

SecurityLevel = Literal["privileged", "baseline", "restricted"]


class Namespaces(ComponentChart):
    """Namespaces, each with the pod security level that it enforces.

    :param levels: level by namespace. The API server refuses pods below it, and warns of those below ``restricted``.
    """

    def __init__(self, scope: Construct, id: str, *, levels: Mapping[str, SecurityLevel]) -> None:
        super().__init__(scope, id)
        self.add(*(namespace(name, security=level) for name, level in levels.items()))

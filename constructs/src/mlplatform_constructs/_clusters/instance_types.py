"""Facts about EC2 instance types for planning node groups.

Recorded in October 2026 from what EC2's ``DescribeInstanceTypes`` answers in us-east-1, without bare metal, Macs and
types that no current EKS image starts on. It no longer lists p2 and the smaller p3: theirs are of the EC2 user guide.
"""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

EFA_INTERFACES: Mapping[str, int] = {
    "p4d.24xlarge": 4,
    "p4de.24xlarge": 4,
    "p5.4xlarge": 1,
    "p5.48xlarge": 32,
    "p5e.48xlarge": 32,
    "p5en.48xlarge": 16,
    "p6-b200.48xlarge": 8,
    "trn1.32xlarge": 8,
    "trn1n.32xlarge": 16,
    "trn2.48xlarge": 16,
}
"""EFA interfaces of the types that are built for training across nodes, one on each network card.

https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/efa-acc-inst-types.html
"""


@dataclass(frozen=True)
class InstanceType:
    """One line of the table.

    ``interfaces`` and ``addresses_per_interface`` are those of the first network card, from which the VPC CNI takes pod
    addresses. ``accelerator`` is empty if there is none.
    """

    name: str
    vcpus: int
    memory_mib: int
    interfaces: int
    addresses_per_interface: int
    architecture: str
    accelerator: str
    accelerators: int

    @property
    def family(self) -> str:
        """The part before the dot: ``g5`` of ``g5.xlarge``."""
        return self.name.partition(".")[0]


@cache
def instance_types() -> Mapping[str, InstanceType]:
    """The whole table, by name."""
    with files("mlplatform_constructs._clusters").joinpath("instance_types.csv").open(encoding="utf-8") as table:
        rows = csv.reader(table)
        next(rows)
        return {row[0]: _parse(*row) for row in rows}


def _parse(
    name: str,
    vcpus: str,
    memory_mib: str,
    interfaces: str,
    addresses_per_interface: str,
    architecture: str,
    accelerator: str,
    accelerators: str,
) -> InstanceType:
    return InstanceType(
        name,
        int(vcpus),
        int(memory_mib),
        int(interfaces),
        int(addresses_per_interface),
        architecture,
        accelerator,
        int(accelerators or 0),
    )

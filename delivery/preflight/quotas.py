"""The quotas that the platform can reach, with their codes in Service Quotas.

https://docs.aws.amazon.com/general/latest/gr/aws-service-information.html lists them by service.
"""

import re
from dataclasses import dataclass

GLOBAL_REGION = "us-east-1"
"""The Region in which Service Quotas serves global services."""


@dataclass(frozen=True)
class Quota:
    """One quota.

    :param service: the service code in Service Quotas.
    :param code: the quota code, unique in the service.
    :param name: the name in the console, with the unit unless it is a count.
    :param is_global: whether it applies to all Regions together.
    :param of_each: the resource that it applies to if not the account, such as a VPC or a cluster.
    """

    service: str
    code: str
    name: str
    is_global: bool = False
    of_each: str = ""

    @property
    def id(self) -> str:
        """The id in records and messages: ``ec2/L-1216C47A``."""
        return f"{self.service}/{self.code}"

    def link(self, region: str) -> str:
        """The console page on which an increase can be requested."""
        path = f"servicequotas/home/services/{self.service}/quotas/{self.code}"
        return f"https://{region}.console.aws.amazon.com/{path}"


VPCS = Quota("vpc", "L-F678F1CE", "VPCs per Region")
INTERNET_GATEWAYS = Quota("vpc", "L-A4707A72", "Internet gateways per Region")
NAT_GATEWAYS = Quota("vpc", "L-FE5A380F", "NAT gateways per Availability Zone", of_each="zone")
ENDPOINTS = Quota("vpc", "L-29B6F2EB", "Interface VPC endpoints per VPC", of_each="VPC")
SECURITY_GROUPS = Quota("vpc", "L-E79EC296", "VPC security groups per Region")
RULES = Quota("vpc", "L-0EA8095F", "Inbound or outbound rules per security group", of_each="security group")
ADDRESSES = Quota("ec2", "L-0263D0A3", "EC2-VPC Elastic IPs")
CLUSTERS = Quota("eks", "L-1194D53C", "Clusters")
NODE_GROUPS = Quota("eks", "L-6D54EA21", "Managed node groups per cluster", of_each="cluster")
NODES = Quota("eks", "L-BD136A63", "Nodes per managed node group", of_each="node group")
DATABASES = Quota("rds", "L-7B6409FD", "DB instances")
DATABASE_STORAGE = Quota("rds", "L-7ADDB58A", "Total storage for all DB instances, GB")
LUSTRE = Quota("fsx", "L-FD6F2F22", "Lustre Persistent_2 file systems")
LUSTRE_STORAGE = Quota("fsx", "L-8F1B9C74", "Lustre Persistent_2 storage capacity, GiB")
FILE_SYSTEMS = Quota("elasticfilesystem", "L-848C634D", "File systems per account")
LOAD_BALANCERS = Quota("elasticloadbalancing", "L-53DA6B97", "Application Load Balancers per Region")
EXECUTIONS = Quota("lambda", "L-B99A9384", "Concurrent executions")
ROLES = Quota("iam", "L-FE177D64", "Roles per account", is_global=True)

_STANDARD = "Standard (A, C, D, H, I, M, R, T, Z)"
_INSTANCES: dict[tuple[str, str], Quota] = {
    ("standard", "on_demand"): Quota("ec2", "L-1216C47A", f"Running On-Demand {_STANDARD} instances, vCPUs"),
    ("standard", "spot"): Quota("ec2", "L-34B43A08", f"All {_STANDARD} Spot Instance Requests, vCPUs"),
    ("g", "on_demand"): Quota("ec2", "L-DB2E81BA", "Running On-Demand G and VT instances, vCPUs"),
    ("g", "spot"): Quota("ec2", "L-3819A6DF", "All G and VT Spot Instance Requests, vCPUs"),
    ("p", "on_demand"): Quota("ec2", "L-417A185B", "Running On-Demand P instances, vCPUs"),
    ("p4", "spot"): Quota("ec2", "L-7212CCBC", "All P4, P3 and P2 Spot Instance Requests, vCPUs"),
    ("p5", "spot"): Quota("ec2", "L-C4BD4855", "All P5 Spot Instance Requests, vCPUs"),
    ("inf", "on_demand"): Quota("ec2", "L-1945791B", "Running On-Demand Inf instances, vCPUs"),
    ("inf", "spot"): Quota("ec2", "L-B5D1601B", "All Inf Spot Instance Requests, vCPUs"),
    ("trn", "on_demand"): Quota("ec2", "L-2C3B7624", "Running On-Demand Trn instances, vCPUs"),
    ("trn", "spot"): Quota("ec2", "L-6B0D517C", "All Trn Spot Instance Requests, vCPUs"),
}
_GENERATIONS = {"p2": "p4", "p3": "p4", "p4": "p4", "p5": "p5"}
"""The Spot quota of a P instance, which depends on its generation."""
_STANDARD_LETTERS = set("acdhimrtz")


def instance_quota(instance_type: str, capacity: str) -> Quota | None:
    """The quota of an instance type, or None if this table has none.

    :param capacity: ``on_demand`` or ``spot``.
    """
    letters = re.match(r"[a-z]+", instance_type)
    family = letters[0] if letters else ""
    if family == "p" and capacity == "spot":
        family = _GENERATIONS.get(instance_type[:2], "")
    elif family in ("g", "gr", "vt"):
        family = "g"
    elif family not in ("p", "inf", "trn", "hpc", "dl", "mac") and family[:1] in _STANDARD_LETTERS:
        family = "standard"
    return _INSTANCES.get((family, capacity))

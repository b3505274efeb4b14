"""Updates that AWS refuses and the emulator alone would carry out: by their step, or by what changes together.

The sentences of EKS and Kinesis are those that users report from AWS. Those of RDS and FSx say what the documentation
says; AWS may word them differently.
"""

import re
from collections.abc import Callable
from typing import Any

from ministack.services.cloudformation import stacks

from aws_rehearsal.emulator.patching import wrap
from aws_rehearsal.emulator.schemas import Properties

Update = Callable[..., Any]

_NODE_VERSION = frozenset({"LaunchTemplate", "ReleaseVersion", "Version"})
_MINOR = re.compile(r"(\d+)\.(\d+)")


class UpdateRefused(ValueError):
    """AWS refuses an update. The text becomes the reason of the resource's failure."""


def install() -> None:
    """Check each update of a stack before it reaches the resource. Rollbacks are not checked."""
    wrap(stacks, "_update_keeping_seed", _checking)


def _checking(update: Update) -> Update:
    def checking(resource_type: str, physical_id: str, old: Properties, new: Properties, *rest: Any) -> Any:
        if check := _CHECKS.get(resource_type):
            check(old, new)
        return update(resource_type, physical_id, old, new, *rest)

    return checking


def _node_group(old: Properties, new: Properties) -> None:
    """https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-eks-nodegroup.html"""
    changed = {name for name in old.keys() | new.keys() if old.get(name) != new.get(name)}
    if changed & _NODE_VERSION and changed - _NODE_VERSION - {"ForceUpdateEnabled"}:
        raise UpdateRefused(
            "You cannot update other properties at the same time as updating Version / ReleaseVersion "
            "(HandlerErrorCode: InvalidRequest)"
        )


def _cluster(old: Properties, new: Properties) -> None:
    """https://docs.aws.amazon.com/eks/latest/userguide/update-cluster.html"""
    versions = [_MINOR.fullmatch(str(one.get("Version", ""))) for one in (old, new)]
    if all(versions):
        before, after = (int(version[2]) for version in versions if version)
        if abs(after - before) > 1:
            raise UpdateRefused(
                f"Unsupported Kubernetes minor version update from {old['Version']} to {new['Version']} "
                "(Service: Eks, Status Code: 400, HandlerErrorCode: InvalidRequest)"
            )


def _stream(old: Properties, new: Properties) -> None:
    """https://docs.aws.amazon.com/kinesis/latest/APIReference/API_UpdateShardCount.html"""
    before, after = _numbers(old, new, "ShardCount")
    if after > before * 2 or after < before / 2:
        limit = "scale up over double" if after > before else "scale down below half"
        raise UpdateRefused(
            f"UpdateShardCount cannot {limit} your current open shard count. Current open shard count: {before:g} "
            f"Target shard count: {after:g} "
            "(Service: Kinesis, Status Code: 400, HandlerErrorCode: ServiceLimitExceeded)"
        )


def _database(old: Properties, new: Properties) -> None:
    """https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_PIOPS.ModifyingExisting.html"""
    before, after = _numbers(old, new, "AllocatedStorage")
    if after < before:
        raise UpdateRefused(
            f"Requested storage size ({after:g}) cannot be less than current storage size ({before:g}). "
            "(Service: Rds, Status Code: 400, HandlerErrorCode: InvalidRequest)"
        )
    if before < after and after * 10 < before * 11:
        raise UpdateRefused(
            f"Storage size must be increased by at least 10 percent, from {before:g} to {after:g}. "
            "(Service: Rds, Status Code: 400, HandlerErrorCode: InvalidRequest)"
        )


def _file_system(old: Properties, new: Properties) -> None:
    """https://docs.aws.amazon.com/fsx/latest/LustreGuide/managing-storage-capacity.html"""
    before, after = _numbers(old, new, "StorageCapacity")
    if before != after and after * 10 < before * 11:
        raise UpdateRefused(
            f"Storage capacity must be at least 10 percent greater than the current one, from {before:g} to {after:g} "
            "(Service: AmazonFSx, Status Code: 400, HandlerErrorCode: InvalidRequest)"
        )


def _numbers(old: Properties, new: Properties, name: str) -> tuple[float, float]:
    return float(old.get(name) or 0), float(new.get(name) or old.get(name) or 0)


_CHECKS: dict[str, Callable[[Properties, Properties], None]] = {
    "AWS::EKS::Cluster": _cluster,
    "AWS::EKS::Nodegroup": _node_group,
    "AWS::FSx::FileSystem": _file_system,
    "AWS::Kinesis::Stream": _stream,
    "AWS::RDS::DBInstance": _database,
}

from collections.abc import Sequence
from dataclasses import dataclass

from constructs import Construct

from charts.kit.chart import ComponentChart
from charts.kit.objects import Manifest, metadata

DEFAULT_CLASS = "gp3"
"""EKS creates no default class; claims without a class would stay pending."""

SHARED_CLASS = "shared"
TRAINING_DATA_VOLUME = "training-data"


class StorageClasses(ComponentChart):
    """Storage classes and volumes: encrypted gp3 disks by default, EFS for files that several pods write, Lustre.

    EFS gives each claim an access point, and mounts it over TLS as the role of the driver's pods on the node.

    :param key_arn: KMS key of the disks.
    :param file_system_id: EFS file system; each claim gets its own access point. Default: no storage class for EFS.
    :param lustre: FSx for Lustre file system that training pods mount, linked to the feature bucket. Default: none.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        key_arn: str,
        file_system_id: str | None = None,
        lustre: "LustreVolume | None" = None,
    ) -> None:
        super().__init__(scope, id)
        self.add(_disks(key_arn))
        if file_system_id:
            self.add(_shared(file_system_id))
        if lustre:
            self.add(*lustre.persistent_volumes())


@dataclass(frozen=True, kw_only=True)
class LustreVolume:
    """An FSx for Lustre file system as Kubernetes sees it.

    :param file_system_id: ``fs-...``.
    :param dns_name: where its metadata server answers.
    :param mount_name: its name on that server.
    :param capacity_gib: its size; Kubernetes requires one, Lustre enforces its own.
    :param teams: namespaces that get a volume each, since a volume binds one claim. Default: none.
    :param zone: its Availability Zone, an annotation of the volumes. It changes their text when the file system moves
        to another zone: id and names are known only at deployment, and the CDK CLI skips a stack without a change.
        Default: no annotation.
    """

    file_system_id: str
    dns_name: str
    mount_name: str
    capacity_gib: int
    teams: Sequence[str] = ()
    zone: str | None = None

    def persistent_volumes(self) -> list[Manifest]:
        """A volume for any claim, and one for the claim ``training-data`` of each team. They outlive claims.

        Each has a unique handle, because the kubelet treats volumes with the same handle as one volume. Each is named
        after its file system, because the API rejects another source for a volume: another file system gets other
        volumes.
        """
        teams = [self._volume(f"-{team}", f"{self.file_system_id}/{team}", team) for team in self.teams]
        return [self._volume("", self.file_system_id), *teams]

    def _volume(self, suffix: str, handle: str, team: str | None = None) -> Manifest:
        reserved = {"claimRef": {"namespace": team, "name": TRAINING_DATA_VOLUME}} if team else {}
        place = {"mlplatform/availability-zone": self.zone} if self.zone else {}
        return {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": metadata(f"{TRAINING_DATA_VOLUME}-{self.file_system_id}{suffix}", annotations=place),
            "spec": {
                "capacity": {"storage": f"{self.capacity_gib}Gi"},
                "accessModes": ["ReadWriteMany"],
                "persistentVolumeReclaimPolicy": "Retain",
                "storageClassName": TRAINING_DATA_VOLUME,
                "mountOptions": ["flock"],
                "csi": {
                    "driver": "fsx.csi.aws.com",
                    "volumeHandle": handle,
                    "volumeAttributes": {"dnsname": self.dns_name, "mountname": self.mount_name},
                },
                **reserved,
            },
        }


def _disks(key_arn: str) -> Manifest:
    marks = {"storageclass.kubernetes.io/is-default-class": "true"}
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": metadata(DEFAULT_CLASS, annotations=marks),
        "provisioner": "ebs.csi.aws.com",
        "parameters": {"type": "gp3", "encrypted": "true", "kmsKeyId": key_arn},
        "allowVolumeExpansion": True,
        "reclaimPolicy": "Delete",
        "volumeBindingMode": "WaitForFirstConsumer",  # a disk lives in one zone: the pod's
    }


def _shared(file_system_id: str) -> Manifest:
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": metadata(SHARED_CLASS),
        "provisioner": "efs.csi.aws.com",
        "parameters": {
            "provisioningMode": "efs-ap",
            "fileSystemId": file_system_id,
            "directoryPerms": "700",
            "basePath": "/claims",
        },
        "mountOptions": ["tls", "iam"],  # the file system takes no others
        "reclaimPolicy": "Delete",
        "volumeBindingMode": "Immediate",
    }

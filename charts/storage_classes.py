from constructs import Construct

from charts.manifest_chart import Manifest, ManifestChart, metadata

DEFAULT_CLASS = "gp3"
"""EKS makes no default class; claims that name none would stay pending."""

SHARED_CLASS = "shared"
TRAINING_DATA_VOLUME = "training-data"


class StorageClasses(ManifestChart):
    """Where volumes come from: encrypted gp3 disks by default, EFS for what several pods write, Lustre for training.

    EFS gives each claim an access point, and mounts it over TLS as the role of the driver's pods on the node.

    :param key_arn: KMS key of the disks.
    :param file_system_id: EFS file system; each claim gets an access point of its own. Default: no class for it.
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
            self.add(lustre.persistent_volume())


class LustreVolume:
    """An FSx for Lustre file system as Kubernetes sees it.

    :param file_system_id: ``fs-...``.
    :param dns_name: where its metadata server answers.
    :param mount_name: its name on that server.
    :param capacity_gib: its size; Kubernetes wants one, Lustre enforces its own.
    """

    def __init__(self, *, file_system_id: str, dns_name: str, mount_name: str, capacity_gib: int) -> None:
        self.file_system_id = file_system_id
        self.dns_name = dns_name
        self.mount_name = mount_name
        self.capacity_gib = capacity_gib

    def persistent_volume(self) -> Manifest:
        """The one volume that all claims of training data bind to, kept when a claim goes."""
        return {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": metadata(TRAINING_DATA_VOLUME),
            "spec": {
                "capacity": {"storage": f"{self.capacity_gib}Gi"},
                "accessModes": ["ReadWriteMany"],
                "persistentVolumeReclaimPolicy": "Retain",
                "storageClassName": TRAINING_DATA_VOLUME,
                "mountOptions": ["flock"],
                "csi": {
                    "driver": "fsx.csi.aws.com",
                    "volumeHandle": self.file_system_id,
                    "volumeAttributes": {"dnsname": self.dns_name, "mountname": self.mount_name},
                },
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

"""The EKS add-ons of every cluster, beyond those without which no node becomes ready."""

from collections.abc import Sequence

from aws_cdk import Acknowledgment, Validations
from aws_cdk import aws_eks_v2 as eks
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct, IDependable

from charts.edge.external_dns.values import external_dns_configuration
from charts.kit.objects import Manifest
from mlplatform_constructs import (
    EncryptionKeys,
    HostedZones,
    LustreFileSystem,
    ProvidedObjects,
    Readiness,
    SharedFileSystem,
    WorkloadRole,
)

from ..._wiring.installer import Installer

_WEBHOOK = "cert-manager-webhook"
_EBS_POLICY = "AmazonEBSCSIDriverEKSClusterScopedPolicy"


class AddOns(Construct):
    """Drivers of volumes and secrets, metrics, certificates, and names in DNS.

    - ``all``: every add-on.
    - ``certificates``: cert-manager's webhook answers from here on.

    :param namespaces: exist before the add-ons that would create them without a pod security level.
    :param disk_key: encrypts disks that claims are given.
    :param workspaces: EFS file system for claims that several pods write.
    :param lustre: whether there is an FSx for Lustre file system to mount. Default: none.
    :param hosted_zones: zones in which external-dns writes names. Default: external-dns is not installed.
    :param reserved_names: names of the platform itself, which external-dns cannot change. Default: none.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        installer: Installer,
        namespaces: IDependable,
        disk_key: kms.IKey,
        workspaces: SharedFileSystem,
        lustre: LustreFileSystem | None = None,
        hosted_zones: HostedZones | None = None,
        reserved_names: Sequence[str] = (),
    ) -> None:
        super().__init__(scope, id)
        self._installer, self._namespaces = installer, namespaces
        placement = installer.placement
        metrics = installer.add_on(self, "metrics-server", configuration=placement)
        self.all: list[eks.CfnAddon] = [
            metrics,
            self._disks(disk_key),
            self._shared_files(workspaces),
            *([self._lustre()] if lustre else []),
            *([self._names(hosted_zones, reserved_names)] if hosted_zones else []),
        ]
        self.all.append(self._secrets())
        certificates = installer.add_on(
            self,
            "cert-manager",
            configuration={**placement, "webhook": placement, "cainjector": placement},
            after=[namespaces],
        )
        self.all.append(certificates)
        self.certificates = ProvidedObjects(
            self,
            "Certificates",
            cluster=installer.cluster.cluster,
            by=certificates,
            definitions=installer.catalog.definitions("base/cert_manager"),
            ready=[
                Readiness.rolled_out("Deployment", _WEBHOOK, namespace="cert-manager"),
                Readiness.certificate_injected("MutatingWebhookConfiguration", _WEBHOOK),
                Readiness.certificate_injected("ValidatingWebhookConfiguration", _WEBHOOK),
            ],
        )

    def _disks(self, key: kms.IKey) -> eks.CfnAddon:
        """EBS. A grant on the key lets EC2 decrypt a disk for as long as it is attached. The driver uses the key by way
        of EC2 alone, so that it decrypts nothing else that is encrypted with it.

        The policy compares the tag ``ebs.csi.aws.com/cluster-name`` of disks, and that or ``eks:cluster-name`` of
        nodes, with the session tag of Pod Identity.

        https://docs.aws.amazon.com/eks/latest/userguide/ebs-csi.html
        """
        role = self._installer.role(self, "Disks", "ebs-csi-controller")
        EncryptionKeys.grant_encrypt_disks(role, key)
        role.add_managed_policy(iam.ManagedPolicy.from_aws_managed_policy_name(_EBS_POLICY))
        Validations.of(role).acknowledge(
            Acknowledgment(
                id=f"AwsSolutions-IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/{_EBS_POLICY}]",
                reason="AWS maintains it for its driver, limited to disks and nodes that carry the name of the cluster",
            )
        )
        return self._driver("aws-ebs-csi-driver", [role], node={"reservedVolumeAttachments": self._kept_attachments()})

    def _kept_attachments(self) -> int:
        """Attachments of a node that its own disk and network interfaces take, of those that it has for all of these.

        The driver counts one interface, because pods do not reach the instance metadata, and asks once, before the VPC
        CNI attaches more. Groups with accelerators count only where there are no others: they have many interfaces and
        few pods with disks.

        https://github.com/kubernetes-sigs/aws-ebs-csi-driver/blob/master/docs/faq.md
        """
        specs = self._installer.cluster.node_groups
        counted = [spec for spec in specs if not spec.instance.accelerators] or specs
        return max(spec.instance.interfaces for spec in counted)

    def _shared_files(self, workspaces: SharedFileSystem) -> eks.CfnAddon:
        """EFS: the controller makes an access point for each claim, the pods on the nodes mount through them."""
        controller = self._installer.role(self, "SharedFiles", "efs-csi-controller")
        workspaces.grant_manage_access_points(controller)
        node = self._installer.role(self, "SharedFilesOnNodes", "efs-csi-node")
        workspaces.grant_read_write(node)
        return self._driver("aws-efs-csi-driver", [controller, node])

    def _lustre(self) -> eks.CfnAddon:
        """FSx for Lustre. Mounting needs no AWS role, and claims cannot create file systems."""
        return self._driver("aws-fsx-csi-driver", [])

    def _driver(self, name: str, roles: Sequence[WorkloadRole], **more: Manifest) -> eks.CfnAddon:
        """Controllers run with the platform's own pods, the rest on every node, whatever its taints.

        :param more: further keys of its configuration.
        """
        return self._installer.add_on(
            self,
            name,
            configuration={"controller": self._installer.placement, **more},
            after=self._installer.settled(*roles),
        )

    def _secrets(self) -> eks.CfnAddon:
        """Secrets Manager. Each pod reads with its own role; what changes there reaches mounted files and Secrets.

        Kubernetes Secrets exist while a pod mounts the class that makes them.
        """
        name = "aws-secrets-store-csi-driver-provider"
        driver = {
            "syncSecret": {"enabled": True},
            "enableSecretRotation": True,
            "rotationPollInterval": "2m",
        }
        add_on = self._installer.add_on(
            self, name, configuration={"tolerations": [{"operator": "Exists"}], "secrets-store-csi-driver": driver}
        )
        ProvidedObjects(
            self,
            "Secrets",
            cluster=self._installer.cluster.cluster,
            by=add_on,
            definitions=self._installer.catalog.definitions("base/secrets_store"),
        )
        return add_on

    def _names(self, zones: HostedZones, reserved: Sequence[str]) -> eks.CfnAddon:
        """Names of Ingresses and Services, in the platform's zones and no others. They go with what they name."""
        public, private = zones.public_zone, zones.private_zone
        role = self._installer.role(self, "Names", "external-dns")
        zones.grant_write_records(role, reserved=reserved)
        configuration = external_dns_configuration(
            cluster_name=self._installer.cluster.cluster_name,
            domains=[public.zone_name, private.zone_name],
            placement=self._installer.placement,
        )
        return self._installer.add_on(
            self, "external-dns", configuration=configuration, after=[self._namespaces, *self._installer.settled(role)]
        )

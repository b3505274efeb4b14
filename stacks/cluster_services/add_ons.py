"""The EKS add-ons of every cluster, beyond those without which no node becomes ready."""

from collections.abc import Sequence

from aws_cdk import Acknowledgment, Validations
from aws_cdk import aws_eks_v2 as eks
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct

from charts.definitions import DEFINITIONS
from mlplatform_constructs import (
    HostedZones,
    LustreFileSystem,
    ProvidedObjects,
    Readiness,
    SharedFileSystem,
    WorkloadRole,
)

from .installer import Allow, Installer

_KUBE_SYSTEM = "kube-system"
_WEBHOOK = "cert-manager-webhook"
_EBS_POLICY = "service-role/AmazonEBSCSIDriverPolicy"


class AddOns(Construct):
    """Drivers of volumes and secrets, metrics, certificates, and names in DNS.

    - ``all``: every add-on.
    - ``certificates``: is there when cert-manager's webhook can be asked.

    :param disk_key: encrypts disks that claims are given.
    :param workspaces: EFS file system for claims that several pods write.
    :param lustre: whether there is an FSx for Lustre file system to mount. Default: none.
    :param hosted_zones: where external-dns may write names. Default: it is left out.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        installer: Installer,
        disk_key: kms.IKey,
        workspaces: SharedFileSystem,
        lustre: LustreFileSystem | None = None,
        hosted_zones: HostedZones | None = None,
    ) -> None:
        super().__init__(scope, id)
        self._installer = installer
        placement = installer.placement
        metrics = installer.add_on(self, "metrics-server", configuration=placement)
        installer.let_roles_settle(metrics)
        self.all: list[eks.CfnAddon] = [
            metrics,
            self._disks(disk_key),
            self._shared_files(workspaces),
            *([self._lustre()] if lustre else []),
            *([self._names(hosted_zones)] if hosted_zones else []),
        ]
        self.all.append(self._secrets())
        certificates = installer.add_on(
            self, "cert-manager", configuration={**placement, "webhook": placement, "cainjector": placement}
        )
        self.all.append(certificates)
        self.certificates = ProvidedObjects(
            self,
            "Certificates",
            cluster=installer.cluster.cluster,
            by=certificates,
            namespaces=["cert-manager"],
            definitions=DEFINITIONS["cert-manager"],
            ready=[
                Readiness.rolled_out("Deployment", _WEBHOOK, namespace="cert-manager"),
                Readiness.certificate_injected("MutatingWebhookConfiguration", _WEBHOOK),
                Readiness.certificate_injected("ValidatingWebhookConfiguration", _WEBHOOK),
            ],
        )

    def _disks(self, key: kms.IKey) -> eks.CfnAddon:
        """EBS. A grant on the key lets EC2 decrypt a disk for as long as it is attached.

        https://docs.aws.amazon.com/eks/latest/userguide/ebs-csi.html
        """
        role = self._installer.role(
            self,
            "Disks",
            "ebs-csi-controller-sa",
            namespace=_KUBE_SYSTEM,
            allow=[
                Allow(
                    actions=[
                        "kms:Decrypt",
                        "kms:DescribeKey",
                        "kms:Encrypt",
                        "kms:GenerateDataKeyWithoutPlaintext",
                        "kms:ReEncryptFrom",
                        "kms:ReEncryptTo",
                    ],
                    resources=[key.key_arn],
                ),
                Allow(
                    actions=["kms:CreateGrant"],
                    resources=[key.key_arn],
                    conditions={"Bool": {"kms:GrantIsForAWSResource": "true"}},
                ),
            ],
        )
        role.add_managed_policy(iam.ManagedPolicy.from_aws_managed_policy_name(_EBS_POLICY))
        Validations.of(role).acknowledge(
            Acknowledgment(
                id=f"AwsSolutions-IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/{_EBS_POLICY}]",
                reason="AWS keeps what its driver needs up to date there, for disks that the driver has tagged",
            )
        )
        return self._driver("aws-ebs-csi-driver", [role])

    def _shared_files(self, workspaces: SharedFileSystem) -> eks.CfnAddon:
        """EFS: the controller makes an access point for each claim, the pods on the nodes mount through them."""
        file_system = workspaces.file_system.file_system_arn
        points = self._installer.arn("elasticfilesystem", "access-point/*")
        tag = "efs.csi.aws.com/cluster"
        controller = self._installer.role(
            self,
            "SharedFiles",
            "efs-csi-controller-sa",
            namespace=_KUBE_SYSTEM,
            allow=[
                Allow(
                    actions=[
                        "elasticfilesystem:DescribeAccessPoints",
                        "elasticfilesystem:DescribeFileSystems",
                        "elasticfilesystem:DescribeMountTargets",
                    ],
                    resources=[file_system, points],
                    why="access points that are yet to come",
                ),
                Allow(actions=["ec2:DescribeAvailabilityZones"], resources=["*"], why="EC2 knows no narrower one"),
                Allow(
                    actions=["elasticfilesystem:CreateAccessPoint"],
                    resources=[file_system],
                    conditions={"StringEquals": {f"aws:RequestTag/{tag}": "true"}},
                ),
                Allow(
                    actions=["elasticfilesystem:TagResource"],
                    resources=[file_system, points],
                    conditions={"StringEquals": {"elasticfilesystem:CreateAction": "CreateAccessPoint"}},
                    why="access points that are yet to come, tagged as they are made",
                ),
                Allow(
                    actions=["elasticfilesystem:DeleteAccessPoint"],
                    resources=[points],
                    conditions={"StringEquals": {f"aws:ResourceTag/{tag}": "true"}},
                    why="access points that the driver has made",
                ),
            ],
        )
        node = self._installer.role(self, "SharedFilesOnNodes", "efs-csi-node-sa", namespace=_KUBE_SYSTEM)
        workspaces.grant_read_write(node)
        return self._driver("aws-efs-csi-driver", [controller, node])

    def _lustre(self) -> eks.CfnAddon:
        """FSx for Lustre. Mounting takes no AWS role, and nobody may make file systems by a claim."""
        return self._driver("aws-fsx-csi-driver", [])

    def _driver(self, name: str, roles: Sequence[WorkloadRole]) -> eks.CfnAddon:
        """Controllers run with the platform's own pods, the rest on every node, whatever its taints."""
        return self._installer.add_on(
            self,
            name,
            configuration={"controller": self._installer.placement},
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
            definitions=DEFINITIONS[name],
        )
        return add_on

    def _names(self, zones: HostedZones) -> eks.CfnAddon:
        """Names of Ingresses and Services, in the platform's zones and no others. They go with what they name."""
        public, private = zones.public_zone, zones.private_zone
        role = self._installer.role(
            self,
            "Names",
            "external-dns",
            namespace="external-dns",
            allow=[
                Allow(
                    actions=[
                        "route53:ChangeResourceRecordSets",
                        "route53:ListResourceRecordSets",
                        "route53:ListTagsForResources",
                    ],
                    resources=[public.hosted_zone_arn, private.hosted_zone_arn],
                ),
                Allow(actions=["route53:ListHostedZones"], resources=["*"], why="Route 53 knows no narrower one"),
            ],
        )
        configuration = {
            **self._installer.placement,
            "policy": "sync",
            "registry": "txt",
            "txtOwnerId": self._installer.cluster.cluster_name,
            "domainFilters": [public.zone_name, private.zone_name],
            "sources": ["service", "ingress"],
            "triggerLoopOnEvent": True,
        }
        return self._installer.add_on(
            self, "external-dns", configuration=configuration, after=self._installer.settled(role)
        )

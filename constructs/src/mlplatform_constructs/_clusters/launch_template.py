"""The launch template of a node group: disks, metadata, user data, EFA."""

from collections.abc import Sequence
from dataclasses import dataclass

from aws_cdk import CfnTag, Fn
from aws_cdk import aws_ec2 as ec2

from .node_group import NodeGroupSpec

_BOUNDARY = "node-config"
_Data = ec2.CfnLaunchTemplate.LaunchTemplateDataProperty


@dataclass(frozen=True)
class ControlPlane:
    """Attributes of the control plane for its nodes; read once, because each read is a jsii call.

    :param path: construct path of the cluster, for the Name tags of nodes.
    :param cluster_name: token, so that its users are created after the cluster.
    """

    path: str
    cluster_name: str
    endpoint: str
    certificate_authority: str
    service_cidr: str
    node_role_arn: str


def launch_template_data(
    spec: NodeGroupSpec,
    control_plane: ControlPlane,
    *,
    security_groups: Sequence[str] = (),
    placement_group: str | None = None,
) -> _Data:
    """Encrypted disks, instance metadata that stop at the node (one network hop does not reach into a pod), and EFA.

    Disks use the account's own key for EBS. A customer key would need a statement for the service-linked role of Auto
    Scaling, which a new account does not have yet.

    :param security_groups: of the network interfaces, where EFA needs them to be spelled out.
    :param placement_group: name of a cluster placement group. Default: none.
    """
    bottlerocket = (spec.image or "").startswith("BOTTLEROCKET")
    tags = [CfnTag(key="Name", value=f"{control_plane.path}/{spec.name}")]
    user_data = _bottlerocket_settings(spec) if bottlerocket else _node_config(spec, control_plane)
    throughput = spec.disk_throughput
    return _Data(
        image_id=spec.image_id,
        user_data=Fn.base64(user_data) if user_data else None,
        block_device_mappings=[
            ec2.CfnLaunchTemplate.BlockDeviceMappingProperty(
                device_name="/dev/xvdb" if bottlerocket else "/dev/xvda",  # Bottlerocket's first disk is its system
                ebs=ec2.CfnLaunchTemplate.EbsProperty(
                    encrypted=True,
                    volume_type="gp3",
                    volume_size=spec.disk_gib,
                    throughput=throughput,
                    iops=max(3000, 4 * throughput),  # a gp3 volume has at most 0.25 MiB/s for each of them
                    delete_on_termination=True,
                ),
            )
        ],
        metadata_options=ec2.CfnLaunchTemplate.MetadataOptionsProperty(
            http_endpoint="enabled", http_tokens="required", http_put_response_hop_limit=1
        ),
        network_interfaces=_efa_interfaces(spec, security_groups) if spec.efa else None,
        placement=ec2.CfnLaunchTemplate.PlacementProperty(group_name=placement_group) if placement_group else None,
        tag_specifications=[
            ec2.CfnLaunchTemplate.TagSpecificationProperty(resource_type=kind, tags=tags)
            for kind in ("instance", "volume")
        ],
    )


def _efa_interfaces(
    spec: NodeGroupSpec, security_groups: Sequence[str]
) -> list[ec2.CfnLaunchTemplate.NetworkInterfaceProperty]:
    """One on each network card. All but the first carry EFA alone, and take no address of the subnet.

    https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/efa-acc-inst-types.html
    """
    return [
        ec2.CfnLaunchTemplate.NetworkInterfaceProperty(
            network_card_index=card,
            device_index=min(card, 1),
            interface_type="efa-only" if card else "efa",
            groups=list(security_groups),
            delete_on_termination=True,
        )
        for card in range(spec.efa_interfaces)
    ]


def _bottlerocket_settings(spec: NodeGroupSpec) -> str | None:
    """https://bottlerocket.dev/en/os/latest/#/api/settings/bootstrap-commands/"""
    settings = f"[settings.kubernetes]\nmax-pods = {spec.max_pods}\n" if spec.max_pods else ""
    if spec.instance.accelerators:
        settings += (
            "[settings.bootstrap-commands.local-storage]\n"
            'commands = [["apiclient", "ephemeral-storage", "init"], ["apiclient", "ephemeral-storage", "bind", '
            '"--dirs", "/var/lib/containerd", "/var/lib/kubelet", "/var/log/pods"]]\n'
            'essential = true\nmode = "always"\n'
        )
    return settings or None


def _node_config(spec: NodeGroupSpec, control_plane: ControlPlane) -> str | None:
    """The settings of ``nodeadm``: those that EKS does not pass to its own images, or all for a custom image.

    Local NVMe disks of accelerators become one RAID 0 for containers' layers and ``emptyDir`` volumes; an instance
    without such disks is unchanged. https://awslabs.github.io/amazon-eks-ami/nodeadm/doc/api/
    """
    lines: list[str] = []
    if spec.image_id:
        lines += [
            "  cluster:",
            f"    name: {control_plane.cluster_name}",
            f"    apiServerEndpoint: {control_plane.endpoint}",
            f"    certificateAuthority: {control_plane.certificate_authority}",
            f"    cidr: {control_plane.service_cidr}",
        ]
    if spec.instance.accelerators:
        lines += ["  instance:", "    localStorage:", "      strategy: RAID0"]
    if spec.max_pods or spec.image_id:
        lines.append("  kubelet:")
    if spec.max_pods:
        lines += ["    config:", f"      maxPods: {spec.max_pods}"]
    if spec.image_id:
        labels = ",".join(f"{key}={value}" for key, value in spec.labels.items())
        taints = ",".join(f"{t['key']}={t['value']}:{t['effect']}" for t in spec.taints)
        flags = [f"--node-labels={labels}", *([f"--register-with-taints={taints}"] if taints else [])]
        lines += ["    flags:", *(f"      - {flag}" for flag in flags)]
    if not lines:
        return None
    return _as_mime("\n".join(["apiVersion: node.eks.aws/v1alpha1", "kind: NodeConfig", "spec:", *lines]))


def _as_mime(node_config: str) -> str:
    """EKS joins its own part to user data of more than one part only.

    https://docs.aws.amazon.com/eks/latest/userguide/launch-templates.html
    """
    return (
        f'MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary="{_BOUNDARY}"\n\n'
        f"--{_BOUNDARY}\nContent-Type: application/node.eks.aws\n\n{node_config}\n\n--{_BOUNDARY}--\n"
    )

"""What a node group becomes in EKS."""

from collections.abc import Sequence
from dataclasses import dataclass

from aws_cdk import CfnTag, Fn
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_eks_v2 as eks
from constructs import Construct

from ._node_group import NodeGroupSpec
from ._node_group_sizes import NodeGroupSizes, PlacedGroup

_BOUNDARY = "node-config"


@dataclass(frozen=True)
class Control:
    """What nodes must know of their control plane; read once, because each read is a call into the CDK."""

    cluster: eks.Cluster
    path: str
    cluster_name: str
    node_role_arn: str
    minor: str
    service_cidr: str


def create_node_groups(
    scope: Construct,
    templates: Construct,
    spec: NodeGroupSpec,
    *,
    control: Control,
    groups: Sequence[PlacedGroup],
    sizes: NodeGroupSizes,
) -> None:
    """The managed node groups of a spec, all from one launch template.

    Each starts with its minimum. After that the autoscaler decides, and a deployment keeps what it finds.

    :param scope: where the groups go.
    :param templates: where the launch template goes.
    :param sizes: tells how many nodes each of the groups has.
    """
    template = _launch_template(templates, spec, control)
    launch_template = eks.CfnNodegroup.LaunchTemplateSpecificationProperty(
        id=template.ref, version=template.attr_latest_version_number
    )
    own_image = spec.image_id is not None
    for group in groups:
        eks.CfnNodegroup(
            scope,
            group.place,
            cluster_name=control.cluster_name,
            node_role=control.node_role_arn,
            subnets=list(group.subnets),
            ami_type=spec.image,
            version=None if own_image else control.minor,
            capacity_type=spec.capacity.upper(),
            instance_types=list(spec.instance_types),
            scaling_config=eks.CfnNodegroup.ScalingConfigProperty(
                min_size=group.least, desired_size=sizes.desired(group), max_size=group.most
            ),
            labels=spec.labels,
            taints=[
                eks.CfnNodegroup.TaintProperty(key=t["key"], value=t["value"], effect="NO_SCHEDULE")
                for t in spec.taints
            ],
            tags=spec.node_template_tags,
            launch_template=launch_template,
            # A disruption budget that cannot be kept stops an upgrade instead of being ignored.
            force_update_enabled=False,
        )


def _launch_template(scope: Construct, spec: NodeGroupSpec, control: Control) -> ec2.CfnLaunchTemplate:
    """Encrypted disks, and instance metadata that stop at the node: one network hop does not reach into a pod.

    Disks use the account's own key for EBS. A customer key would need a statement for the service-linked role of Auto
    Scaling, which a new account does not have yet.
    """
    bottlerocket = (spec.image or "").startswith("BOTTLEROCKET")
    tags = [CfnTag(key="Name", value=f"{control.path}/{spec.name}")]
    user_data = _user_data(spec, control, bottlerocket)
    return ec2.CfnLaunchTemplate(
        scope,
        spec.name,
        launch_template_data=ec2.CfnLaunchTemplate.LaunchTemplateDataProperty(
            image_id=spec.image_id,
            user_data=Fn.base64(user_data) if user_data else None,
            block_device_mappings=[
                ec2.CfnLaunchTemplate.BlockDeviceMappingProperty(
                    device_name="/dev/xvdb" if bottlerocket else "/dev/xvda",  # Bottlerocket's first disk is its system
                    ebs=ec2.CfnLaunchTemplate.EbsProperty(
                        encrypted=True, volume_type="gp3", volume_size=spec.disk_gib, delete_on_termination=True
                    ),
                )
            ],
            metadata_options=ec2.CfnLaunchTemplate.MetadataOptionsProperty(
                http_endpoint="enabled", http_tokens="required", http_put_response_hop_limit=1
            ),
            tag_specifications=[
                ec2.CfnLaunchTemplate.TagSpecificationProperty(resource_type=kind, tags=tags)
                for kind in ("instance", "volume")
            ],
        ),
    )


def _user_data(spec: NodeGroupSpec, control: Control, bottlerocket: bool) -> str | None:
    """What EKS does not tell its own images, or everything where the image is not one of EKS's."""
    if spec.max_pods and bottlerocket:
        return f"[settings.kubernetes]\nmax-pods = {spec.max_pods}\n"
    lines = []
    if spec.image_id:
        lines += [
            "  cluster:",
            f"    name: {control.cluster_name}",
            f"    apiServerEndpoint: {control.cluster.cluster_endpoint}",
            f"    certificateAuthority: {control.cluster.cluster_certificate_authority_data}",
            f"    cidr: {control.service_cidr}",
        ]
    if spec.max_pods or spec.image_id:
        lines.append("  kubelet:")
    if spec.max_pods:
        lines += ["    config:", f"      maxPods: {spec.max_pods}"]
    if spec.image_id:
        labels = ",".join(f"{key}={value}" for key, value in spec.labels.items())
        taints = ",".join(f"{t['key']}={t['value']}:{t['effect']}" for t in spec.taints)
        flags = [f"--node-labels={labels}", *([f"--register-with-taints={taints}"] if taints else [])]
        lines += ["    flags:", *(f"      - {flag}" for flag in flags)]
    return (
        _as_mime("\n".join(["apiVersion: node.eks.aws/v1alpha1", "kind: NodeConfig", "spec:", *lines]))
        if lines
        else None
    )


def _as_mime(node_config: str) -> str:
    """EKS joins its own part to user data of more than one part only.

    https://docs.aws.amazon.com/eks/latest/userguide/launch-templates.html
    """
    return (
        f'MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary="{_BOUNDARY}"\n\n'
        f"--{_BOUNDARY}\nContent-Type: application/node.eks.aws\n\n{node_config}\n\n--{_BOUNDARY}--\n"
    )

import jsii
from aws_cdk import Acknowledgment, Duration, Stack, Tags, Validations
from aws_cdk import aws_autoscaling as autoscaling
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3_assets as s3_assets
from constructs import Construct

from .._arguments import ConfigurationError, checked

_IMAGES = {
    ec2.InstanceArchitecture.ARM_64: "arm64",
    ec2.InstanceArchitecture.X86_64: "x86_64",
}


@jsii.implements(ec2.IConnectable, iam.IGrantable)
class Bastion(Construct):
    """Hosts in private subnets that give administrators access to endpoints of the VPC, such as private EKS endpoints.

    Access is by Session Manager: no port is open, no key pair exists, and IAM authorizes sessions. Two ways to work:

    - on a host, with its role: ``aws ssm start-session --target <instance>``. Amazon Linux brings the AWS CLI;
      ``tools`` adds the rest;
    - from one's own machine, through a host: ``aws ssm start-session --target <instance> --document-name
      AWS-StartPortForwardingSessionToRemoteHost --parameters host=<endpoint>,portNumber=443,localPortNumber=8443``.

    Admit the hosts with ``allow_from(bastion)`` on the other side's ``connections``, and ``role`` by an access entry.
    By default the hosts reach port 443 only: AWS services, private Kubernetes endpoints.

    Hosts are replaced, the new one first, when their template changes and at least every 30 days, each time by the
    newest Amazon Linux 2023. A deployment waits until new hosts report that their tools are installed, and rolls back
    if they do not.

    :param vpc: network of the hosts, with private subnets from which AWS can be reached; where that is by interface
        endpoints, make ``auto_scaling_group`` depend on them (``Network.connectivity``).
    :param highly_available: two hosts in two zones at least. ``False`` keeps one: when it or its zone fails, access
        is lost for the minutes that a new one takes (business continuity, not high availability). Default: ``True``.
    :param instance_type: type of the hosts; decides the processor of image and tools. Default: ``t4g.small``.
    :param tools: zip archive of executables for that processor, such as kubectl and helm; found on every user's path.
        It is downloaded from S3 in this account, without a route to the internet. Default: none.
    """

    @checked
    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        vpc: ec2.IVpc,
        highly_available: bool = True,
        instance_type: ec2.InstanceType | None = None,
        tools: s3_assets.Asset | None = None,
    ) -> None:
        super().__init__(scope, id)
        private = vpc.private_subnets
        zones = {subnet.availability_zone for subnet in private}
        hosts = 2 if highly_available else 1
        if len(zones) < hosts:
            raise ConfigurationError(
                f"{self.node.path}: vpc has private subnets in {len(zones)} zones, needs {hosts}; add zones or set "
                "highly_available=False"
            )

        self.role = iam.Role(
            self,
            "Role",
            description="Hosts from which administrators reach the private network",
            assumed_by=iam.ServicePrincipal("ec2.amazonaws.com"),
            managed_policies=[iam.ManagedPolicy.from_aws_managed_policy_name("AmazonSSMManagedInstanceCore")],
        )
        self.security_group = ec2.SecurityGroup(
            self, "SecurityGroup", vpc=vpc, description="Bastion hosts: nothing in, 443 out", allow_all_outbound=False
        )
        self.security_group.add_egress_rule(ec2.Peer.any_ipv4(), ec2.Port.HTTPS, "AWS and Kubernetes APIs")
        self._connections = ec2.Connections(security_groups=[self.security_group])
        user_data = self._user_data(tools)
        self.auto_scaling_group = self._group(
            vpc, hosts, self._launch_template(instance_type or ec2.InstanceType("t4g.small"), user_data)
        )
        user_data.add_signal_on_exit_command(self.auto_scaling_group)
        # What the first boot needs: a route to AWS, and the role with its policies.
        ways_out = [subnet.internet_connectivity_established for subnet in private]
        self.auto_scaling_group.node.add_dependency(self.role, *ways_out)
        self._acknowledge()

    @property
    @jsii.member(jsii_name="connections")
    def connections(self) -> ec2.Connections:
        """Network rules from the hosts to others; the hosts accept no connection."""
        return self._connections

    @property
    @jsii.member(jsii_name="grantPrincipal")
    def grant_principal(self) -> iam.IPrincipal:
        """The hosts' role, for grants."""
        return self.role

    def _user_data(self, tools: s3_assets.Asset | None) -> ec2.UserData:
        user_data = ec2.UserData.for_linux()
        # Not every image of Amazon Linux 2023 can signal. Its packages are in S3, like everything else here.
        user_data.add_commands("set -eu", "[ -x /opt/aws/bin/cfn-signal ] || dnf install -y -q aws-cfn-bootstrap")
        if tools:
            self.role.add_to_policy(
                iam.PolicyStatement(
                    actions=["s3:GetObject"], resources=[tools.bucket.arn_for_objects(tools.s3_object_key)]
                )
            )
            archive = user_data.add_s3_download_command(
                bucket=tools.bucket, bucket_key=tools.s3_object_key, region=Stack.of(self).region
            )
            user_data.add_commands(
                f"python3 -m zipfile -e '{archive}' /opt/tools",
                "chmod -R a+rx /opt/tools",
                "find /opt/tools -type f -exec ln -sf -t /usr/local/bin {} +",
                f"rm '{archive}'",
            )
        user_data.add_commands("systemctl start amazon-ssm-agent")
        return user_data

    def _launch_template(self, instance_type: ec2.InstanceType, user_data: ec2.UserData) -> ec2.LaunchTemplate:
        processor = _IMAGES[instance_type.architecture]
        template = ec2.LaunchTemplate(
            self,
            "LaunchTemplate",
            instance_type=instance_type,
            # Read at each launch: a new image changes no template, so deploying again changes nothing.
            machine_image=ec2.MachineImage.resolve_ssm_parameter_at_launch(
                f"/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-{processor}"
            ),
            role=self.role,
            security_group=self.security_group,
            user_data=user_data,
            require_imdsv2=True,
            http_put_response_hop_limit=1,
            block_devices=[
                ec2.BlockDevice(
                    device_name="/dev/xvda",
                    volume=ec2.BlockDeviceVolume.ebs(16, encrypted=True, volume_type=ec2.EbsDeviceVolumeType.GP3),
                )
            ],
        )
        Tags.of(template).add("Name", self.node.path)
        return template

    def _group(self, vpc: ec2.IVpc, hosts: int, launch_template: ec2.LaunchTemplate) -> autoscaling.AutoScalingGroup:
        return autoscaling.AutoScalingGroup(
            self,
            "Hosts",
            vpc=vpc,
            vpc_subnets=ec2.SubnetSelection(subnet_type=ec2.SubnetType.PRIVATE_WITH_EGRESS),
            launch_template=launch_template,
            min_capacity=hosts,
            max_capacity=hosts + 1,  # room to start the new host before the old one stops
            min_healthy_percentage=100,
            max_healthy_percentage=100 + 100 // hosts,
            max_instance_lifetime=Duration.days(30),
            signals=autoscaling.Signals.wait_for_min_capacity(timeout=Duration.minutes(10)),
            update_policy=autoscaling.UpdatePolicy.rolling_update(min_instances_in_service=hosts, max_batch_size=1),
        )

    def _acknowledge(self) -> None:
        managed = "Policy::arn:<AWS::Partition>:iam::aws:policy/AmazonSSMManagedInstanceCore"
        Validations.of(self.role).acknowledge(
            Acknowledgment(
                id=f"AwsSolutions-IAM4[{managed}]", reason="what AWS asks of hosts of Session Manager, kept by AWS"
            )
        )
        Validations.of(self.auto_scaling_group).acknowledge(
            Acknowledgment(id="AwsSolutions-AS3", reason="failed hosts are replaced automatically")
        )

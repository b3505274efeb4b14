import functools
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from aws_cdk import Acknowledgment, Duration, RemovalPolicy, Stack, Validations
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

LIBRARY = Path(__file__).parents[1]
CUSTOM_RESOURCE = LIBRARY / "_functions" / "custom_resource.py"
"""The module that answers CloudFormation; part of every function's code."""
NETWORK_ACTIONS = (
    "ec2:AssignPrivateIpAddresses",
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:UnassignPrivateIpAddresses",
)
"""Permissions of a function in a VPC. https://docs.aws.amazon.com/lambda/latest/dg/configuration-vpc.html"""


class HandlerFunction(lambda_.Function):
    """A Lambda function whose Python code is a folder of this library, with its own role and log group.

    The code is imported in Lambda by the same name as here: ``mlplatform_constructs._clusters.x_handler.index``. The
    folder needs an ``index.py`` with a function ``handler``, may import its own modules and
    ``mlplatform_constructs._functions.custom_resource`` by relative imports, and boto3.

    Role, log group and security group are created in ``scope``: as ``Role``, ``Log`` and ``SecurityGroup`` for a
    function with the id ``Function``, else with the function's id in front, as in ``CheckRole``.

    - ``execution_role``: the role. It may write the log and, in a VPC, manage network interfaces. Grant it the rest.

    :param folder: folder of the handler, inside this library.
    :param include: further files and folders. One of this library keeps its import name; any other, such as the
        folder of an installed package, is importable by its own name. Default: none.
    :param timeout: time after which Lambda ends a call, at most 15 minutes.
    :param memory_size: memory in MiB. Default: 128.
    :param environment: environment variables. Default: none.
    :param log_group: an existing log group, instead of a new one. Default: a new one.
    :param log_encryption_key: encrypts the new log group; its policy must admit CloudWatch Logs. Default:
        CloudWatch's own key.
    :param log_retention: retention of the new log group. Default: one month.
    :param log_removal_policy: removal policy of the new log group. Default: DESTROY.
    :param vpc: network of the function, which gets its own security group with egress for HTTPS and no ingress.
        Default: none.
    :param subnets: subnets in ``vpc``. Default: its private subnets.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        folder: Path,
        description: str,
        timeout: Duration,
        include: Sequence[Path] = (),
        memory_size: int = 128,
        environment: Mapping[str, str] | None = None,
        log_group: logs.ILogGroup | None = None,
        log_encryption_key: kms.IKey | None = None,
        log_retention: logs.RetentionDays = logs.RetentionDays.ONE_MONTH,
        log_removal_policy: RemovalPolicy = RemovalPolicy.DESTROY,
        vpc: ec2.IVpc | None = None,
        subnets: Sequence[ec2.ISubnet] | None = None,
    ) -> None:
        prefix = "" if id == "Function" else id
        log_group = log_group or logs.LogGroup(
            scope,
            f"{prefix}Log",
            encryption_key=log_encryption_key,
            retention=log_retention,
            removal_policy=log_removal_policy,
        )
        role = iam.Role(scope, f"{prefix}Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
        log_group.grant_write(role)
        groups = None
        if vpc:
            _allow_network_interfaces(role)
            groups = [_security_group(scope, f"{prefix}SecurityGroup", vpc)]
        super().__init__(
            scope,
            id,
            description=description,
            runtime=lambda_.Runtime.PYTHON_3_14,
            architecture=lambda_.Architecture.ARM_64,
            code=handler_code(folder, include),
            handler=handler_name(folder),
            role=role,
            log_group=log_group,
            timeout=timeout,
            memory_size=memory_size,
            environment=dict(environment) if environment else None,
            vpc=vpc,
            vpc_subnets=ec2.SubnetSelection(subnets=list(subnets or vpc.private_subnets)) if vpc else None,
            security_groups=groups,
        )
        self.execution_role = role


def handler_name(folder: Path) -> str:
    """The ``Handler`` of a function whose code is ``handler_code(folder)``."""
    return ".".join((LIBRARY.name, *folder.relative_to(LIBRARY).parts, "index", "handler"))


def handler_code(folder: Path, include: Sequence[Path] = ()) -> lambda_.AssetCode:
    """The code of a handler: its folder, the module for answers to CloudFormation, and ``include``."""
    return lambda_.Code.from_asset(_staged((folder, CUSTOM_RESOURCE, *include)))


@functools.cache
def _staged(sources: tuple[Path, ...]) -> str:
    """A temporary folder with copies, which lives as long as this process.

    An asset made straight from the library's own folder would read everything around it, in an installed library all
    of ``site-packages``, to find the few files. The packages around a handler are empty: theirs import the CDK.
    """
    root = Path(tempfile.mkdtemp(dir=_temporary().name))
    for source in sources:
        inside = source.is_relative_to(LIBRARY)
        target = root / (Path(LIBRARY.name) / source.relative_to(LIBRARY) if inside else source.name)
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", ".*"))
        else:
            shutil.copyfile(source, target)
        for package in target.relative_to(root).parents[:-1]:
            (root / package / "__init__.py").touch()
    return str(root)


@functools.cache
def _temporary() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="mlplatform-handlers-")


def _security_group(scope: Construct, id: str, vpc: ec2.IVpc) -> ec2.SecurityGroup:
    group = ec2.SecurityGroup(
        scope, id, vpc=vpc, description=f"{scope.node.path}: Lambda function", allow_all_outbound=False
    )
    group.add_egress_rule(ec2.Peer.any_ipv4(), ec2.Port.tcp(443), "AWS APIs and CloudFormation")
    return group


def _allow_network_interfaces(role: iam.Role) -> None:
    role.add_to_policy(
        iam.PolicyStatement(
            actions=list(NETWORK_ACTIONS),
            resources=["*"],
            conditions={"StringEquals": {"aws:RequestedRegion": Stack.of(role).region}},
        )
    )
    Validations.of(role).acknowledge(
        Acknowledgment(
            id="AwsSolutions-IAM5[Resource::*]",
            reason="Lambda creates its network interfaces with these; they have no ARN that is known beforehand",
        )
    )

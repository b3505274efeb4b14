"""A program of a user of the library, as an editor with Pylance checks it: ``make lint`` runs pyright on it.

pyright refuses a class of the CDK for its interface wherever jsii calls a parameter of the two otherwise, as with
``kms.Key`` and ``kms.IKey``; the library's signatures take both.
"""

import cdk8s
from aws_cdk import Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_secretsmanager as secretsmanager
from aws_cdk import aws_sns as sns

from mlplatform_constructs import (
    AccessLogBucket,
    AuditTrail,
    DataBucket,
    DirectoryConnector,
    HostedZones,
    KarpenterAccess,
    KubernetesCluster,
    Manifests,
    MetadataDatabase,
    ModelRepository,
    NodeGroupSpec,
    PipelineSource,
    SharedFileSystem,
    WorkloadIdentity,
)
from mlplatform_constructs.charts import ComponentChart, Resources, WebApp

SYSTEM = NodeGroupSpec(name="system", purpose="system", instance_types=("m7i.large",), min_per_zone=1, max_per_zone=2)


def add_to(stack: Stack, role: iam.Role) -> None:
    """Pass objects of the CDK, made by its constructors, and objects of the library to the library.

    :param role: made elsewhere, because pyright refuses every ``assumed_by``, within the CDK itself.
    """
    key = kms.Key(stack, "Key", enable_key_rotation=True)
    vpc = ec2.Vpc(stack, "Vpc", availability_zones=["eu-west-1a", "eu-west-1b"])
    own = ec2.PrivateSubnet(stack, "Own", availability_zone="eu-west-1c", cidr_block="10.0.240.0/24", vpc_id=vpc.vpc_id)
    bucket = s3.Bucket(stack, "Bucket", versioned=True, event_bridge_enabled=True)
    topic = sns.Topic(stack, "Topic")
    secret = secretsmanager.Secret(stack, "Secret")
    function = lambda_.Function(
        stack,
        "Function",
        runtime=lambda_.Runtime.PYTHON_3_13,
        handler="index.handler",
        code=lambda_.Code.from_inline("def handler(event, context): ..."),
        vpc=vpc,
    )

    data = DataBucket(stack, "Data", encryption_key=key, events=True)
    data.grant_read(role, "churn/*")
    data.grant_read(function, "churn/*")
    AccessLogBucket(stack, "Logs").record(bucket)
    PipelineSource.bucket(bucket, object_key="source.zip").grant_read(role)
    workspaces = SharedFileSystem(stack, "Workspaces", vpc=vpc, encryption_key=key)
    workspaces.grant_read_write(role)
    workspaces.allow_clients(function)
    ModelRepository(stack, "Models", bucket=data, alarm_topic=topic).grant_publish(role, model="churn")
    MetadataDatabase(stack, "Database", vpc=vpc, encryption_key=key, alarm_topic=topic)
    AuditTrail(stack, "Audit", encryption_key=key, recorded_buckets=[bucket], alarm_topic=topic)
    DirectoryConnector(
        stack, "Directory", vpc=vpc, domain_name="corp.example.com", dns_ips=["10.1.0.2"], credentials=secret
    )
    HostedZones(stack, "Zones", domain="ml.example.com", vpc=vpc).grant_write_records(role)

    cluster = KubernetesCluster(
        stack,
        "Cluster",
        vpc=vpc,
        subnets=[own, *vpc.private_subnets],
        secrets_encryption_key=key,
        log_encryption_key=key,
        alarm_topic=topic,
        autoscaler="karpenter",
        node_groups=[SYSTEM],
    )
    cluster.grant_admin(role)
    cluster.connections.allow_default_port_from(function)
    controller = WorkloadIdentity.pod_identity(cluster).role_for(
        stack, "Controller", namespace="karpenter", service_account="karpenter"
    )
    KarpenterAccess(stack, "Karpenter", cluster=cluster, role=controller)
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "churn"}}
    Manifests(stack, "Objects", cluster=cluster, objects=[namespace], after=[data, workspaces])

    WebApp(
        ComponentChart(cdk8s.App(), "shop"),
        "Web",
        name="web",
        namespace="shop",
        image="r.io/web:1",
        port=8080,
        resources=Resources(cpu="1", memory="1Gi"),
        path="/web/",
        gateway="shop/web",
        user=2000,
    )

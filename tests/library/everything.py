"""One of each construct of the library's domains of AWS, wired with each other where they take each other."""

from datetime import timedelta
from pathlib import Path

from aws_cdk import Stack
from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_iam as iam
from aws_cdk import aws_secretsmanager as secretsmanager
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

import mlplatform_constructs as library
from mlplatform_constructs import (
    AdviserInput,
    AirflowEnvironment,
    AlarmTopic,
    AuditTrail,
    Bastion,
    CollectedData,
    CollectedDataSource,
    ContainerPipeline,
    DataBucket,
    DirectoryConnector,
    DnsCertificate,
    EmrJobs,
    EmrOnEksJobs,
    EmrServerlessJobs,
    EncryptionKeys,
    Feature,
    FeatureGroup,
    FeatureStore,
    HostedZones,
    ImageBuild,
    ImageMirror,
    ImageRegistry,
    JarPipeline,
    JobAdviser,
    LustreFileSystem,
    ManagedDirectory,
    MetadataDatabase,
    ModelRepository,
    Network,
    PackageRepository,
    PeoplePermissionSet,
    PersonRole,
    PersonTrust,
    PinnedImage,
    PipelineSource,
    PlatformUserPool,
    SageMakerJobs,
    SharedFileSystem,
    WebFirewall,
)
from tests.sign_in import DOMAIN, load_balancer, user_pool

DOMAINS = ("_artifacts", "_data", "_edge", "_identity", "_network", "_security", "_storage", "_workloads")
CONNECTION = "arn:aws:codeconnections:eu-west-1:111111111111:connection/0a1b2c3d-0a1b-0a1b-0a1b-0a1b2c3d4e5f"
DELAYS = FeatureGroup(
    name="delays",
    entity="restaurant_id",
    event_id="order_id",
    event_time="ready_at",
    measures={"seconds": "double"},
    offline=(Feature(name="seconds_7d", aggregate="mean", of="seconds", window=timedelta(days=7)),),
    online=(Feature(name="seconds_1h", aggregate="mean", of="seconds", window=timedelta(hours=1)),),
)


def public_constructs() -> set[type[Construct]]:
    """The classes of these domains that are constructs."""
    public = [getattr(library, name) for name in library.__all__]
    return {
        each
        for each in public
        if isinstance(each, type) and issubclass(each, Construct) and each.__module__.split(".")[1] in DOMAINS
    }


def add_everything(stack: Stack) -> None:
    """Fill a stack of ``eu-west-1``, or of no region at all, with one of each and with every grant."""
    keys = EncryptionKeys(stack, "Keys")
    alarms = AlarmTopic(stack, "Alarms", encryption_key=keys.logs, email="team@example.com").topic
    network = Network(stack, "Net", availability_zones=["eu-west-1a", "eu-west-1b"], log_encryption_key=keys.logs)
    grantee = iam.Role(stack, "Grantee", assumed_by=iam.AccountRootPrincipal())
    bucket = DataBucket(stack, "Data", encryption_key=keys.data, events=True)
    _add_edge(stack, network, grantee)
    _add_storage(stack, network, keys, bucket, grantee)
    _add_artifacts(stack, bucket, grantee)
    _add_people(stack, network)
    _add_adviser(stack, keys, bucket)
    _add_jobs(stack, network, keys, bucket, grantee)
    Bastion(stack, "Bastion", vpc=network.vpc)
    AuditTrail(
        stack, "Audit", encryption_key=keys.logs, recorded_buckets=[bucket.bucket], alarm_topic=alarms
    ).alarm_on_use_of("Emergency", grantee)


def _add_edge(stack: Stack, network: Network, grantee: iam.Role) -> None:
    zones = HostedZones(stack, "Names", domain=DOMAIN, vpc=network.vpc)
    zones.grant_write_records(grantee, reserved=[f"kubeflow.{DOMAIN}"])
    DnsCertificate(stack, "Proofs", domain_names=[DOMAIN], hosted_zone=zones.public_zone)
    users: PlatformUserPool = user_pool(
        stack, scopes={"pipelines": "Start pipelines"}, allowed_email_domains=["example.com"]
    )
    users.add_machine("scheduler", scopes=["pipelines"])
    users.grant_machine(grantee, "scheduler")
    balancer = load_balancer(stack)
    balancer.authenticate(users)
    balancer.admit_machines(users, scope="pipelines", paths=["/pipeline/*"])
    WebFirewall(stack, "Firewall", load_balancer=balancer.load_balancer)


def _add_storage(stack: Stack, network: Network, keys: EncryptionKeys, bucket: DataBucket, grantee: iam.Role) -> None:
    for grant in (bucket.grant_read, bucket.grant_write, bucket.grant_delete):
        grant(grantee, "churn/*")
    bucket.grant_list(grantee)
    collected = CollectedData(stack, "Collected", source=CollectedDataSource.held())
    collected.grant_read(grantee, "cleansed/*")
    workspaces = SharedFileSystem(stack, "Workspaces", vpc=network.vpc)
    workspaces.add_access_point("churn")
    workspaces.grant_read_write(grantee, "churn")
    workspaces.grant_manage_access_points(grantee)
    keys.grant_encrypt_disks(grantee, keys.data)
    arn = "arn:aws:secretsmanager:eu-west-1:111111111111:secret:token-AbCdEf"
    token = secretsmanager.Secret.from_secret_complete_arn(stack, "Token", arn)
    keys.grant_read_secrets(grantee, keys.metadata, [token])
    lustre = LustreFileSystem(stack, "Lustre", vpc=network.vpc)
    lustre.add_link("/collected", DataBucket(stack, "Linked"))
    store = FeatureStore(stack, "Store", bucket=bucket, groups=[DELAYS])
    store.grant_read_offline(grantee)
    store.grant_read_online(grantee)
    store.grant_put_events(grantee)
    models = ModelRepository(stack, "Models", bucket=DataBucket(stack, "ModelFiles", events=True))
    models.grant_publish(grantee, model="churn")
    models.grant_withdraw(grantee)
    database = MetadataDatabase(stack, "Metadata", vpc=network.vpc, encryption_key=keys.metadata)
    database.grant_read_credentials(grantee, "pipelines")


def _add_artifacts(stack: Stack, bucket: DataBucket, grantee: iam.Role) -> None:
    images = ImageRegistry(stack, "Images", repositories=["serving"])
    images.grant_push(grantee, "serving")
    mirror = ImageMirror(stack, "Mirror", prefix="mirror", repositories=["redis"], reader_accounts=["222222222222"])
    mirror.grant_push(grantee)
    packages = PackageRepository(stack, "Packages", domain_name="example", own_packages=["churn"])
    packages.grant_publish(grantee)
    source = PipelineSource.connection(CONNECTION, repository="example/churn")
    syft = ecr.Repository.from_repository_attributes(
        stack,
        "Syft",
        repository_arn="arn:aws:ecr:eu-west-1:222222222222:repository/syft",
        repository_name="syft",
    )
    container = ContainerPipeline(
        stack,
        "Container",
        name="churn",
        source=source,
        repository=images.repository("serving"),
        build=ImageBuild(test=["pytest"]),
        sbom_image=PinnedImage(syft, f"sha256:{'0' * 64}"),
        releases=bucket,
    )
    container.grant_verify(grantee)
    container.grant_read_parameter(grantee)
    archives = DataBucket(stack, "Archives", events=True)
    JarPipeline(
        stack,
        "Jar",
        name="features",
        source=PipelineSource.bucket(archives.bucket, object_key="features.zip"),
        releases=bucket,
    )


def _add_people(stack: Stack, network: Network) -> None:
    trust = PersonTrust.principal("arn:aws:iam::111111111111:user/ada")
    PersonRole(stack, "Ada", email="ada@example.com", trust=trust)
    PeoplePermissionSet(
        stack, "Center", instance_arn="arn:aws:sso:::instance/ssoins-1234567890abcdef", name="People", group_ids=["g-1"]
    )
    ManagedDirectory(stack, "Directory", vpc=network.vpc, domain_name="corp.example.com")
    secret = secretsmanager.Secret.from_secret_name_v2(stack, "Secret", "connector")
    DirectoryConnector(
        stack, "Connector", vpc=network.vpc, domain_name="corp.example.com", dns_ips=["10.1.0.2"], credentials=secret
    )


def _add_adviser(stack: Stack, keys: EncryptionKeys, bucket: DataBucket) -> None:
    adviser = JobAdviser(
        stack,
        "Adviser",
        user_pool_id="eu-west-1_Abcdefghi",
        client_ids=["0123456789abcdefghijklmnop"],
        oauth_scope="mlplatform/adviser",
        inputs=[AdviserInput(bucket, "raw/*")],
        output=bucket,
        log_encryption_key=keys.logs,
    )
    arn = "arn:aws:states:eu-west-1:111111111111:stateMachine:train"
    train = sfn.StateMachine.from_state_machine_arn(stack, "Train", arn)
    adviser.add_job("train", train)


def _add_jobs(stack: Stack, network: Network, keys: EncryptionKeys, bucket: DataBucket, grantee: iam.Role) -> None:
    emr = EmrJobs(stack, "Emr", vpc=network.vpc, encryption_key=keys.data, logs=bucket)
    serverless = EmrServerlessJobs(
        stack, "Serverless", vpc=network.vpc, logs=bucket, release="emr-7.10.0", max_vcpus=128
    )
    on_eks = EmrOnEksJobs(stack, "OnEks", cluster_name="training", namespace="emr-jobs", execution_role=grantee)
    sagemaker = SageMakerJobs(stack, "SageMaker", vpc=network.vpc, encryption_key=keys.data)
    for jobs in (emr, serverless, on_eks, sagemaker):
        jobs.grant_run(grantee)
    AirflowEnvironment(stack, "Airflow", vpc=network.vpc, dags=str(Path(__file__).parents[2] / "examples" / "airflow"))

"""The charts of Pipelines with its workflow controller, stores and one profile, for tests."""

from typing import Any

import cdk8s

from charts.catalog import Catalog
from charts.kit.chart import ComponentChart
from charts.kit.stores import ArtifactStore, Database
from charts.kubeflow.argo_workflows.objects import ArgoWorkflows
from charts.kubeflow.metadata_store.objects import MetadataStore
from charts.kubeflow.mysql.objects import MySql, Owner
from charts.kubeflow.pipelines.objects import Images, Pipelines
from charts.kubeflow.pipelines.profile import PipelinesProfile
from charts.kubeflow.seaweedfs.objects import SeaweedFs

CATALOG = Catalog.load()
PLACEMENT = {"nodeSelector": {"mlplatform/purpose": "system"}}
GATEWAY = "kubeflow/kubeflow-gateway"
BUCKET = ArtifactStore(bucket="artifacts-of-the-platform", region="eu-west-1")
IN_CLUSTER = ArtifactStore(
    bucket="mlpipeline", region="us-east-1", host="seaweedfs.kubeflow", port=8333, secure=False, keys="object-store"
)


def database(name: str, **more: Any) -> Database:
    return Database(host="database.example.com", name=name, secret=f"{name}-credentials", **more)


def rds(name: str) -> Database:
    return database(name, synced=True, authorities="database-authorities")


def charts(artifacts: ArtifactStore, connect: Any) -> dict[str, ComponentChart]:
    app = cdk8s.App(outdir="/dev/null")
    return {
        "argo": ArgoWorkflows(
            app,
            "Argo",
            controller_image=CATALOG.images.reference("argo-workflow-controller"),
            executor_image=CATALOG.images.reference("argo-executor"),
            artifacts=artifacts,
            placement=PLACEMENT,
        ),
        "metadata": MetadataStore(
            app,
            "Metadata",
            server_image=CATALOG.images.reference("ml-metadata"),
            proxy_image=CATALOG.images.reference("metadata-envoy"),
            database=connect("metadb"),
            gateway=GATEWAY,
            placement=PLACEMENT,
        ),
        "pipelines": Pipelines(
            app,
            "Pipelines",
            images=Images.of(CATALOG.images),
            database=connect("mlpipeline"),
            cache=connect("cachedb"),
            artifacts=artifacts,
            gateway=GATEWAY,
            placement=PLACEMENT,
        ),
        "profile": profile("churn", artifacts),
    }


def profile(name: str, artifacts: ArtifactStore = BUCKET, keys: tuple[str, str] | None = None) -> PipelinesProfile:
    return PipelinesProfile(
        cdk8s.App(outdir="/dev/null"),
        "Profile",
        profile=name,
        ui_image=CATALOG.images.reference("kfp-frontend"),
        artifacts=artifacts,
        keys=keys,
        metadata=("metadata-grpc-service.kubeflow", 8080),
    )


def owner(team: str, arn: str) -> Owner:
    return Owner(
        name=f"models{team}",
        secret_arn=f"{arn}-{team}",
        namespace=team,
        service_account="model-registry-server",
        workload="model-registry",
    )


def stores() -> dict[str, ComponentChart]:
    """The servers inside the cluster, for options without AWS."""
    app, clients = cdk8s.App(outdir="/dev/null"), ["ml-pipeline", "metadata-grpc-server"]
    arn = "arn:aws:secretsmanager:eu-west-1:111111111111:secret:store-AbCdEf"
    common: dict[str, Any] = {"region": "eu-west-1", "clients": clients, "storage_gib": 20, "placement": PLACEMENT}
    image = CATALOG.images.reference
    return {
        "mysql": MySql(
            app,
            "MySql",
            image=image("mysql"),
            databases=["mlpipeline", "metadb"],
            secret_arn=arn,
            root_secret_arn=f"{arn}-root",
            owners=[owner("churn", arn), owner("fraud", arn)],
            **common,
        ),
        "seaweedfs": SeaweedFs(
            app,
            "SeaweedFs",
            image=image("seaweedfs"),
            bucket="mlpipeline",
            secret_arn=arn,
            team_secret_arns={team: f"{arn}-{team}" for team in ("churn", "fraud")},
            **common,
        ),
    }

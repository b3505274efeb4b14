"""``python -m examples.team_app.app FOLDER``: the application on its own small cluster, as a cloud assembly.

``python -m rehearsal --app "python -m examples.team_app.app"`` deploys, updates and destroys it in the AWS emulator.
"""

import sys

import cdk8s
from aws_cdk import App, Environment, RemovalPolicy, Stack
from constructs import Construct

from charts.base.namespaces.objects import Namespaces
from charts.catalog import Catalog
from examples.team_app.stack import TeamAppStack
from mlplatform_constructs import (
    DataBucket,
    EncryptionKeys,
    KubernetesCluster,
    Network,
    NodeGroupSpec,
    ProvidedObjects,
)
from stacks._wiring.installer import Installer
from stacks.app import new_app

_ENVIRONMENT = Environment(account="000000000000", region="eu-west-1")
_IMAGE = "000000000000.dkr.ecr.eu-west-1.amazonaws.com/churn-explorer:1.0"
_GROUPS = (
    NodeGroupSpec(name="system", purpose="system", instance_types=("m7i.large",), min_per_zone=1, max_per_zone=2),
    NodeGroupSpec(name="general", purpose="general", instance_types=("m7i.large",), max_per_zone=2),
)


class SmallPlatform(Stack):
    """A cluster with the kinds of the mesh, and a bucket of predictions: what the application needs of a platform."""

    def __init__(self, scope: Construct, id: str) -> None:
        super().__init__(scope, id, env=_ENVIRONMENT)
        keys = EncryptionKeys(self, "Keys", removal_policy=RemovalPolicy.DESTROY)
        self.predictions = DataBucket(
            self, "Predictions", encryption_key=keys.data, removal_policy=RemovalPolicy.DESTROY
        )
        network = Network(self, "Network", availability_zones=["eu-west-1a", "eu-west-1b"])
        self.cluster = KubernetesCluster(
            self,
            "Cluster",
            vpc=network.vpc,
            secrets_encryption_key=keys.cluster_secrets,
            node_groups=_GROUPS,
            deletion_protection=False,
            removal_policy=RemovalPolicy.DESTROY,
        )
        catalog = Catalog.load()
        installer = Installer(self, cluster=self.cluster, catalog=catalog)
        namespaces = installer.deliver(
            self, "Namespaces", Namespaces(cdk8s.App(), "Namespaces", levels={"istio-system": "restricted"})
        )
        mesh = installer.release(
            self, "Mesh", "base", name="istio-base", namespace="istio-system", values={}, after=[namespaces]
        )
        definitions = catalog.definitions("edge/istio")
        ProvidedObjects(self, "Kinds", cluster=self.cluster.cluster, by=mesh, definitions=definitions)


def build(outdir: str) -> App:
    """The app, not yet synthesized."""
    app = new_app(outdir=outdir)
    platform = SmallPlatform(app, "SmallPlatform")
    TeamAppStack(
        app,
        "TeamApp",
        cluster=platform.cluster,
        image=_IMAGE,
        predictions=platform.predictions,
        env=_ENVIRONMENT,
    )
    return app


if __name__ == "__main__":
    build(sys.argv[1]).synth()

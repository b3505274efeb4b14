"""The charts of Kubeflow's operators, of Katib and of the model registry, for tests."""

import os
from collections.abc import Iterator

import cdk8s
from constructs import Construct

from charts.catalog import Catalog
from charts.kit.chart import ComponentChart
from charts.kit.stores import Database
from charts.kubeflow.model_registry.objects import ModelRegistry, ModelRegistryPage
from rehearsal.components import BUILDS

CATALOG = Catalog.load()


def model_registry(scope: Construct, catalog: Catalog) -> Iterator[ComponentChart]:
    server, page = catalog.images.reference("model-registry-server"), catalog.images.reference("model-registry-ui")
    database = Database(host="mysql.kubeflow", name="vision-models", secret="model-registry-database")
    yield ModelRegistry(scope, "Registry", namespace="vision", image=server, database=database)
    yield ModelRegistryPage(scope, "Page", image=page, gateway="kubeflow/kubeflow-gateway", placement={})


OPERATORS = {name: build for name, build in BUILDS.items() if name != "kubeflow/argo_workflows"}
"""Components with programs that run here, but for the one that is compared together with Pipelines."""
ALL = {**OPERATORS, "kubeflow/model_registry": model_registry}
"""With components without such programs."""
OBJECTS = {
    name: [one for chart in build(cdk8s.App(outdir=os.devnull), CATALOG) for one in chart.to_json()]
    for name, build in ALL.items()
}

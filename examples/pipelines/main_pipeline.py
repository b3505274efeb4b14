"""From raw data to a served model: prepare on EMR, train on the GPU group, publish, deploy, move traffic.

    python -m examples.pipelines.main_pipeline SPECIFICATION pipeline.yaml

The pipeline is the same everywhere. What differs between a laptop, ``dev`` and ``prod`` is in the specification:
images, sizes, addresses.
"""

import argparse
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kfp import compiler, dsl, kubernetes

from examples.pipelines import steps
from mlplatform_components import ComponentError
from mlplatform_components.components import Components

SPECIFICATIONS = Path(__file__).with_name("specifications")


@dataclass(frozen=True, kw_only=True)
class Training:
    """The container of the training step.

    :param image: with XGBoost and the component library.
    :param cpu: cores.
    :param memory: such as ``16Gi``.
    :param gpus: NVIDIA GPUs; 0 for none.
    :param device: ``cuda`` or ``cpu``.
    :param trees: of the model.
    :param depth: of each tree.
    """

    image: str
    cpu: str
    memory: str
    gpus: int
    device: str
    trees: int
    depth: int


@dataclass(frozen=True, kw_only=True)
class Specification:
    """Everything that differs between accounts.

    :param components: image of the component library.
    :param cluster: of Spark; see ``mlplatform_components.spark_clusters``.
    :param program: that prepares the data.
    :param prepared: folder or S3 prefix of the prepared data.
    :param training: the training step.
    :param models: bucket of the model repository.
    :param server: keys of ``ModelServer``.
    :param serving: cluster of the server; see ``KubernetesApi.from_dict``.
    """

    components: str
    cluster: Mapping[str, Any]
    program: Mapping[str, Any]
    prepared: str
    training: Training
    models: str
    server: Mapping[str, Any]
    serving: Mapping[str, Any]

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], place: str = "specification") -> "Specification":
        """:raises ComponentError: for unknown or missing keys."""
        try:
            return cls(**{**values, "training": Training(**values["training"])})
        except (TypeError, KeyError) as error:
            raise ComponentError(f"{place}: {error}; see Specification for its keys") from None


def specification(name: str) -> Specification:
    """A specification of this folder: ``local``, ``dev`` or ``prod``."""
    path = SPECIFICATIONS / f"{name}.toml"
    return Specification.from_dict(tomllib.loads(path.read_text(encoding="utf-8")), str(path.name))


def main_pipeline(given: Specification) -> Any:
    """The pipeline with the values of a specification as defaults of its parameters."""
    components = Components(image=given.components)
    helpers = (steps.read_rows, steps.predictor_source, steps.write_package)
    train_and_package = steps.component(steps.train_and_package, given.training.image, *helpers)

    cluster, program = dict(given.cluster), dict(given.program)
    server, serving = dict(given.server), dict(given.serving)

    @dsl.pipeline(name="main", description="Prepare, train, publish, deploy")  # type: ignore[untyped-decorator]
    def pipeline(
        cluster: dict[str, Any] = cluster,
        program: dict[str, Any] = program,
        prepared: str = given.prepared,
        trees: int = given.training.trees,
        depth: int = given.training.depth,
        models: str = given.models,
        model: str = "tumours",
        server: dict[str, Any] = server,
        serving: dict[str, Any] = serving,
    ) -> None:
        run = dsl.PIPELINE_JOB_ID_PLACEHOLDER
        with dsl.ExitHandler(components.delete_emr_cluster(cluster=cluster, run=run), name="prepare"):
            created = components.create_emr_cluster(cluster=cluster, run=run)
            submitted = components.submit_emr_step(cluster=created.output, program=program)
            trained = train_and_package(
                prepared=prepared,
                trees=trees,
                depth=depth,
                device=given.training.device,
                run=run,
                step=submitted.output,
            )
            on_training_nodes(trained, given.training)
            published = components.publish_model(package=trained.outputs["package"], bucket=models, model=model)
            version, uri = published.outputs["version"], published.outputs["uri"]
            deployed = components.deploy_model(server=server, cluster=serving, version=version, uri=uri)
            components.switch_traffic(server=server, cluster=serving, version=deployed.output, uri=uri)

    return pipeline


def on_training_nodes(task: Any, training: Training) -> None:
    """Give a step the size of the specification and, with GPUs, the nodes of the GPU group and their taints."""
    task.set_cpu_request(training.cpu).set_memory_request(training.memory).set_memory_limit(training.memory)
    kubernetes.add_pod_label(task, "sidecar.istio.io/inject", "false")
    if training.gpus:
        task.set_accelerator_type("nvidia.com/gpu").set_accelerator_limit(training.gpus)
        kubernetes.add_node_selector(task, "mlplatform/accelerator", "nvidia")
        for key in ("mlplatform/purpose", "nvidia.com/gpu"):
            kubernetes.add_toleration(task, key=key, operator="Exists", effect="NoSchedule")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m examples.pipelines.main_pipeline", description=__doc__)
    parser.add_argument("specification", help="local, dev or prod")
    parser.add_argument("target", help="the compiled pipeline, such as pipeline.yaml")
    options = parser.parse_args()
    compiler.Compiler().compile(main_pipeline(specification(options.specification)), options.target)


if __name__ == "__main__":
    main()

"""The components of Kubeflow Pipelines: thin steps around the functions of this package.

Their source is stored in the compiled pipeline and runs in the image of the library, so each function imports what it
uses by itself and calls one function of this package. AWS clients find credentials by the workload identity of the pod.
"""

import re
from typing import Any, NamedTuple

from kfp import dsl
from kfp.dsl import Dataset, Input, Model, Output

from mlplatform_components.errors import ComponentError

_IMAGE = re.compile(r".+(@sha256:[0-9a-f]{64}|:(?!latest$)[\w][\w.-]*)")


def create_emr_cluster(cluster: dict[str, Any], run: str, minutes: int = 30) -> str:
    """Create a Spark cluster for this run. It is deleted if it does not start.

    :param cluster: ``service`` and the keys of ``ClusterSpec``.
    :param run: ``dsl.PIPELINE_JOB_ID_PLACEHOLDER``.
    :param minutes: after which it counts as failed.
    :return: the id of the cluster.
    """
    import boto3

    from mlplatform_components import spark_clusters
    from mlplatform_components.waiting import Patience

    return spark_clusters.create(boto3.client("emr"), cluster, run, Patience(minutes * 60))


def submit_emr_step(cluster: str, program: dict[str, Any], minutes: int = 720) -> str:
    """Run a Spark program on a cluster. It is cancelled if it takes too long.

    :param cluster: id of the cluster.
    :param program: the keys of ``SparkStep``.
    :param minutes: after which it counts as failed.
    :return: the id of the step.
    """
    import boto3

    from mlplatform_components import spark_clusters
    from mlplatform_components.waiting import Patience

    return spark_clusters.submit(boto3.client("emr"), cluster, program, Patience(minutes * 60))


def delete_emr_cluster(cluster: dict[str, Any], run: str) -> str:
    """Delete the cluster of this run. Use it as the exit task of a ``dsl.ExitHandler``.

    :param cluster: as given to ``create_emr_cluster``.
    :param run: as given to ``create_emr_cluster``.
    :return: the ids of the deleted clusters.
    """
    import boto3

    from mlplatform_components import spark_clusters
    from mlplatform_components.waiting import Patience

    return ",".join(spark_clusters.delete(boto3.client("emr"), cluster, run, Patience(900)))


def run_emr_on_eks(job: dict[str, Any], run: str, minutes: int = 720) -> str:
    """Run a Spark program by EMR on EKS. It is cancelled if it takes too long.

    :param job: the keys of ``SparkJobOnEks``.
    :param run: ``dsl.PIPELINE_JOB_ID_PLACEHOLDER``, by which a repeated step finds its run.
    :param minutes: after which it counts as failed.
    :return: the id of the run.
    """
    import boto3

    from mlplatform_components.emr_on_eks import SparkJobOnEks, run_on_eks
    from mlplatform_components.spark_program import name_for_run
    from mlplatform_components.waiting import Patience

    given = {**job, "name": name_for_run(job["name"], run), "arguments": tuple(job.get("arguments", ()))}
    return run_on_eks(boto3.client("emr-containers"), SparkJobOnEks(**given), Patience(minutes * 60))


def run_emr_serverless(job: dict[str, Any], run: str, minutes: int = 720) -> str:
    """Run a Spark program by EMR Serverless. It is cancelled if it takes too long.

    :param job: the keys of ``ServerlessSparkJob``.
    :param run: ``dsl.PIPELINE_JOB_ID_PLACEHOLDER``, by which a repeated step finds its run.
    :param minutes: after which it counts as failed.
    :return: the id of the run.
    """
    import boto3

    from mlplatform_components.emr_serverless import ServerlessSparkJob, run_serverless
    from mlplatform_components.spark_program import name_for_run
    from mlplatform_components.waiting import Patience

    given = {**job, "name": name_for_run(job["name"], run), "arguments": tuple(job.get("arguments", ()))}
    return run_serverless(boto3.client("emr-serverless"), ServerlessSparkJob(**given), Patience(minutes * 60))


def train_on_sagemaker(
    job: dict[str, Any],
    minutes: int = 1440,
) -> NamedTuple("Trained", [("model", str), ("seconds", int), ("billed_seconds", int), ("savings", float)]):  # type: ignore[valid-type] # noqa: E501
    """Train on SageMaker, by default on managed spot capacity with checkpoints. It is stopped if it takes too long.

    :param job: the keys of ``TrainingJob``, with ``placement`` as an object.
    :param minutes: after which it counts as failed.
    :return: S3 address of the model, seconds of training, billed seconds, and the saved share of the price.
    """
    import boto3

    from mlplatform_components.sagemaker import train, training_job
    from mlplatform_components.waiting import Patience

    found = train(boto3.client("sagemaker"), training_job(job), Patience(minutes * 60))
    return found.model, found.seconds, found.billed_seconds, found.savings


def process_on_sagemaker(job: dict[str, Any], minutes: int = 720) -> str:
    """Run a container on SageMaker Processing. It is stopped if it takes too long.

    :param job: the keys of ``ProcessingJob``, with ``placement`` as an object.
    :param minutes: after which it counts as failed.
    :return: the ARN of the job.
    """
    import boto3

    from mlplatform_components.sagemaker import process, processing_job
    from mlplatform_components.waiting import Patience

    return process(boto3.client("sagemaker"), processing_job(job), Patience(minutes * 60))


def publish_model(package: Input[Model], bucket: str, model: str) -> NamedTuple(  # type: ignore[valid-type]
    "Published", [("version", int), ("uri", str)]
):
    """Publish a folder as the next version of a model. It passes its own self-test first.

    :param package: a folder with model, feature extractor, sample and metadata.
    :param bucket: of the model repository.
    :param model: name of the model.
    :return: number and S3 prefix of the version.
    """
    import boto3

    from mlplatform_components.models import publish_model as publish

    found = publish(boto3.client("s3"), bucket, package.path, model=model)
    return found.version, found.uri


def deploy_model(server: dict[str, Any], cluster: dict[str, Any], version: int, uri: str, minutes: int = 30) -> int:
    """Start a model version next to the one that serves. It is deleted if it does not become ready.

    :param server: the keys of ``ModelServer`` but version and address.
    :param cluster: ``{"eks": "<name>"}``, or empty for the cluster of the pipeline.
    :param version: of the model.
    :param uri: S3 prefix of its files.
    :param minutes: after which it counts as failed.
    :return: the version.
    """
    import boto3

    from mlplatform_components.kubernetes import KubernetesApi
    from mlplatform_components.serving import ModelServer
    from mlplatform_components.serving import deploy_model as deploy
    from mlplatform_components.waiting import Patience

    api = KubernetesApi.from_dict(cluster, boto3.Session())
    deploy(api, ModelServer.from_dict(server, version=version, uri=uri), Patience(minutes * 60, interval=2))
    return version


def switch_traffic(server: dict[str, Any], cluster: dict[str, Any], version: int, uri: str) -> int:
    """Move all traffic to a version that is ready, and delete the one before when its last requests have ended.

    :param server: as given to ``deploy_model``.
    :param cluster: as given to ``deploy_model``.
    :param version: of the model, from ``deploy_model``.
    :param uri: S3 prefix of its files.
    :return: the version that served before; 0 if there was none.
    """
    import boto3

    from mlplatform_components.kubernetes import KubernetesApi
    from mlplatform_components.serving import ModelServer
    from mlplatform_components.serving import switch_traffic as switch
    from mlplatform_components.waiting import Patience

    api = KubernetesApi.from_dict(cluster, boto3.Session())
    return switch(api, ModelServer.from_dict(server, version=version, uri=uri), Patience(600)) or 0


def query_features(query: str, database: str, work_group: str, features: Output[Dataset], minutes: int = 60) -> int:
    """Read offline features into a CSV file with a header.

    :param query: a ``SELECT``.
    :param database: of the feature store.
    :param work_group: of the feature store.
    :param features: the file.
    :param minutes: after which it counts as failed.
    :return: bytes that were written.
    """
    import boto3

    from mlplatform_components.features import query_features as query_store
    from mlplatform_components.waiting import Patience

    return query_store(
        boto3.client("athena"),
        boto3.client("s3"),
        query,
        features.path,
        database=database,
        work_group=work_group,
        patience=Patience(minutes * 60, interval=2),
    )


def newest_features(database: str, group: str) -> NamedTuple("Features", [("as_of", str), ("uri", str)]):  # type: ignore[valid-type]
    """Where Spark and training jobs read the newest whole run of a feature group.

    :param database: of the feature store.
    :param group: name of the feature group.
    :return: hour that the features describe, and S3 prefix of the Parquet files.
    """
    import boto3

    from mlplatform_components.features import newest_features as newest

    found = newest(boto3.client("glue"), database=database, group=group)
    return found.as_of, found.uri


class Components:
    """The components, in one image.

    :param image: with this package and its extra ``pipelines``; a tag or a digest, and not ``latest``.
    :raises ComponentError: for an image without a version.
    """

    NAMES = (
        "create_emr_cluster",
        "delete_emr_cluster",
        "deploy_model",
        "newest_features",
        "process_on_sagemaker",
        "publish_model",
        "query_features",
        "run_emr_on_eks",
        "run_emr_serverless",
        "submit_emr_step",
        "switch_traffic",
        "train_on_sagemaker",
    )

    def __init__(self, *, image: str) -> None:
        if not _IMAGE.fullmatch(image):
            raise ComponentError(f"image must have a digest, or a tag other than latest, got {image!r}")
        self.image = image
        for name in self.NAMES:
            component = dsl.component(globals()[name], base_image=image, install_kfp_package=False)
            setattr(self, name, component)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"there is no component {name!r}; there are: {', '.join(self.NAMES)}")

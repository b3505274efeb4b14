"""A DAG that starts a pipeline of Kubeflow every night and waits for it. It prepares, trains and serves.

The environment that ``[workloads.airflow]`` of the account file creates needs nothing else. In any other Airflow, copy
this file into the folder of DAGs, install ``mlplatform-pipeline-components``, and create the connection ``kubeflow`` of
type HTTP: host is the address of Kubeflow, login and password are those of a machine client, and the extra fields
``token_address`` and ``scope`` are those of its user pool.
"""

from datetime import UTC, datetime, timedelta

import boto3
from airflow.configuration import conf
from airflow.hooks.base import BaseHook
from airflow.sdk import dag, task

from mlplatform_components import MachineClient, Patience, PipelinesApi

PIPELINE = "iterative-xgboost"
NAMESPACE = "churn"
HOURS = 12
SECONDS_BETWEEN_LOOKS = 30


def api() -> PipelinesApi:
    """The API of Pipelines, as the machine client whose secret the environment names, or that of the connection."""
    if secret := conf.get("kubeflow", "secret", fallback=""):
        client = MachineClient.from_secret(boto3.client("secretsmanager"), secret)
        address = conf.get("kubeflow", "address")
    else:
        connection = BaseHook.get_connection("kubeflow")
        extra, address = connection.extra_dejson, str(connection.host)
        client = MachineClient(
            str(connection.login), str(connection.password), extra["token_address"], str(extra["scope"])
        )
    return PipelinesApi(f"{address.rstrip('/')}/pipeline", token=client.token)


@dag(
    schedule="0 3 * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 2, "retry_delay": timedelta(minutes=5)},
    tags=["kubeflow"],
    doc_md=__doc__,
)
def trigger_pipeline() -> None:
    """Start the pipeline and wait for it."""

    @task
    def start(run_id: str | None = None) -> str:
        """A retried task finds the run of the first attempt by its name, and starts nothing new."""
        return api().start(PIPELINE, name=f"airflow-{run_id}", namespace=NAMESPACE, parameters={"trees": 3})

    @task(execution_timeout=timedelta(hours=HOURS + 1))
    def wait(run: str) -> None:
        """A run that takes too long is terminated."""
        api().wait(run, Patience(HOURS * 3600, SECONDS_BETWEEN_LOOKS))

    wait(start())


trigger_pipeline()

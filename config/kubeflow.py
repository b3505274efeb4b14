"""The ``[clusters.<name>.kubeflow]`` section: Kubeflow on a training cluster, in one of its four deployment options."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, Protocol

from pydantic import Field

from config.section import Section, key

Deployment = Literal["vanilla", "cognito", "rds-s3", "cognito-rds-s3"]


class Kubeflow(Section):
    """Kubeflow on this cluster. Without the table, the cluster has none. One cluster of an account can have it."""

    deployment: Deployment = key(
        "Who signs people in, and where Kubeflow keeps its state. 'vanilla': Dex signs in everybody in [people], and "
        "the state is in the cluster. 'cognito': the load balancer signs in by identity.cognito. 'rds-s3': the state "
        "is in the database and in S3. 'cognito-rds-s3': both."
    )
    idle_notebook_minutes: Annotated[int, Field(ge=10, le=10080)] = key(
        "Minutes after which a notebook without a busy kernel is stopped and releases its GPUs; its files remain. "
        "VS Code and RStudio do not report activity and are stopped that long after their start.",
        default=240,
    )
    notebook_storage_gib: Annotated[int, Field(ge=1, le=16384)] = key(
        "Size of the disk that a new notebook gets, in GiB, unless its owner asks for another.", default=10
    )
    trainer: bool = key(
        "Kubeflow Trainer 2 for TrainJob, next to the Training Operator for TFJob, PyTorchJob and XGBoostJob.",
        default=False,
    )
    kueue: bool = key(
        "Kueue, in which jobs of a team wait until its quota has room.",
        default=False,
    )
    model_registry: bool = key(
        "A model registry for each team, with a database of its own, and one page for all of them.",
        default=False,
    )
    spark_history: bool = key(
        "For each team, Spark's history server over the event logs of its programs in S3, and a proxy to the pages of "
        "running programs. Both take some 1.5 GiB of memory for each team.",
        default=False,
    )
    kserve: bool = key(
        "KServe in standard deployment mode, for models that teams serve from this cluster.",
        default=False,
    )

    @property
    def by_cognito(self) -> bool:
        """Whether Cognito signs people in; otherwise Dex does."""
        return self.deployment.startswith("cognito")

    @property
    def namespaces(self) -> tuple[str, ...]:
        """Namespaces with controllers of Kubeflow."""
        return (
            "kubeflow",
            *(["kubeflow-system"] if self.trainer else []),
            *(["kueue-system"] if self.kueue else []),
        )

    @property
    def in_aws(self) -> bool:
        """Whether the state is in RDS and S3; otherwise it is in the cluster."""
        return self.deployment.endswith("rds-s3")


def with_deployment(values: Mapping[str, Any], deployment: Deployment) -> dict[str, Any]:
    """The values of an account file with another option for its Kubeflow.

    If Dex signs people in, there is no user pool, no job adviser and no Airflow, whose clients are in the user pool.
    """
    clusters = {name: dict(cluster) for name, cluster in values.get("clusters", {}).items()}
    for cluster in clusters.values():
        if "kubeflow" in cluster:
            cluster["kubeflow"] = {**cluster["kubeflow"], "deployment": deployment}
    identity = dict(values.get("identity", {}))
    if not deployment.startswith("cognito"):
        identity.pop("cognito", None)
        values = {name: value for name, value in values.items() if name != "adviser"}
        if "airflow" in (workloads := dict(values.get("workloads", {}))):
            del workloads["airflow"]
            values["workloads"] = workloads
    return {**values, "clusters": clusters, "identity": identity}


class _Cluster(Protocol):
    @property
    def purpose(self) -> str: ...

    @property
    def kubeflow(self) -> Kubeflow | None: ...


def problems_of_kubeflow(
    clusters: Mapping[str, _Cluster],
    *,
    has_cognito: bool | None,
    has_people: bool | None,
    has_teams: bool | None,
    isolated: bool,
) -> Iterator[str]:
    """What does not fit the account, one line each.

    :param has_cognito: whether the account has a user pool; None where [identity] is wrong in itself.
    :param has_people: whether the account names people; None where [people] is wrong in itself.
    :param has_teams: whether the account has teams; None where [teams] is wrong in itself.
    :param isolated: whether the network has no internet access.
    """
    having = {name: cluster.kubeflow for name, cluster in clusters.items() if cluster.kubeflow}
    if len(having) > 1:
        first, second = list(having)[:2]
        yield (
            f"{second}.kubeflow: {first} has it already; the load balancer and the database serve one Kubeflow, so "
            "remove one of the tables"
        )
    for name, kubeflow in having.items():
        place = f"{name}.kubeflow.deployment"
        if clusters[name].purpose != "training":
            yield f"{name}.kubeflow: the cluster is for {clusters[name].purpose}; put the table into a training cluster"
        if kubeflow.by_cognito and has_cognito is False:
            yield (
                f"{place}: {kubeflow.deployment!r} needs a user pool behind a load balancer; add [identity.cognito] "
                f"and [identity.load_balancer], or choose {_without_cognito(kubeflow)!r}"
            )
        if kubeflow.by_cognito and isolated:
            yield (
                f"{place}: {kubeflow.deployment!r}: network.nat is 'none', and the mesh reads the keys of the user "
                f"pool at its public address; choose {_without_cognito(kubeflow)!r} without [identity.cognito], or "
                "another network.nat"
            )
        if has_cognito and not kubeflow.by_cognito:
            yield (
                f"{place}: {kubeflow.deployment!r} signs people in by Dex, but [identity.cognito] is set; remove that "
                f"table, or choose {_with_cognito(kubeflow)!r}"
            )
        if has_people is False and not kubeflow.by_cognito:
            yield f"{place}: {kubeflow.deployment!r} signs in everybody in [people], which is empty; add a person"
        if kubeflow.model_registry and has_teams is False:
            yield (
                f"{name}.kubeflow.model_registry: a registry belongs to a team, and [teams] is empty; add a team, or "
                "remove the key"
            )


def _without_cognito(kubeflow: Kubeflow) -> str:
    return "rds-s3" if kubeflow.in_aws else "vanilla"


def _with_cognito(kubeflow: Kubeflow) -> str:
    return "cognito-rds-s3" if kubeflow.in_aws else "cognito"

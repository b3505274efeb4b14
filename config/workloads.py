"""The ``[workloads]`` section: jobs that pipelines start in other AWS services."""

import ipaddress
from collections.abc import Collection, Iterator
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from config.identity import Identity
from config.network import Network
from config.people import Name
from config.section import Mistake, Section, key

_RELEASE = r"^emr-\d+\.\d+\.\d+$"
MOST_TEAMS = 20
"""Teams whose jobs have a role in the stack Workloads. CloudFormation takes 200 outputs, and a team with all kinds of
jobs has nine.

https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html
"""


class Emr(Section):
    """Roles and networks of EMR clusters that pipelines create and delete, for each team its own."""


class EmrServerless(Section):
    """An application of EMR Serverless for Spark for each team."""

    release: Annotated[str, Field(pattern=_RELEASE)] = key("Release of EMR.", default="emr-7.10.0")
    max_vcpus: Annotated[int, Field(ge=4, le=4000)] = key(
        "vCPUs of all jobs of a team together, which bounds the cost. Each comes with up to 8 GB of memory.", default=64
    )
    idle_minutes: Annotated[int, Field(ge=1, le=10080)] = key(
        "Minutes after which the idle application stops. It costs nothing then.", default=15
    )


class SageMaker(Section):
    """Role and network of SageMaker training and processing jobs, for each team its own."""

    repositories: tuple[str, ...] = key(
        "Container repositories of storage.repositories whose images the jobs may pull.", default=("training",)
    )


class Airflow(Section):
    """Apache Airflow by Amazon MWAA, whose DAGs start pipelines of Kubeflow. MWAA charges for each hour, used or not.

    Its web server has an address in the VPC only.
    """

    machine: Name = key("Machine of identity.cognito.machines as which DAGs call Kubeflow Pipelines.")
    dags: Annotated[str, Field(max_length=200, pattern=r"^[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*$")] = key(
        "Folder of the DAGs in this repository. They can import mlplatform_components.", default="examples/airflow"
    )
    version: Literal["2.10.3", "2.11.0", "3.0.6"] = key(
        "Version of Airflow. MWAA changes the minor version in place; another major version needs a new environment. "
        "The example DAG needs 3.",
        default="3.0.6",
    )
    environment_class: Literal["mw1.micro", "mw1.small", "mw1.medium", "mw1.large", "mw1.xlarge", "mw1.2xlarge"] = key(
        "Size of workers, schedulers and web servers. 'mw1.micro' runs three tasks at once in its one worker.",
        default="mw1.small",
    )
    min_workers: Annotated[int, Field(ge=1, le=25)] = key("Workers that always run.", default=1)
    max_workers: Annotated[int, Field(ge=1, le=25)] | None = key(
        "Workers to which MWAA scales. Default: 1 for 'mw1.micro', else 2, or min_workers if that is more.",
        default=None,
    )

    @model_validator(mode="after")
    def _workers_fit(self) -> Self:
        if self.environment_class == "mw1.micro" and (self.min_workers, self.max_workers or 1) != (1, 1):
            raise Mistake("mw1.micro has one worker; remove min_workers and max_workers, or choose mw1.small")
        if self.max_workers is not None and self.max_workers < self.min_workers:
            raise Mistake(
                f"max_workers: must be min_workers or more, got {self.max_workers}; min_workers is {self.min_workers}"
            )
        return self


class Workloads(Section):
    """Jobs that pipelines of teams may start in other AWS services. The jobs of a team reach no data of another."""

    emr: Emr | None = key("EMR clusters. Default: pipelines cannot create any.", default=None)
    emr_serverless: EmrServerless | None = key("EMR Serverless. Default: no application.", default=None)
    sagemaker: SageMaker | None = key("SageMaker jobs. Default: pipelines cannot create any.", default=None)
    airflow: Airflow | None = key(
        "Airflow. Default: none; needs identity.cognito with a machine that has a scope for /pipeline/*.", default=None
    )

    @property
    def has_jobs(self) -> bool:
        """Whether pipelines may start any jobs."""
        return any((self.emr, self.emr_serverless, self.sagemaker))


def problems_of_jobs(workloads: Workloads, teams: Collection[str]) -> Iterator[str]:
    """The settings with which no team can start jobs, or not all teams can, one line each."""
    if not workloads.has_jobs:
        return
    kinds = [name for name in ("emr", "emr_serverless", "sagemaker") if getattr(workloads, name)]
    if not teams:
        yield f"{kinds[0]}: jobs belong to teams, and the account has none; add one to [teams], or remove the table"
    if len(teams) > MOST_TEAMS:
        yield (
            f"{kinds[0]}: {len(teams)} teams would have roles of jobs, CloudFormation takes {MOST_TEAMS}; remove "
            "teams, or the tables of jobs"
        )


def problems_of_airflow(workloads: Workloads, identity: Identity, network: Network) -> Iterator[str]:
    """The settings with which DAGs cannot call Kubeflow, one line each."""
    airflow, balancer = workloads.airflow, identity.load_balancer
    if airflow is None:
        return
    if network.nat == "none":
        yield (
            "airflow: network.nat is 'none', and DAGs get their token from the user pool, which has no private "
            "address; remove the table, or choose another network.nat"
        )
    machines = identity.cognito.machines if identity.cognito else {}
    scopes = identity.cognito.scopes if identity.cognito else {}
    usable = {name for name, scope in scopes.items() if any(path.startswith("/pipeline/") for path in scope.paths)}
    fitting = sorted(name for name, machine in machines.items() if usable.intersection(machine.scopes))
    if airflow.machine not in fitting:
        fix = f"name one of {', '.join(fitting)}" if fitting else "add one to identity.cognito.machines"
        yield f"airflow.machine: {airflow.machine!r} is not a machine with a scope for /pipeline/*; {fix}"
    allowed = balancer.allowed_cidrs if balancer and not balancer.internet_facing else None
    inside = ipaddress.IPv4Network(network.cidr)
    if allowed is not None and not any(inside.subnet_of(ipaddress.IPv4Network(each)) for each in allowed):
        yield (
            f"airflow: identity.load_balancer.allowed_cidrs has no {network.cidr}, from where DAGs call Kubeflow; add "
            "it"
        )

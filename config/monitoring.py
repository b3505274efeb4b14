"""The ``[clusters.<name>.monitoring]`` section: Prometheus, Alertmanager and Grafana on a cluster."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Literal, Protocol

from pydantic import Field

from config.section import InstanceType, Section, key

WorkspaceArn = Annotated[str, Field(pattern=r"^arn:aws[-a-z]*:aps:[-a-z0-9]+:\d{12}:workspace/ws-[-0-9a-z]+$")]
LabelName = Annotated[str, Field(pattern=r"^[a-zA-Z_][a-zA-Z0-9_]*$")]
TopicArn = Annotated[str, Field(pattern=r"^arn:aws[-a-z]*:sns:[-a-z0-9]+:\d{12}:[-A-Za-z0-9_]+$")]


class Objectives(Section):
    """What every model promises over 30 days. Alerts fire when a promise will be broken at the present rate."""

    availability: Annotated[float, Field(ge=50, lt=100)] = key(
        "Percentage of requests without a server error.", default=99.9
    )
    latency_milliseconds: Literal[50, 100, 250, 500, 1000, 2500, 5000, 10000] = key(
        "Time within which most requests are answered. The proxies of the mesh count by these limits only.", default=500
    )
    fast_enough: Annotated[float, Field(ge=50, lt=100)] = key(
        "Percentage of requests that are answered within that time.", default=99.0
    )


class AlertRoute(Section):
    """Alerts with certain labels that another topic receives, too."""

    labels: Annotated[dict[LabelName, Annotated[str, Field(min_length=1)]], Field(min_length=1)] = key(
        'Labels that an alert must have, such as { namespace = "churn" } or { severity = "critical" }.'
    )
    topic_arn: TopicArn = key(
        "SNS topic of this account. The key that encrypts it must admit roles of this account by their own policies."
    )
    exclusive: bool = key("Whether the platform's own topic does not get these alerts.", default=False)


class Monitoring(Section):
    """Prometheus, Alertmanager and Grafana on this cluster. Without the table, the cluster has none."""

    retention_days: Annotated[int, Field(ge=1, le=365)] = key(
        "Days that Prometheus keeps series. They are deleted earlier when its volume is 85 % full.", default=15
    )
    storage_gib: Annotated[int, Field(ge=10, le=16384)] = key(
        "Volume of each of the two Prometheus servers, in GiB; about 1 GiB a day for 10,000 series.", default=50
    )
    memory_gib: Annotated[int, Field(ge=1, le=256)] = key(
        "Memory of each Prometheus server, in GiB; about 3 for a million active series.", default=2
    )
    workspace_arn: WorkspaceArn | None = key(
        "Workspace of Amazon Managed Service for Prometheus that receives every sample as well, and that Grafana "
        "reads. Default: none; series stay in the cluster.",
        default=None,
    )
    objectives: Objectives = key("What models promise.", default=Objectives())
    prices: dict[InstanceType, Annotated[float, Field(gt=0, allow_inf_nan=False)]] = key(
        "US dollars per hour by instance type, for the cost of nodes. Default: none; cost is not computed.",
        default_factory=dict,
    )
    routes: dict[Annotated[str, Field(pattern=r"^[a-z]([-a-z0-9]{0,40}[a-z0-9])?$")], AlertRoute] = key(
        "Further recipients of alerts, by name. The topic of [alarms] receives all that no exclusive route takes.",
        default_factory=dict,
    )


class _Cluster(Protocol):
    @property
    def monitoring(self) -> Monitoring | None: ...


def problems_of_monitoring(
    clusters: Mapping[str, _Cluster], *, account: str | None, region: str | None, isolated: bool
) -> Iterator[str]:
    """What does not fit the account, one line each.

    :param account: its id; None where that is wrong in itself.
    :param region: its Region; None where that is wrong in itself.
    :param isolated: whether the network has no internet access.
    """
    for name, cluster in clusters.items():
        found = cluster.monitoring
        if not found:
            continue
        place = f"{name}.monitoring"
        if isolated:
            yield (
                f"{place}: network.nat is 'none', and the network has no endpoint of sns, by which alerts leave it; "
                "remove the table, or choose another network.nat"
            )
        if found.workspace_arn:
            there = found.workspace_arn.split(":")[3]
            if region and there != region:
                yield f"{place}.workspace_arn: the workspace is in {there}; create one in {region}"
        for route_name, route in found.routes.items():
            owner, there = route.topic_arn.split(":")[4], route.topic_arn.split(":")[3]
            if account and owner != account:
                yield (
                    f"{place}.routes.{route_name}.topic_arn: the topic is of account {owner}; name one of {account}, "
                    "and subscribe the other account to it"
                )
            elif region and there != region:
                yield f"{place}.routes.{route_name}.topic_arn: the topic is in {there}; name one in {region}"

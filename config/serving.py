"""The ``[clusters.<name>.serving]`` section: what serves models on a cluster."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Protocol

from pydantic import Field, model_validator

from config.section import Mistake, Section, key


class Serving(Section):
    """Servers of models on this cluster, and a namespace for each team's models. Default: none.

    Plain servers, such as ``ModelServer`` of the library, need neither Seldon Core nor KServe.
    """

    seldon: bool = key(
        "Seldon Core 1.17.1 behind Ambassador (Emissary-ingress): canaries, A/B tests, shadows, bandits and graphs.",
        default=True,
    )
    kserve: bool = key("KServe in its standard mode, without Knative.", default=False)
    scale_from_zero: bool = key(
        "KEDA 2.20: servers that have no replica while there is nothing to do. It scales workloads in the namespaces "
        "of teams only, and serves the external metrics of the cluster.",
        default=False,
    )
    host: Annotated[str, Field(pattern=r"^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$")] | None = key(
        "Name of Ambassador below network.domain, such as 'models': an internal load balancer of its own takes HTTPS "
        "from the network. Default: pods of the cluster alone reach it.",
        default=None,
    )

    @model_validator(mode="after")
    def _host_has_a_gateway(self) -> "Serving":
        if self.host and not self.seldon:
            raise Mistake(f"host: {self.host!r} is the name of Ambassador; set seldon = true, or remove it")
        return self


class _Cluster(Protocol):
    @property
    def purpose(self) -> str: ...

    @property
    def workload_identity(self) -> str: ...

    @property
    def serving(self) -> Serving | None: ...


def problems_of_serving(
    clusters: Mapping[str, _Cluster], *, domain: str | None, own_names: tuple[str, ...], has_teams: bool | None
) -> Iterator[str]:
    """What does not fit the account, one line each.

    :param domain: of the network.
    :param own_names: DNS names that other parts of the platform have.
    :param has_teams: whether the account has teams; None where [teams] is wrong in itself.
    """
    hosts: dict[str, str] = {}
    for name, cluster in clusters.items():
        if not (serving := cluster.serving):
            continue
        if cluster.purpose != "inference":
            yield (
                f"{name}.serving: the cluster is for {cluster.purpose}; put the table into an inference cluster, or "
                "set kubeflow.kserve"
            )
        if serving.seldon and cluster.workload_identity == "pod_identity":
            yield (
                f"{name}.serving.seldon: servers of Seldon Core 1.17.1 are older than EKS Pod Identity and could not "
                f"read models; set {name}.workload_identity = 'irsa', or seldon = false"
            )
        if serving.scale_from_zero and has_teams is False:
            yield (
                f"{name}.serving.scale_from_zero: KEDA scales servers in the namespaces of teams, and [teams] is "
                "empty; add a team, or set scale_from_zero = false"
            )
        if serving.host is None:
            continue
        if domain is None:
            yield f"{name}.serving.host: {serving.host!r} needs a domain; set network.domain, or remove host"
        elif f"{serving.host}.{domain}" in own_names:
            yield f"{name}.serving.host: {serving.host}.{domain} is a name of [identity]; choose another"
        if serving.host in hosts:
            yield f"{name}.serving.host: {serving.host!r} is also that of {hosts[serving.host]}; choose another"
        hosts[serving.host] = name

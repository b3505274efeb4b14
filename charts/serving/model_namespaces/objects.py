from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from constructs import Construct

from charts.kit import network
from charts.kit.admission import admission_policy, admission_rule
from charts.kit.chart import ComponentChart
from charts.kit.objects import namespace, selector
from charts.kit.rbac import binding, group_subject, role, rule, service_account

SERVER, BATCH = "model-server", "batch-serving"
"""Service accounts of a team: one that reads models, and one that also reads data sets and writes predictions."""
DEPLOYER = "model-deployer"
"""Role that deploys a team's model servers and switches their traffic."""
READINESS_GATES = {"elbv2.k8s.aws/pod-readiness-gate-inject": "enabled"}
"""Label of namespaces whose pods are ready only when the load balancer finds them healthy."""


_DEPLOYERS = "mlplatform:deployers:"


def deployers(team: str) -> str:
    """The group that may deploy the model servers of a team. Access entries of the cluster add members."""
    return f"{_DEPLOYERS}{team}"


@dataclass(frozen=True, kw_only=True)
class ModelNamespace:
    """The namespace in which a team serves its models.

    :param name: of the team.
    :param server: annotations of the service account ``model-server``.
    :param batch: annotations of the service account ``batch-serving``.
    :param annotations: of the namespace.
    """

    name: str
    server: Mapping[str, str] = field(default_factory=dict)
    batch: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)


class ModelNamespaces(ComponentChart):
    """A namespace for the models of each team, closed to others except the gateway and Prometheus.

    Deployers run pods as ``model-server`` only, by an admission policy: the author of a Deployment chooses its service
    account, and RBAC cannot restrict the choice.

    :param teams: the namespaces.
    :param level: pod security level. The pods that Seldon Core writes, and the router of KServe's
        InferenceGraphs, need ``baseline``.
    :param gateway: namespace and name of the API gateway's pods. Default: there is none.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        teams: Sequence[ModelNamespace],
        level: Literal["baseline", "restricted"] = "restricted",
        gateway: tuple[str, str] | None = None,
    ) -> None:
        super().__init__(scope, id)
        for team in teams:
            peers: list[Mapping[str, Any]] = [{"podSelector": {}}, network.pods_of("monitoring")]
            if gateway:
                peers.append(network.pods_of(gateway[0], selector(gateway[1])))
            found = namespace(team.name, security=level, **READINESS_GATES)
            about = {**found["metadata"], "annotations": dict(team.annotations)}
            self.add(
                {**found, "metadata": about} if team.annotations else found,
                network.deny_all(team.name),
                network.network_policy("team-and-gateway", team.name, ingress=[network.allow(*peers, ports=[])]),
                service_account(SERVER, team.name, annotations=dict(team.server)),
                service_account(BATCH, team.name, annotations=dict(team.batch)),
                role(
                    DEPLOYER,
                    [
                        rule("apps", "deployments", "create delete get list patch"),
                        rule("", "services", "create get patch"),
                    ],
                    namespace=team.name,
                ),
                binding(DEPLOYER, group_subject(deployers(team.name)), namespace=team.name),
            )
        if teams:
            self.add(*_restricted_deployers())


def _restricted_deployers() -> list[dict[str, Any]]:
    """The policy that allows deployers one service account and no Secret of the namespace."""
    return admission_policy(
        "mlplatform-deployers",
        rules=[admission_rule("apps", "v1", "deployments", "CREATE UPDATE")],
        when={"deployers": f"request.userInfo.groups.exists(group, group.startsWith('{_DEPLOYERS}'))"},
        variables={
            "pod": "object.spec.template.spec",
            "containers": "variables.pod.containers + variables.pod.?initContainers.orValue([])",
        },
        expressions={
            f"deployers of models run pods as the service account {SERVER} only": (
                f"variables.pod.?serviceAccountName.orValue('') == '{SERVER}'"
            ),
            "deployers of models may mount no Secret": (
                "variables.pod.?volumes.orValue([]).all(volume, !has(volume.secret) && (!has(volume.projected) || "
                "volume.projected.?sources.orValue([]).all(source, !has(source.secret))))"
            ),
            "deployers of models may read no Secret into the environment": (
                "variables.containers.all(container, "
                "container.?envFrom.orValue([]).all(source, !has(source.secretRef)) && "
                "container.?env.orValue([]).all(item, !has(item.valueFrom) || !has(item.valueFrom.secretKeyRef)))"
            ),
        },
    )

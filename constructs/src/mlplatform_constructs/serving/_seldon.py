from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

from .._arguments import ConfigurationError, check_fields
from ..kubeflow._objects import MAX_NAME, check_name, custom_object
from ..kubeflow._pods import placement
from ._defaults import ServingDefaults
from ._graph import FIRST_PORT, Explainer, GraphStep, ModelContainer, PrepackagedServer
from ._scaling import ScaleFromZero, Scaling
from ._served import Resources, Wire

_PATHS = {
    "seldon": "/api/v1.0/predictions",
    "v2": "/v2/models/{model}/infer",
    "tensorflow": "/v1/models/{model}:predict",
}
_REWARD = "/api/v1.0/feedback"
_EXECUTOR = Resources(cpu="100m", memory="256Mi")


@dataclass(frozen=True, kw_only=True)
class Predictor:
    """One variant of a served model: a graph in pods of its own.

    :param name: such as ``stable``. Keep it when the model changes, so that Kubernetes rolls the pods.
    :param graph: its first step.
    :param traffic: percentage of the requests. Default: 100.
    :param shadow: whether it receives copies of the requests, whose responses are discarded. Default: False.
    :param replicas: how many pods, or the autoscaler that owns the number. Default: 2.
    :param purpose: ``purpose`` of the node groups in the account file. Default: ``general``.
    :param explainer: Default: none.
    :raises ConfigurationError: for steps of one name or port, or GPUs on nodes without.
    """

    name: str
    graph: GraphStep
    traffic: int = 100
    shadow: bool = False
    replicas: int | Scaling | ScaleFromZero = 2
    purpose: str = "general"
    explainer: Explainer | None = None

    def __post_init__(self) -> None:
        place = self._place
        check_fields(self, place)
        check_name(place, "name", self.name, longest=30)
        check_name(place, "purpose", self.purpose)
        if not 0 <= self.traffic <= 100:
            raise ConfigurationError(f"{place}: traffic must be 0 to 100, a percentage, got {self.traffic}")
        if self.shadow and self.traffic:
            raise ConfigurationError(
                f"{place}: a shadow has no share of the requests; set traffic=0, got {self.traffic}"
            )
        if isinstance(self.replicas, int) and self.replicas < 1:
            raise ConfigurationError(f"{place}: replicas must be 1 or more, got {self.replicas}; use ScaleFromZero")
        names = [step.name for step in self.graph.steps()]
        if twice := [name for name in names if names.count(name) > 1]:
            raise ConfigurationError(f"{place}: graph: two steps are called {twice[0]!r}; rename one")
        self._check_ports(place)
        if self.purpose == "general" and any(step.resources and step.resources.gpus for step in self.graph.steps()):
            raise ConfigurationError(f"{place}: GPUs need nodes that have some; give purpose, such as 'inference'")

    @property
    def _place(self) -> str:
        return f"Predictor {self.name!r}"

    def _check_ports(self, place: str) -> None:
        owners: dict[int, str] = {}
        for step, port in self.ports.items():
            if port in owners:
                raise ConfigurationError(
                    f"{place}: graph: steps {owners[port]!r} and {step!r} both answer on port {port} of one pod; "
                    "change one, or leave both out"
                )
            owners[port] = step

    @property
    def ports(self) -> dict[str, int]:
        """Port by step, for steps with a container of their own."""
        own = {step.name: step.runs for step in self.graph.steps() if isinstance(step.runs, ModelContainer)}
        taken = {container.port for container in own.values() if container.port}
        free = iter(port for port in range(FIRST_PORT, FIRST_PORT + 500) if port not in taken)
        return {name: container.port or next(free) for name, container in own.items()}

    def to_json(
        self,
        *,
        deployment: str,
        namespace: str,
        protocol: Wire,
        defaults: ServingDefaults,
        service_account: str,
        secret: str,
    ) -> dict[str, Any]:
        """The predictor in Seldon's format."""
        labels = {"app.kubernetes.io/name": deployment, "mlplatform/predictor": self.name}
        steps = list(self.graph.steps())
        containers = [step.container(self.ports.get(step.name, 0), protocol, defaults) for step in steps]
        pod = {
            "serviceAccountName": service_account,
            "terminationGracePeriodSeconds": defaults.grace_seconds,
            "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
            "topologySpreadConstraints": [defaults.spread(labels)],
            "containers": [container for container in containers if container],
            **placement(self.purpose, sum(step.resources.gpus for step in steps if step.resources)),
        }
        component: dict[str, Any] = {
            "metadata": {"labels": labels},
            "spec": pod,
            "pdbSpec": {"maxUnavailable": 1},
        }
        count: dict[str, int] = {}
        match self.replicas:
            case int(number):
                count = {"replicas": number}
            case Scaling() as scaling:
                component["hpaSpec"] = {
                    "minReplicas": scaling.least,
                    "maxReplicas": scaling.most,
                    "metricsv2": [metric.to_json(namespace) for metric in scaling.metrics],
                }
            case ScaleFromZero() as scaling:
                component["kedaSpec"] = scaling.spec()
        explainer = (
            {"explainer": self.explainer.to_json(service_account=service_account, secret=secret)}
            if self.explainer
            else {}
        )
        return {
            "name": self.name,
            "graph": self.graph.to_json(self.ports, service_account=service_account, secret=secret),
            "componentSpecs": [component],
            "svcOrchSpec": {"resources": _EXECUTOR.to_json()},
            **count,
            **({"shadow": True} if self.shadow else {"traffic": self.traffic}),
            **explainer,
        }


@dataclass(frozen=True, kw_only=True)
class SeldonDeployment:
    """A model served by Seldon Core, behind the Ambassador gateway.

    Start from :meth:`single`, :meth:`canary`, :meth:`ab_test`, :meth:`shadow` or :meth:`bandit`.

    :param predictors: the variants. The first one is the main one.
    :param protocol: of the requests. Default: ``v2``, the Open Inference Protocol.
    :param defaults: what keeps it available. Default: those of :class:`ServingDefaults`.
    :param service_account: with access to the model repository. Default: ``model-server``.
    :param region: of the bucket of the models.
    :raises ConfigurationError: for shares that do not sum to 100, a server without the protocol, or names that are too
        long for what the operator derives from them.
    """

    GATEWAY: ClassVar[str] = "emissary-ingress.emissary.svc.cluster.local"
    """Address of Ambassador inside the cluster."""
    STORAGE_SECRET: ClassVar[str] = "model-storage"
    """Secret with the settings, not credentials, by which servers read S3 as their service account."""

    name: str
    namespace: str
    predictors: tuple[Predictor, ...]
    region: str
    protocol: Wire = "v2"
    defaults: ServingDefaults = field(default_factory=ServingDefaults)
    service_account: str = "model-server"

    def __post_init__(self) -> None:
        place = self._place
        check_fields(self, place)
        check_name(place, "name", self.name, longest=40)
        for each in ("namespace", "service_account"):
            check_name(place, each, getattr(self, each))
        if not self.predictors:
            raise ConfigurationError(f"{place}: predictors is empty; give at least one")
        names = [predictor.name for predictor in self.predictors]
        if twice := [name for name in names if names.count(name) > 1]:
            raise ConfigurationError(f"{place}: two predictors are called {twice[0]!r}; rename one")
        shares = {predictor.name: predictor.traffic for predictor in self.predictors if not predictor.shadow}
        if sum(shares.values()) != 100:
            written = ", ".join(f"{name}={share}" for name, share in shares.items())
            raise ConfigurationError(
                f"{place}: traffic of all predictors must sum to 100, got {sum(shares.values())} ({written})"
            )
        for predictor in self.predictors:
            self._check_predictor(predictor)

    def _check_predictor(self, predictor: Predictor) -> None:
        for step in predictor.graph.steps():
            service = f"{self.name}-{predictor.name}-{step.name}"
            if len(service) > MAX_NAME:
                raise ConfigurationError(
                    f"{self._place}: its Service would be named {service!r}, {len(service) - MAX_NAME} characters too "
                    "long; shorten the name of deployment, predictor or step"
                )
            if isinstance(step.runs, PrepackagedServer):
                known = PrepackagedServer.PROTOCOLS[step.runs.implementation]
                if self.protocol not in known:
                    raise ConfigurationError(
                        f"{self._place}: {step.runs.implementation} does not answer protocol {self.protocol!r}; use "
                        f"{' or '.join(map(repr, known))}"
                    )

    @property
    def _place(self) -> str:
        return f"SeldonDeployment {self.name!r}"

    @classmethod
    def single(
        cls,
        name: str,
        namespace: str,
        model: GraphStep,
        *,
        region: str,
        replicas: int | Scaling | ScaleFromZero = 2,
        purpose: str = "general",
        explainer: Explainer | None = None,
        protocol: Wire = "v2",
    ) -> Self:
        """One model. A new version of it rolls out without downtime, see :meth:`with_model`."""
        main = Predictor(name="main", graph=model, replicas=replicas, purpose=purpose, explainer=explainer)
        return cls(name=name, namespace=namespace, predictors=(main,), region=region, protocol=protocol)

    @classmethod
    def canary(
        cls,
        name: str,
        namespace: str,
        stable: GraphStep,
        candidate: GraphStep,
        *,
        percent: int,
        region: str,
        protocol: Wire = "v2",
    ) -> Self:
        """Two versions, of which the second gets ``percent`` of the requests."""
        if not 0 < percent < 100:
            raise ConfigurationError(f"SeldonDeployment {name!r}: percent must be 1 to 99, got {percent}")
        predictors = (
            Predictor(name="main", graph=stable, traffic=100 - percent),
            Predictor(name="canary", graph=candidate, traffic=percent),
        )
        return cls(name=name, namespace=namespace, predictors=predictors, region=region, protocol=protocol)

    @classmethod
    def ab_test(
        cls,
        name: str,
        namespace: str,
        first: GraphStep,
        second: GraphStep,
        *,
        region: str,
        first_share: float = 0.5,
        protocol: Wire = "v2",
    ) -> Self:
        """Two models in one pod, between which the executor chooses at random for each request."""
        graph = GraphStep.ab_test("choice", first, second, first_share=first_share)
        return cls.single(name, namespace, graph, region=region, protocol=protocol)

    @classmethod
    def shadow(
        cls,
        name: str,
        namespace: str,
        live: GraphStep,
        candidate: GraphStep,
        *,
        region: str,
        protocol: Wire = "v2",
    ) -> Self:
        """A live model, and a candidate that receives a copy of each request; its responses are discarded."""
        predictors = (
            Predictor(name="main", graph=live),
            Predictor(name="shadow", graph=candidate, traffic=0, shadow=True),
        )
        return cls(name=name, namespace=namespace, predictors=predictors, region=region, protocol=protocol)

    @classmethod
    def bandit(
        cls,
        name: str,
        namespace: str,
        models: tuple[GraphStep, ...] | list[GraphStep],
        *,
        router: ModelContainer,
        region: str,
        exploration: float = 0.1,
    ) -> Self:
        """A multi-armed bandit: the router prefers the model with the best rewards so far, which clients report to
        :attr:`feedback_url`, and tries the others for a share of the requests.

        It speaks Seldon's protocol, the only one with rewards.

        :param router: a container that routes by the epsilon-greedy rule. It receives ``n_branches`` and ``epsilon``.
        :param exploration: the share of requests that go to any model at random.
        """
        if not 0 < exploration < 1:
            raise ConfigurationError(
                f"SeldonDeployment {name!r}: exploration must be between 0 and 1, got {exploration}"
            )
        graph = GraphStep(
            name="bandit",
            runs=router,
            kind="ROUTER",
            children=tuple(models),
            parameters={"n_branches": len(models), "epsilon": float(exploration)},
        )
        # The router counts rewards in its memory: two of them would learn half each.
        return cls.single(name, namespace, graph, region=region, replicas=1, protocol="seldon")

    def with_model(self, model: GraphStep) -> Self:
        """The same deployment with another version of its one model. Applied, it is a rolling update: names, Services
        and the predictor are the same, so Kubernetes replaces pods one by one.

        :raises ConfigurationError: for a deployment with several predictors, or a step of another name.
        """
        if len(self.predictors) != 1:
            raise ConfigurationError(f"{self._place}: has {len(self.predictors)} predictors; change the one you mean")
        (only,) = self.predictors
        if model.name != only.graph.name:
            raise ConfigurationError(
                f"{self._place}: the step must keep its name {only.graph.name!r} in a rolling update, got "
                f"{model.name!r}; another name replaces the Deployment at once"
            )
        return replace(self, predictors=(replace(only, graph=model),))

    @property
    def prefix(self) -> str:
        """Path at the gateway."""
        return f"/seldon/{self.namespace}/{self.name}"

    @property
    def prediction_url(self) -> str:
        """Address at the gateway, which divides requests between the predictors."""
        return self._url(_PATHS[self.protocol].format(model=self.predictors[0].graph.name))

    @property
    def feedback_url(self) -> str:
        """Address for rewards of Seldon's protocol."""
        return self._url(_REWARD)

    def _url(self, path: str) -> str:
        return f"http://{self.GATEWAY}{self.prefix}{path}"

    def to_json(self) -> dict[str, Any]:
        """The object of Seldon Core."""
        spec = {
            "name": self.name,
            "protocol": self.protocol,
            "annotations": {
                "seldon.io/rest-timeout": str(1000 * self.defaults.request_seconds),
                "seldon.io/ambassador-retries": str(self.defaults.attempts - 1),
            },
            "predictors": [
                predictor.to_json(
                    deployment=self.name,
                    namespace=self.namespace,
                    protocol=self.protocol,
                    defaults=self.defaults,
                    service_account=self.service_account,
                    secret=self.STORAGE_SECRET,
                )
                for predictor in self.predictors
            ],
        }
        return custom_object("machinelearning.seldon.io/v1", "SeldonDeployment", self.name, self.namespace, spec)

    def objects(self) -> list[dict[str, Any]]:
        """The SeldonDeployment, and the storage settings of its servers if it has any."""
        return [*self._storage(), self.to_json()]

    def _storage(self) -> list[dict[str, Any]]:
        steps = [step for predictor in self.predictors for step in predictor.graph.steps()]
        servers = [step.runs for step in steps if isinstance(step.runs, PrepackagedServer)]
        explainers = [predictor.explainer for predictor in self.predictors if predictor.explainer]
        sources = [*(server.model for server in servers), *(each.model for each in explainers if each.model)]
        if not any(source.in_bucket for source in sources):
            return []
        settings = {"TYPE": "s3", "PROVIDER": "aws", "ENV_AUTH": "true", "REGION": self.region}
        return [
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": self.STORAGE_SECRET, "namespace": self.namespace},
                "stringData": {f"RCLONE_CONFIG_S3_{key}": value for key, value in settings.items()},
            }
        ]

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Self

from .._arguments import ConfigurationError, check_fields
from ..kubeflow._objects import check_environment, check_image, check_name, given, variables
from ._defaults import ServingDefaults
from ._served import ModelSource, Resources, Wire

BuiltIn = Literal["AVERAGE_COMBINER", "RANDOM_ABTEST"]
Implementation = Literal[
    "HUGGINGFACE_SERVER", "MLFLOW_SERVER", "SKLEARN_SERVER", "TENSORFLOW_SERVER", "TRITON_SERVER", "XGBOOST_SERVER"
]
FIRST_PORT = 9000
_EXECUTOR_PORTS = {8000: "HTTP", 5001: "gRPC"}
_GRPC_OFFSET = 500
_USER = 8888  # of the images of Seldon Core


@dataclass(frozen=True, kw_only=True)
class ModelContainer:
    """A container of your own that answers a step of a graph.

    :param image: with a tag or a digest, and not ``latest``.
    :param resources: of each replica.
    :param port: on which it answers HTTP. Default: the first free one from 9000, which the operator passes to the
        container as ``PREDICTIVE_UNIT_HTTP_SERVICE_PORT``.
    :param health: path that answers 200 when the model is loaded. Default: that of the protocol's servers.
    :param environment: variables. Default: none.
    :param user: number of the user that it runs as. Default: 8888, that of Seldon's images.
    :raises ConfigurationError: for a port of Seldon's executor, which runs in the same pod, or other wrong values.
    """

    image: str
    resources: Resources
    port: int | None = None
    health: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    user: int = _USER

    def __post_init__(self) -> None:
        place = "ModelContainer"
        check_fields(self, place)
        check_image(place, self.image)
        check_environment(place, self.environment)
        if self.port in _EXECUTOR_PORTS:
            raise ConfigurationError(
                f"{place}: port {self.port} is that of the executor's {_EXECUTOR_PORTS[self.port]} server in the same "
                "pod; choose another, or leave it out"
            )
        if self.port is not None and not 1024 <= self.port <= 65535:
            raise ConfigurationError(f"{place}: port must be 1024 to 65535, got {self.port}; lower ones need root")
        if self.health is not None and not self.health.startswith("/"):
            raise ConfigurationError(f"{place}: health must begin with '/', got {self.health!r}")
        if self.user < 1:
            raise ConfigurationError(f"{place}: user must be 1 or more, because 0 is root, got {self.user}")


@dataclass(frozen=True, kw_only=True)
class PrepackagedServer:
    """One of Seldon Core's servers, with a model that it loads at its start.

    :param implementation: the server.
    :param model: the files, such as a version of the model repository.
    :param resources: of each replica.
    """

    PROTOCOLS: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "HUGGINGFACE_SERVER": ("v2",),
        "MLFLOW_SERVER": ("seldon", "v2"),
        "SKLEARN_SERVER": ("seldon", "v2"),
        "TENSORFLOW_SERVER": ("seldon", "tensorflow"),
        "TRITON_SERVER": ("v2",),
        "XGBOOST_SERVER": ("seldon", "v2"),
    }
    """The protocols for which Seldon Core 1.17 has an image of the server."""

    implementation: Implementation
    model: ModelSource
    resources: Resources

    def __post_init__(self) -> None:
        check_fields(self, "PrepackagedServer")


@dataclass(frozen=True, kw_only=True)
class GraphStep:
    """A step of an inference graph: a model, or what happens before, after or between models.

    :param name: of the step and of its container.
    :param runs: what answers. Use :meth:`ab_test` and :meth:`average` for what the executor itself does.
    :param kind: ``TRANSFORMER`` changes the request before its child, ``OUTPUT_TRANSFORMER`` the response after it; a
        ``ROUTER`` chooses one child, a ``COMBINER`` joins the responses of all. Default: ``MODEL``.
    :param children: steps that follow. Default: none.
    :param parameters: of the container's class. Default: none.
    :raises ConfigurationError: for a number of children that the kind cannot have.
    """

    name: str
    runs: ModelContainer | PrepackagedServer | BuiltIn
    kind: Literal["MODEL", "TRANSFORMER", "OUTPUT_TRANSFORMER", "ROUTER", "COMBINER"] = "MODEL"
    children: tuple["GraphStep", ...] = ()
    parameters: Mapping[str, str | int | float | bool] = field(default_factory=dict)

    def __post_init__(self) -> None:
        place = f"GraphStep {self.name!r}"
        check_fields(self, place)
        check_name(place, "name", self.name, longest=40)
        if self.kind in ("ROUTER", "COMBINER") and len(self.children) < 2:
            raise ConfigurationError(
                f"{place}: a {self.kind} needs two children or more, got {len(self.children)}; without a choice, put "
                "the one model in its place"
            )
        if self.kind in ("TRANSFORMER", "OUTPUT_TRANSFORMER") and len(self.children) != 1:
            raise ConfigurationError(
                f"{place}: a {self.kind} needs one child, whose data it changes, got {len(self.children)}"
            )
        if isinstance(self.runs, PrepackagedServer) and self.kind != "MODEL":
            raise ConfigurationError(f"{place}: a prepackaged server is a MODEL, got kind={self.kind!r}")
        for parameter in self.parameters:
            check_environment(place, {parameter: ""})

    @classmethod
    def ab_test(cls, name: str, first: Self, second: Self, *, first_share: float = 0.5) -> Self:
        """A router that sends each request at random to one of two models.

        :param first_share: share of requests for ``first``, between 0 and 1.
        """
        if not 0 < first_share < 1:
            raise ConfigurationError(f"GraphStep {name!r}: first_share must be between 0 and 1, got {first_share}")
        return cls(
            name=name,
            runs="RANDOM_ABTEST",
            kind="ROUTER",
            children=(first, second),
            parameters={"ratioA": float(first_share)},
        )

    @classmethod
    def average(cls, name: str, *models: Self) -> Self:
        """The mean of the predictions of several models."""
        return cls(name=name, runs="AVERAGE_COMBINER", kind="COMBINER", children=models)

    def steps(self) -> Iterator["GraphStep"]:
        """This step and all that follow."""
        yield self
        for child in self.children:
            yield from child.steps()

    @property
    def resources(self) -> Resources | None:
        """Of its container; None for what the executor does itself."""
        return None if isinstance(self.runs, str) else self.runs.resources

    def to_json(self, ports: Mapping[str, int], *, service_account: str, secret: str) -> dict[str, Any]:
        """The step in Seldon's format.

        :param ports: port by name of the step.
        :param secret: with the storage settings of prepackaged servers.
        """
        found: dict[str, Any] = {"name": self.name}
        match self.runs:
            case PrepackagedServer(implementation=implementation, model=model):
                access = {"envSecretRefName": secret} if model.in_bucket else {}
                found |= {"implementation": implementation, "modelUri": model.uri, **access}
                found["serviceAccountName"] = service_account
            case ModelContainer():
                found["type"] = self.kind
                port = ports[self.name]
                found["endpoint"] = {
                    "type": "REST",
                    "service_host": "localhost",
                    "service_port": port,
                    "httpPort": port,
                    "grpcPort": port + _GRPC_OFFSET,
                }
            case built_in:
                found |= {"type": self.kind, "implementation": built_in}
        return found | given(
            parameters=[_parameter(name, value) for name, value in self.parameters.items()],
            children=[child.to_json(ports, service_account=service_account, secret=secret) for child in self.children],
        )

    def container(self, port: int, protocol: Wire, defaults: ServingDefaults) -> dict[str, Any] | None:
        """The container in the pod; None for what the executor does itself. The image of a prepackaged server is the
        operator's to fill in.
        """
        if isinstance(self.runs, str):
            return None
        # The operator decodes pods with types of Kubernetes 1.25, which do not know the kubelet's own sleep.
        pause = {"preStop": {"exec": {"command": ["/bin/sleep", str(defaults.drain_seconds)]}}}
        common: dict[str, Any] = {
            "name": self.name,
            "resources": self.runs.resources.to_json(),
            "lifecycle": pause,
            "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        }
        if isinstance(self.runs, PrepackagedServer):
            return common
        health = self.runs.health or ("/v2/health/ready" if protocol == "v2" else "/health/ping")
        return {
            **common,
            "image": self.runs.image,
            "ports": [
                {"name": "http", "containerPort": port, "protocol": "TCP"},
                {"name": "grpc", "containerPort": port + _GRPC_OFFSET, "protocol": "TCP"},
            ],
            **given(env=variables(self.runs.environment)),
            **defaults.probes({"httpGet": {"path": health, "port": port}}),
            "securityContext": {**common["securityContext"], "runAsUser": self.runs.user},
        }


def _parameter(name: str, value: str | int | float | bool) -> dict[str, str]:
    match value:
        case bool():
            return {"name": name, "value": str(value).lower(), "type": "BOOL"}
        case int():
            return {"name": name, "value": str(value), "type": "INT"}
        case float():
            return {"name": name, "value": str(value), "type": "FLOAT"}
    return {"name": name, "value": value, "type": "STRING"}


@dataclass(frozen=True, kw_only=True)
class Explainer:
    """Explains the predictions of a model, at ``<prefix>-explainer`` next to it.

    :param kind: the method of Alibi Explain.
    :param model: the trained explainer. Default: none; methods that need no training take the model alone.
    :param resources: of its one replica.
    """

    kind: Literal["ALE", "AnchorImages", "AnchorTabular", "AnchorText", "IntegratedGradients", "KernelShap", "TreeShap"]
    resources: Resources
    model: ModelSource | None = None

    def __post_init__(self) -> None:
        check_fields(self, "Explainer")

    def to_json(self, *, service_account: str, secret: str) -> dict[str, Any]:
        """The explainer in Seldon's format."""
        stored = {"modelUri": self.model.uri} if self.model else {}
        access = {"envSecretRefName": secret} if self.model and self.model.in_bucket else {}
        container = {
            "name": "explainer",
            "resources": self.resources.to_json(),
            "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        }
        return {
            "type": self.kind,
            "serviceAccountName": service_account,
            "containerSpec": container,
            **stored,
            **access,
        }

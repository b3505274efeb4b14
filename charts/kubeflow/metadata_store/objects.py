"""ML Metadata, release 1.14, where pipelines record which run made which artifact, and its proxy for browsers.

https://github.com/google/ml-metadata
"""

import json
from collections.abc import Sequence
from typing import Any

from constructs import Construct

from charts.kit import istio, network
from charts.kit.chart import ComponentChart
from charts.kit.kubeflow import METADATA_PROXY, METADATA_PROXY_PORT
from charts.kit.objects import Manifest, config_map, selector
from charts.kit.rbac import service_account
from charts.kit.security import run_as
from charts.kit.stores import Database
from charts.kit.web_app import web_app
from charts.kit.workloads import container, deployment, disruption_budget, pod, resources, service, tcp_probes

SERVER = "metadata-grpc-server"
SERVICE = "metadata-grpc-service"
PROXY = METADATA_PROXY
NAMESPACE = "kubeflow"
PORT = 8080

_USER = 1000
_MESSAGE_BYTES = 100 * 1024 * 1024
_OUTSIDE_THE_MESH = "The steps of pipelines record what they made, and run without a sidecar."
_METHODS = "/ml_metadata.MetadataStoreService/"
_STEPS: Manifest = {
    **network.PROFILES,
    "podSelector": {"matchExpressions": [{"key": "workflows.argoproj.io/workflow", "operator": "Exists"}]},
}
"""Pods of runs in the namespaces of all teams: the workflow controller labels each with the name of its workflow."""
BROWSER_METHODS = (
    "GetArtifactsByContext",
    "GetArtifactsByID",
    "GetArtifactTypes",
    "GetArtifactTypesByID",
    "GetContextByTypeAndName",
    "GetContextsByArtifact",
    "GetContextsByExecution",
    "GetContextsByID",
    "GetContextType",
    "GetEventsByArtifactIDs",
    "GetEventsByExecutionIDs",
    "GetExecutionsByContext",
    "GetExecutionsByID",
    "GetExecutionTypes",
    "GetExecutionTypesByID",
)
"""What the pages of runs, executions and artifacts call, except the lists of all executions and all artifacts.

https://github.com/kubeflow/pipelines/tree/2.16.1/frontend/src/mlmd
"""
STEP_METHODS = (
    "GetArtifactsByID",
    "GetArtifactsByURI",
    "GetArtifactType",
    "GetContextByTypeAndName",
    "GetContextsByArtifact",
    "GetContextsByExecution",
    "GetContextsByID",
    "GetContextType",
    "GetEventsByArtifactIDs",
    "GetEventsByExecutionIDs",
    "GetExecutionsByContext",
    "GetExecutionsByID",
    "GetParentContextsByContext",
    "PutArtifacts",
    "PutArtifactType",
    "PutContexts",
    "PutContextType",
    "PutExecution",
    "PutExecutionType",
    "PutParentContexts",
)
"""What the driver and the launcher of a step call.

https://github.com/kubeflow/pipelines/blob/2.16.1/backend/src/v2/metadata/client.go
"""


class MetadataStore(ComponentChart):
    """The gRPC server over MySQL, and the proxy by which the web page of pipelines asks it.

    The server knows no users. It answers browsers by methods that read, and pods of runs by those of the driver and
    the launcher. No method of either lists the records of all teams; each asks for a run, or for records by number. A
    caller that guesses a number reads the name and the parameters of another team's run, and a step can change its
    record. The artifacts themselves are in the bucket, where only the team reads them.

    :param server_image: of ML Metadata.
    :param proxy_image: an Envoy.
    :param database: where the server keeps everything. Its user needs the plugin ``mysql_native_password``.
    :param gateway: ``<namespace>/<name>`` of the Gateway.
    :param placement: node selection and tolerations of the platform's own pods.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        server_image: str,
        proxy_image: str,
        database: Database,
        gateway: str,
        placement: Manifest,
    ) -> None:
        super().__init__(scope, id)
        self.add(
            *_server(server_image, database, placement),
            config_map(
                "metadata-envoy-configmap", NAMESPACE, {"envoy.json": json.dumps(_proxy_configuration(), indent=2)}
            ),
            config_map(
                "metadata-grpc-configmap",
                NAMESPACE,
                {"METADATA_GRPC_SERVICE_HOST": f"{SERVICE}.{NAMESPACE}", "METADATA_GRPC_SERVICE_PORT": str(PORT)},
            ),
            *web_app(
                PROXY,
                NAMESPACE,
                container(
                    "envoy",
                    proxy_image,
                    args=["/etc/envoy/envoy.json"],
                    ports={"http": METADATA_PROXY_PORT},
                    probes=tcp_probes("http"),
                    mounts={"/etc/envoy": "configuration", "/tmp": "scratch"},
                    read_only=["/etc/envoy"],
                    resources=resources(cpu="20m", memory="64Mi"),
                ),
                port=METADATA_PROXY_PORT,
                gateway=gateway,
                prefix="/ml_metadata",
                rewrite=None,
                volumes={
                    "configuration": {"configMap": {"name": "metadata-envoy-configmap"}},
                    "scratch": {"emptyDir": {}},
                },
                security=run_as(_USER),
                placement=placement,
            ),
        )


def _server(image: str, database: Database, placement: Manifest) -> list[Manifest]:
    name = SERVER
    main = container(
        "server",
        image,
        command=["/bin/metadata_store_server"],
        args=[
            f"--grpc_port={PORT}",
            f"--mysql_config_host={database.host}",
            f"--mysql_config_port={database.port}",
            f"--mysql_config_database={database.name}",
            "--mysql_config_user=$(USERNAME)",
            "--mysql_config_password=$(PASSWORD)",
            *_encryption(database),
            "--enable_database_upgrade=true",
            f"--grpc_channel_arguments=grpc.max_receive_message_length={_MESSAGE_BYTES},"
            f"grpc.max_send_message_length={_MESSAGE_BYTES}",
        ],
        env={"USERNAME": database.username, "PASSWORD": database.password},
        ports={"grpc": PORT},
        probes=tcp_probes("grpc"),
        mounts={**database.mounts, "/tmp": "scratch"},
        read_only=[*database.mounts],
        resources=resources(cpu="100m", memory="256Mi"),
    )
    spec = pod(
        main,
        service_account=name,
        volumes={**database.volumes, "scratch": {"emptyDir": {}}},
        security=run_as(_USER),
        placement=placement,
    )
    return [
        service_account(name, NAMESPACE),
        deployment(name, NAMESPACE, spec, pod_labels={"sidecar.istio.io/inject": "true"}),
        disruption_budget(name, NAMESPACE),
        service(SERVICE, NAMESPACE, {"grpc-api": (PORT, "grpc")}, of=name),
        istio.plaintext_ports(name, NAMESPACE, PORT, reason=_OUTSIDE_THE_MESH),
        istio.authorization_policy(
            name,
            NAMESPACE,
            istio.from_accounts(f"{NAMESPACE}/{PROXY}", to=[_operation(BROWSER_METHODS)]),
            {
                "from": [{"source": {"notPrincipals": [istio.principal(f"{NAMESPACE}/{PROXY}")]}}],
                "to": [{"operation": _operation(STEP_METHODS)}],
            },
            pods=selector(name),
        ),
        network.takes(
            name,
            NAMESPACE,
            network.allow(_STEPS, {"podSelector": {"matchLabels": selector(PROXY)}}, ports=["grpc"]),
        ),
    ]


def _operation(methods: Sequence[str]) -> Manifest:
    return {"ports": [str(PORT)], "paths": [f"{_METHODS}{method}" for method in methods]}


def _encryption(database: Database) -> Sequence[str]:
    if not database.authorities:
        return ()
    return f"--mysql_config_sslrootcert={database.authorities_file}", "--mysql_config_verify_server_cert=true"


def _proxy_configuration() -> dict[str, Any]:
    """Browsers speak gRPC-Web, the server gRPC. A method that browsers may not call has no route.

    The administration of the proxy answers inside its pod only.
    """
    to_server = {"cluster": SERVICE, "max_stream_duration": {"grpc_timeout_header_max": "0s"}}
    routes = [{"match": {"path": f"{_METHODS}{method}"}, "route": to_server} for method in BROWSER_METHODS]
    hosts = [{"name": SERVICE, "domains": ["*"], "routes": routes}]
    filters = [
        _named("envoy.filters.http.grpc_web", "filters.http.grpc_web.v3.GrpcWeb"),
        _named("envoy.filters.http.router", "filters.http.router.v3.Router"),
    ]
    manager = _named(
        "envoy.filters.network.http_connection_manager",
        "filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix="metadata",
        route_config={"virtual_hosts": hosts},
        http_filters=filters,
    )
    cluster = {
        "name": SERVICE,
        "type": "STRICT_DNS",
        "connect_timeout": "10s",
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": _typed(
                "upstreams.http.v3.HttpProtocolOptions", explicit_http_config={"http2_protocol_options": {}}
            )
        },
        "load_assignment": {
            "cluster_name": SERVICE,
            "endpoints": [{"lb_endpoints": [{"endpoint": _address(SERVICE, PORT)}]}],
        },
    }
    return {
        "admin": _address("127.0.0.1", 9901),
        "static_resources": {
            "listeners": [
                {"name": "web", **_address("0.0.0.0", METADATA_PROXY_PORT), "filter_chains": [{"filters": [manager]}]}
            ],
            "clusters": [cluster],
        },
    }


def _typed(kind: str, **fields: Any) -> dict[str, Any]:
    return {"@type": f"type.googleapis.com/envoy.extensions.{kind}", **fields}


def _named(name: str, kind: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "typed_config": _typed(kind, **fields)}


def _address(host: str, port: int) -> dict[str, Any]:
    return {"address": {"socket_address": {"address": host, "port_value": port}}}

"""The model registry of Kubeflow (Hub), release 0.3: which versions of a model exist, and where they are.

https://github.com/kubeflow/hub
"""

from constructs import Construct

from charts.kit import istio, network, workloads
from charts.kit.chart import ComponentChart
from charts.kit.objects import Manifest, selector
from charts.kit.rbac import READ, access, rule
from charts.kit.security import run_as
from charts.kit.stores import Database
from charts.kit.web_app import web_app

NAMESPACE = "kubeflow"
SERVICE = "model-registry-service"
PAGE = "model-registry-ui"

SERVER = "model-registry"
"""Name of a registry's pods."""
ACCOUNT = "model-registry-server"
"""Service account of a registry's pods, which get the AWS role that reads the login of the database."""
DATABASE = "model-registry"
"""Name of the service whose login and authorities :class:`DatabaseAccess` makes for a registry."""
_PORT, _PAGE_PORT = 8080, 8080
_USER = 65532  # the images name no user that the kubelet could tell from root
_FOUND_BY = {"component": "model-registry"}
"""Label by which the web page finds the registries of namespaces."""


class ModelRegistry(ComponentChart):
    """The registry of one team, in its namespace and with a database of its own.

    Pods of the namespace reach it, and the web page, which has asked the API server what the person may do. There is no
    route from the gateway: the registry itself does not authenticate callers.

    :param namespace: of the team.
    :param image: the server's image.
    :param database: of this registry alone. Its Secret must be in the namespace.
    :param title: name on the web page. Default: that of the namespace.
    :param placement: node selection and tolerations. Default: any node without taints.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        namespace: str,
        image: str,
        database: Database,
        title: str | None = None,
        placement: Manifest | None = None,
    ) -> None:
        super().__init__(scope, id)
        container = workloads.container(
            "registry",
            image,
            command=["/model-registry", "proxy"],
            args=[
                "--hostname=0.0.0.0",
                f"--port={_PORT}",
                "--datastore-type=embedmd",
                "--embedmd-database-type=mysql",
                f"--embedmd-database-dsn={_connection(database)}",
            ],
            env={"DB_USER": database.username, "DB_PASSWORD": database.password, **database.go_authorities},
            ports={"http-api": _PORT},
            probes={
                "startupProbe": _probe("/readyz/isDirty", period=5, failures=24),
                "livenessProbe": _probe("/readyz/isDirty", period=20, failures=3),
                "readinessProbe": _probe("/readyz/health", period=10, failures=3),
            },
            mounts=database.mounts,
            read_only=[*database.mounts],
            resources=workloads.resources(cpu="50m", memory="128Mi", memory_limit="256Mi"),
        )
        pod = workloads.pod(
            container,
            service_account=ACCOUNT,
            volumes=database.volumes,
            security=run_as(_USER),
            placement=placement,
        )
        service = workloads.service(
            SERVICE,
            namespace,
            {"http-api": (_PORT, "http-api")},
            of=SERVER,
            labels=_FOUND_BY,
            annotations={"displayName": title or namespace, "description": f"Models of {namespace}"},
        )
        page = f"{NAMESPACE}/{PAGE}"
        self.add(
            *access(ACCOUNT, namespace),
            workloads.deployment(
                SERVER,
                namespace,
                {**pod, "automountServiceAccountToken": False},
                pod_labels={"sidecar.istio.io/inject": "true"},
                pod_annotations=_past_the_sidecar(database),
            ),
            service,
            workloads.disruption_budget(SERVER, namespace),
            istio.authorization_policy(
                SERVER,
                namespace,
                istio.from_accounts(page),
                {"from": [{"source": {"namespaces": [namespace]}}]},
                pods=selector(SERVER),
            ),
            network.takes(
                SERVER,
                namespace,
                network.allow(
                    network.pods_of(NAMESPACE, selector(PAGE)), network.pods_of(namespace), ports=["http-api"]
                ),
            ),
        )


class ModelRegistryPage(ComponentChart):
    """The web page of all registries. It shows a person those of the namespaces whose Services the person may read.

    :param image: the image of the page.
    :param gateway: ``<namespace>/<name>`` of the Gateway.
    :param placement: node selection and tolerations of the platform's own pods.
    """

    def __init__(self, scope: Construct, id: str, *, image: str, gateway: str, placement: Manifest) -> None:
        super().__init__(scope, id)
        container = workloads.container(
            PAGE,
            image,
            args=["--deployment-mode=kubeflow", f"--port={_PAGE_PORT}"],
            ports={"http": _PAGE_PORT},
            probes=workloads.http_probes("http", live="/healthcheck", ready="/healthcheck"),
            resources=workloads.resources(cpu="20m", memory="128Mi"),
        )
        self.add(
            *web_app(
                PAGE,
                NAMESPACE,
                container,
                port=80,
                gateway=gateway,
                prefix="/model-registry/",
                cluster=[
                    rule("", "services", READ),
                    rule("authorization.k8s.io", "subjectaccessreviews", "create"),
                    # Whether a person administers the cluster.
                    rule("rbac.authorization.k8s.io", "clusterrolebindings", READ),
                ],
                security=run_as(_USER),
                placement=placement,
                set_headers={"x-forwarded-prefix": "/model-registry"},
            )
        )


def _past_the_sidecar(database: Database) -> dict[str, str]:
    """Annotations of pods by which connections to a server outside of the mesh bypass the sidecar.

    The client of the database encrypts such a connection, and verifies the server.
    """
    port = str(database.port)
    return {"traffic.sidecar.istio.io/excludeOutboundPorts": port} if database.authorities else {}


def _connection(database: Database) -> str:
    """The address of the database for the client of MySQL; the kubelet puts user and password in."""
    encryption = "&tls=true" if database.authorities else ""
    address = f"tcp({database.host}:{database.port})/{database.name}"
    return f"$(DB_USER):$(DB_PASSWORD)@{address}?charset=utf8mb4&parseTime=true{encryption}"


def _probe(path: str, *, period: int, failures: int) -> Manifest:
    return {
        "httpGet": {"path": path, "port": "http-api"},
        "periodSeconds": period,
        "failureThreshold": failures,
        "timeoutSeconds": 5,
    }

"""The pages of Spark programs of a team: a history server for ended programs, and a proxy to running ones.

https://spark.apache.org/docs/4.0.1/monitoring.html
"""

from constructs import Construct

from charts.kit import istio, workloads
from charts.kit.chart import ComponentChart
from charts.kit.images import Images
from charts.kit.kubeflow import GATEWAY, GATEWAY_PRINCIPAL
from charts.kit.objects import Manifest, config_map, selector
from charts.kit.rbac import service_account
from charts.kit.security import run_as

HISTORY, PAGES = "spark-history", "spark-pages"
"""The history server and the proxy in the namespace of a team, each with a service account of its name."""
HISTORY_PATH, RUNNING_PATH = "/spark-history", "/spark"
"""Paths at the gateway, before the name of the team."""
EVENTS = "spark-events"
"""Folder of event logs below the prefix of a team."""

_SPARK_USER, _PROXY_USER = 185, 101  # of the images
_HISTORY_PORT, _PROXY_PORT, _PAGES_PORT = 18080, 8080, 4040
_EVENTS_FOLDER, _PROXY_FOLDER = "/var/spark-events", "/etc/spark-pages"
_NAME_SERVER = "kube-dns.kube-system.svc.cluster.local"
_COPY_SECONDS = 60
_COPIED = "/tmp/copied"
_PROBE_SECONDS = 30


class SparkHistoryServer(ComponentChart):
    """The pages of Spark programs in the namespace of one team, behind the gateway.

    The history server reads a copy of the team's event logs, which a sidecar container updates every minute: Spark's
    image has no client for S3, and the server does not start before the first program has written a log. Nothing here
    can change a log. A proxy forwards requests to the history server and to running drivers. It reaches the Services of
    drivers in its own namespace only, accepts GET only, and rewrites redirects to the address that people use.

    The mesh's policies for the owner and the contributors of the team apply to both. Two further policies deny requests
    to the proxy that do not come from the gateway, which verifies the caller, and requests to the history server that
    do not come from the proxy.

    :param team: name of the team, which is its namespace.
    :param images: the images of Spark, of the AWS command line, and of the proxy.
    :param events: address of the event logs in S3, such as ``s3://bucket/churn/spark-events``.
    :param region: of the bucket.
    :param log_gib: maximum size of the copy, in GiB. The kubelet evicts a pod with a larger one. Default: 10.
    """

    def __init__(
        self, scope: Construct, id: str, *, team: str, images: Images, events: str, region: str, log_gib: int = 10
    ) -> None:
        super().__init__(scope, id)
        history = workloads.pod(
            _server(images.reference("spark")),
            _copy(images.reference("aws-cli"), events, region),
            service_account=HISTORY,
            volumes={"events": {"emptyDir": {"sizeLimit": f"{log_gib}Gi"}}, "scratch": {"emptyDir": {}}},
            security=run_as(_SPARK_USER),
        )
        pages = workloads.pod(
            _proxy(images.reference("spark-pages-proxy")),
            service_account=PAGES,
            volumes={"configuration": {"configMap": {"name": PAGES}}, "scratch": {"emptyDir": {}}},
            security=run_as(_PROXY_USER),
        )
        self.add(
            *_deployed(HISTORY, team, history, port=_HISTORY_PORT, caller=istio.principal(f"{team}/{PAGES}")),
            config_map(PAGES, team, {"nginx.conf": proxy_configuration(team)}),
            *_deployed(PAGES, team, pages, port=_PROXY_PORT, caller=GATEWAY_PRINCIPAL),
            *(
                istio.virtual_service(
                    path.strip("/"),
                    team,
                    gateway=GATEWAY,
                    prefix=f"{path}/{team}/",
                    service=PAGES,
                    port=_PROXY_PORT,
                    rewrite=None,
                )
                for path in (HISTORY_PATH, RUNNING_PATH)
            ),
        )


def _deployed(name: str, team: str, pod: Manifest, *, port: int, caller: str) -> list[Manifest]:
    """A Deployment with its Service and policy. One replica is enough, because it holds no state of its own.

    :param caller: principal of the only pods that may call it.
    """
    alone = {"automountServiceAccountToken": False, "enableServiceLinks": False}  # no pod here calls the API server
    others = {"from": [{"source": {"notPrincipals": [caller]}}]}
    return [
        service_account(name, team),
        workloads.deployment(name, team, {**pod, **alone}, replicas=1, pod_labels={"sidecar.istio.io/inject": "true"}),
        workloads.service(name, team, {"http": (port, "http")}),
        istio.authorization_policy(name, team, others, pods=selector(name), action="DENY"),
    ]


def _server(image: str) -> Manifest:
    settings = {
        "spark.history.fs.logDirectory": f"file:{_EVENTS_FOLDER}",
        "spark.history.fs.update.interval": "30s",
        "spark.history.retainedApplications": "20",  # in memory; all are listed
        "spark.history.ui.port": str(_HISTORY_PORT),
    }
    return workloads.container(
        "server",
        image,
        command=["/opt/spark/bin/spark-class"],
        args=["org.apache.spark.deploy.history.HistoryServer"],
        env={
            "SPARK_DAEMON_MEMORY": "1g",
            "SPARK_HISTORY_OPTS": " ".join(f"-D{name}={value}" for name, value in settings.items()),
        },
        ports={"http": _HISTORY_PORT},
        probes=workloads.http_probes(
            "http", live="/api/v1/version", ready="/api/v1/version", start_seconds=120, period_seconds=_PROBE_SECONDS
        ),
        mounts={_EVENTS_FOLDER: "events", "/tmp": "scratch"},
        read_only=[_EVENTS_FOLDER],
        resources=workloads.resources(cpu="50m", memory="1408Mi"),
    )


def _copy(image: str, events: str, region: str) -> Manifest:
    """The container that copies event logs. Logs that are deleted in S3 are deleted here."""
    copy = f"aws s3 sync --only-show-errors --exact-timestamps --delete '{events}/' {_EVENTS_FOLDER}"
    alive = f"test $(($(date +%s) - $(cat {_COPIED}))) -lt {10 * _COPY_SECONDS}"
    check: Manifest = {"exec": {"command": ["sh", "-c", alive]}, "periodSeconds": _COPY_SECONDS, "timeoutSeconds": 5}
    return workloads.container(
        "copy",
        image,
        command=["sh", "-c"],
        args=[f"while :; do {copy} && date +%s > {_COPIED}; sleep {_COPY_SECONDS}; done"],
        env={"AWS_REGION": region, "HOME": "/tmp", "AWS_RETRY_MODE": "standard"},
        probes={
            "startupProbe": {**check, "periodSeconds": 10, "failureThreshold": 60},
            "livenessProbe": {**check, "failureThreshold": 3},
            "readinessProbe": check,
        },
        mounts={_EVENTS_FOLDER: "events", "/tmp": "scratch"},
        resources=workloads.resources(cpu="20m", memory="128Mi", memory_limit="384Mi"),
    )


def _proxy(image: str) -> Manifest:
    return workloads.container(
        "proxy",
        image,
        command=["nginx"],
        args=["-c", f"{_PROXY_FOLDER}/nginx.conf", "-e", "stderr", "-g", "daemon off;"],
        ports={"http": _PROXY_PORT},
        probes=workloads.http_probes("http", ready="/healthz"),
        mounts={_PROXY_FOLDER: "configuration", "/tmp": "scratch"},
        read_only=[_PROXY_FOLDER],
        resources=workloads.resources(cpu="10m", memory="32Mi", memory_limit="64Mi"),
    )


def proxy_configuration(team: str, *, domain: str = "svc.cluster.local", resolver: str = _NAME_SERVER) -> str:
    """The configuration of nginx: ``/spark/<team>/<application>/`` shows the pages of a running driver.

    The application in a path becomes the first label of a host name in the namespace of the team, and nothing else. The
    header ``X-Forwarded-Context`` tells Spark the prefix of its links. Redirects lose scheme and host, because Spark
    does not know that people use HTTPS, and get the prefix, which Spark adds to some redirects only.

    :param domain: DNS domain of Services. Default: that of EKS.
    :param resolver: name server of the cluster. Default: the Service of CoreDNS.
    """
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    scratch = "\n".join(f"    {kind}_temp_path /tmp/{kind};" for kind in kinds)
    history, running, name = f"{HISTORY_PATH}/{team}", f"{RUNNING_PATH}/{team}", "[a-z0-9][-a-z0-9]{0,49}"
    return f"""pid /tmp/nginx.pid;
worker_processes 1;
events {{ worker_connections 256; }}
http {{
{scratch}
    access_log off;
    server_tokens off;
    absolute_redirect off;
    resolver {resolver} valid=10s ipv6=off;
    proxy_connect_timeout 5s;
    proxy_http_version 1.1;
    server {{
        listen {_PROXY_PORT};
        location = /healthz {{ return 200; }}
        location ~ /kill/?$ {{ return 403; }}
        location ~ "^(?<start>{history})(?<page>/[-._/A-Za-z0-9]*)$" {{
            limit_except GET {{ deny all; }}
            proxy_pass http://{HISTORY}.{team}.{domain}:{_HISTORY_PORT}$page$is_args$args;
{_links()}
        }}
        location ~ "^{running}/{name}$" {{ return 302 $uri/; }}
        location ~ "^(?<start>{running}/(?<application>{name}))(?<page>/[-._/A-Za-z0-9]*)$" {{
            limit_except GET {{ deny all; }}
            proxy_pass http://$application-ui-svc.{team}.{domain}:{_PAGES_PORT}$page$is_args$args;
{_links()}
        }}
        location / {{ return 404; }}
    }}
}}
"""


def _links() -> str:
    """Directives by which links and redirects of Spark have the prefix ``$start``."""
    return """            proxy_set_header Connection "";
            proxy_set_header X-Forwarded-Context $start;
            proxy_redirect "~^https?://[^/]+(?<known>/spark(-history)?/.*)$" $known;
            proxy_redirect "~^https?://[^/]+(?<rest>/.*)$" $start$rest;"""

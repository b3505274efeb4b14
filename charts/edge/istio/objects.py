from typing import Literal

from constructs import Construct

from charts.edge.istio.values import NAMESPACE
from charts.kit.chart import ComponentChart
from charts.kit.istio import authorization_policy, envoy_filter, http_settings
from charts.kit.objects import metadata

AccessLog = Literal["errors", "all"]


class Mesh(ComponentChart):
    """Settings of the whole mesh.

    - Pods with a sidecar accept mutual TLS only. Whatever calls such a pod from outside the mesh needs an exception for
      that pod and port.
    - Such pods and the gateway deny every request that no AuthorizationPolicy allows.
    - The gateway refuses header names with underscores: frameworks that follow CGI take ``kubeflow_userid`` for
      ``kubeflow-userid``.
    - Proxies log requests that fail.

    :param access_log: ``errors`` logs requests with a status of 400 or more, ``all`` every request: two lines a call,
        one by each proxy, of about 1 kB, which pod logs then keep. Default: ``errors``.
    """

    def __init__(self, scope: Construct, id: str, *, access_log: AccessLog = "errors") -> None:
        super().__init__(scope, id)
        logging: dict[str, object] = {"providers": [{"name": "envoy"}]}
        if access_log == "errors":
            logging["filter"] = {"expression": "response.code >= 400"}
        self.add(
            {
                "apiVersion": "security.istio.io/v1",
                "kind": "PeerAuthentication",
                "metadata": metadata("default", NAMESPACE),
                "spec": {"mtls": {"mode": "STRICT"}},
            },
            {
                "apiVersion": "telemetry.istio.io/v1",
                "kind": "Telemetry",
                "metadata": metadata("access-log", NAMESPACE),
                "spec": {"accessLogging": [logging]},
            },
            authorization_policy("default-deny", NAMESPACE),  # in the mesh's own namespace it holds for all of them
            envoy_filter(
                "header-names",
                NAMESPACE,
                http_settings({"common_http_protocol_options": {"headers_with_underscores_action": "REJECT_REQUEST"}}),
            ),
        )

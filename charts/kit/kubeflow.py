"""What the components of Kubeflow share: names, roles that teams get, and the web applications of one backend."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from charts.kit import workloads
from charts.kit.istio import GATEWAY_ACCOUNT, authorization_policy, principal
from charts.kit.objects import Manifest, metadata
from charts.kit.rbac import API, aggregated_role, binding
from charts.kit.security import run_as
from charts.kit.web_app import web_app

NAMESPACE = "kubeflow"
GATEWAY_NAME = "kubeflow-gateway"
GATEWAY = f"{NAMESPACE}/{GATEWAY_NAME}"
"""The Gateway that routes name."""
USER_HEADER = "kubeflow-userid"
"""Request header with the verified address of the person who calls. The gateway overwrites it."""
GATEWAY_PRINCIPAL = principal(GATEWAY_ACCOUNT)
DASHBOARD = f"{NAMESPACE}/dashboard"
NOTEBOOK_CONTROLLER = f"{NAMESPACE}/notebook-controller"
PIPELINES_UI = f"{NAMESPACE}/ml-pipeline-ui"
"""Service accounts that components of Kubeflow name in policies."""
PIPELINES_AUDIENCE = "pipelines.kubeflow.org"
"""The API server of Pipelines takes tokens of service accounts for this audience only."""
AUTH_NAMESPACE = "kubeflow-auth"
"""Of what signs people in, where no user pool does."""
DEX = f"http://dex.{AUTH_NAMESPACE}.svc.cluster.local:5556/dex"
"""Issuer of tokens, where no user pool is. Only pods know this name; browsers follow relative paths."""
SIGN_IN_SERVICE = f"oauth2-proxy.{AUTH_NAMESPACE}.svc.cluster.local"
"""The Service that the gateway asks who calls, where no load balancer has signed people in."""
OIDC_CLIENT = "kubeflow"
OIDC_SECRET = "client-secret"
"""The client of Dex by which people sign in, and the file with its secret."""
SESSION_HOURS = 12
"""After which people sign in to Dex again. A token without its session does not pass the gateway."""
METADATA_PROXY, METADATA_PROXY_PORT = "metadata-envoy-service", 9090
"""The Service by which the web page of Pipelines reads what runs recorded."""
TEAM_LABEL = {"app.kubernetes.io/part-of": "kubeflow-profile"}
"""Label of the namespaces of teams."""

_AGGREGATE = "rbac.authorization.kubeflow.org/aggregate-to-kubeflow"
_USER = 1000  # of the images; they name it by text


def team_roles(name: str, *, edit: Sequence[Manifest] = (), view: Sequence[Manifest] = ()) -> list[dict[str, Any]]:
    """Rights that owners and contributors of a team get in its namespace, and rights of those who may only look.

    :param name: of what the rights are about, such as ``notebooks``.
    :param edit: rules of contributors, besides those of ``view``. Owners have them, too.
    :param view: rules of everybody in the team.
    """
    roles = [aggregated_role(f"kubeflow-{name}-edit", edit, to=f"{_AGGREGATE}-edit")] if edit else []
    return [*roles, *([aggregated_role(f"kubeflow-{name}-view", view, to=f"{_AGGREGATE}-view")] if view else [])]


def collecting_role(role: str, *, into: str | None = None) -> dict[str, Any]:
    """A ClusterRole in which the control plane collects the rules of all roles that are marked for it.

    It has no rules here, not even an empty list: applied again, that would take away what the control plane collected.

    :param role: ``admin``, ``edit`` or ``view``.
    :param into: the role that gets all of it, too. Default: none.
    """
    labels = {f"{_AGGREGATE}-{into}": "true"} if into else {}
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": metadata(f"kubeflow-{role}", labels=labels),
        "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {f"{_AGGREGATE}-{role}": "true"}}]},
    }


def admin_role(name: str, rules: Sequence[Manifest]) -> dict[str, Any]:
    """Rights of owners of a team alone."""
    return aggregated_role(f"kubeflow-{name}-admin", rules, to=f"{_AGGREGATE}-admin")


def crud_web_app(
    name: str,
    *,
    image: str,
    prefix: str,
    cluster: Sequence[Manifest],
    placement: Manifest,
    env: Mapping[str, str | Manifest] | None = None,
    mounts: Mapping[str, str] | None = None,
    volumes: Mapping[str, Manifest] | None = None,
) -> list[Manifest]:
    """A web application on the backend that Kubeflow's notebooks, volumes and TensorBoards share.

    It acts with its own rights, after the API server has confirmed that the person may do the same.

    :param prefix: path at the gateway, such as ``/jupyter``.
    :param cluster: RBAC rules besides the review of rights.
    :param env: variables besides those of the backend.
    :param mounts: name of the volume by path; ``volume/key`` mounts one file of it. All are read only.
    :param volumes: source of the volume by name.
    """
    review: Manifest = {
        "apiGroups": ["authorization.k8s.io"],
        "resources": ["subjectaccessreviews"],
        "verbs": ["create"],
    }
    container = workloads.container(
        name,
        image,
        env={
            "APP_PREFIX": prefix,
            "APP_SECURE_COOKIES": "true",
            "METRICS": "0",
            "USERID_HEADER": USER_HEADER,
            "USERID_PREFIX": "",
            **(env or {}),
        },
        ports={"http": 5000},
        probes=workloads.http_probes("http", live="/healthz/liveness", ready="/healthz/readiness", start_seconds=60),
        mounts={"/tmp": "scratch", **(mounts or {})},
        read_only=list(mounts or {}),
        resources=workloads.resources(cpu="50m", memory="256Mi"),
    )
    return web_app(
        name,
        NAMESPACE,
        container,
        port=80,
        gateway=GATEWAY,
        prefix=f"{prefix}/",
        cluster=[review, *cluster],
        placement=placement,
        volumes={"scratch": {"emptyDir": {}}, **(volumes or {})},
        security=run_as(_USER),
        set_headers={"x-forwarded-prefix": prefix},
    )


def profile(name: str, *, owner: str, quota: Mapping[str, str]) -> Manifest:
    """The Profile of a team.

    :param owner: address of the person who decides in it.
    :param quota: what the pods of the team may request together, by resource: ``{"requests.nvidia.com/gpu": "8"}``.
    """
    return {
        "apiVersion": "kubeflow.org/v1",
        "kind": "Profile",
        "metadata": metadata(name),
        "spec": {
            "owner": {"apiGroup": API, "kind": "User", "name": owner},
            **({"resourceQuotaSpec": {"hard": dict(quota)}} if quota else {}),
        },
    }


def pod_default(
    name: str,
    namespace: str,
    *,
    description: str,
    env: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
    volumes: Mapping[str, Manifest] | None = None,
    mounts: Mapping[str, str] | None = None,
    tolerations: Sequence[Manifest] = (),
    service_account: str = "",
) -> dict[str, Any]:
    """A PodDefault for pods with the label of its own name and the value ``true``.

    :param description: what people read on the page of notebooks.
    :param env: variables of every container.
    :param annotations: annotations of the pod.
    :param volumes: source of the volume by name.
    :param mounts: name of the volume by path in every container.
    :param tolerations: of the pod.
    :param service_account: as which the pod runs, whatever it names itself. Default: what it names.
    """
    spec: dict[str, Any] = {
        "env": [{"name": key, "value": value} for key, value in (env or {}).items()],
        "annotations": dict(annotations or {}),
        "volumes": [{"name": key, **source} for key, source in (volumes or {}).items()],
        "volumeMounts": [{"name": volume, "mountPath": path} for path, volume in (mounts or {}).items()],
        "tolerations": [dict(each) for each in tolerations],
        "serviceAccountName": service_account,
    }
    return {
        "apiVersion": "kubeflow.org/v1alpha1",
        "kind": "PodDefault",
        "metadata": metadata(name, namespace),
        "spec": {
            "desc": description,
            "selector": {"matchLabels": {name: "true"}},
            **{key: value for key, value in spec.items() if value},
        },
    }


def contributor(team: str, email: str) -> list[dict[str, Any]]:
    """Rights of a person in the namespace of a team that another person owns, as access management writes them.

    It finds them by their annotations, so that the dashboard shows the person and can take the rights away.

    :param team: the namespace.
    """
    name = re.sub("[^a-z0-9]+", "-", f"user-{email.lower()}-clusterrole-edit")
    marks = {"user": email, "role": "edit"}
    bound = binding(
        name, {"apiGroup": API, "kind": "User", "name": email}, namespace=team, cluster_role="kubeflow-edit"
    )
    admitted = {
        "from": [{"source": {"principals": [GATEWAY_PRINCIPAL, principal(PIPELINES_UI)]}}],
        "when": [{"key": f"request.headers[{USER_HEADER}]", "values": [email]}],
    }
    policy = authorization_policy(name, team, admitted)
    return [{**one, "metadata": {**one["metadata"], "annotations": marks}} for one in (bound, policy)]

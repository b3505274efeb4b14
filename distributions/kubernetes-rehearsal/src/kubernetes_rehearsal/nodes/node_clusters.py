"""Clusters with real nodes: every part of Kubernetes runs, in one sandbox for each cluster."""

import contextlib
import secrets
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from kubernetes_rehearsal.access_policies import bind_access_policies
from kubernetes_rehearsal.certificates import CertificateAuthority
from kubernetes_rehearsal.client import APPLY_PATCH, MERGE_PATCH, ApiClient, ApiFailure
from kubernetes_rehearsal.interface import Authenticate, ClusterAccess, KubernetesError, with_administrator
from kubernetes_rehearsal.inventory import Inventory
from kubernetes_rehearsal.nodes import admission, coredns, empty_apis, network
from kubernetes_rehearsal.nodes.admission import PodAdmission
from kubernetes_rehearsal.nodes.cloud_controllers import CloudControllers
from kubernetes_rehearsal.nodes.control_plane import API_AUDIENCE
from kubernetes_rehearsal.nodes.empty_apis import EmptyApis
from kubernetes_rehearsal.nodes.images import ImageRegistry, write_program_image
from kubernetes_rehearsal.nodes.leftovers import remove_leftovers
from kubernetes_rehearsal.nodes.node import PAUSE_IMAGE, NodeSettings
from kubernetes_rehearsal.nodes.pod_aws import (
    AUDIENCE,
    ROLE_ANNOTATION,
    Aws,
    PodIdentity,
    PodIdentityAgent,
    TlsFront,
    with_credentials,
)
from kubernetes_rehearsal.nodes.sandbox import Sandbox
from kubernetes_rehearsal.programs import Image, NodePrograms
from kubernetes_rehearsal.running_clusters import RunningClusters
from kubernetes_rehearsal.token_review import TokenReviewWebhook

_START_SECONDS = 600
_NODE_SECONDS = 600
_JOIN_SECONDS = 180
_NOT_JOINED = "it has not joined the cluster"
_POLL_SECONDS = 0.1
_SECRETS_DRIVER = "secrets-store.csi.k8s.io"

Object = dict[str, Any]


class NodeClusters:
    """A sandbox for each cluster, with a whole control plane and as many nodes as are added.

    :param programs: of control plane and nodes.
    :param version: of Kubernetes, such as ``1.35.4``.
    :param images: what nodes can run; a stand-in replaces every other image.
    :param aws: what pods reach under the names of AWS services. Default: no AWS; the names do not resolve.
    """

    def __init__(
        self, programs: NodePrograms, version: str, images: Sequence[Image] = (), aws: Aws | None = None
    ) -> None:
        self._programs = programs
        self._version = version
        self._given_images = images
        self._aws = aws
        self._clusters: RunningClusters[_Cluster] = RunningClusters()
        self._lock = threading.Lock()
        self._shared: _Shared | None = None
        self._administrator_token = secrets.token_urlsafe(32)

    @property
    def name(self) -> str:
        """``Kubernetes 1.35.4 with nodes in <folder>``."""
        return f"Kubernetes {self._version} with real nodes, programs of {self._programs.binaries}"

    def start(self, authenticate: Authenticate) -> None:
        """Remove what killed sandboxes left, and serve the webhooks and the images that all clusters share."""
        remove_leftovers()
        identify = with_administrator(authenticate, self._administrator_token)
        self._shared = _Shared(self._programs, self._given_images, identify, self._changed_pod, self._aws)

    def stop(self) -> None:
        """End every sandbox, and remove what was written."""
        self._clusters.stop()
        with self._lock:
            if self._shared:
                self._shared.stop()
            self._shared = None

    def create_cluster(self, key: str, version: str) -> ClusterAccess:
        """Start a control plane; seconds. The cluster has no nodes until they are added."""
        if not self._version.startswith(f"{version}."):
            raise KubernetesError(
                f"cluster {key}: Kubernetes {version} is not here, only {self._version}; set REHEARSAL_NODES=0"
            )
        shared = self._shared
        if not shared:
            raise KubernetesError(f"cluster {key}: the Kubernetes API is not started")
        return self._clusters.create(key, lambda: _Cluster(key, self._programs, shared, self._administrator_token))

    def delete_cluster(self, key: str) -> None:
        """End the sandbox of the cluster."""
        self._clusters.delete(key)

    def leftovers(self, key: str) -> list[str]:
        """Objects that a new cluster does not have."""
        return self._clusters.leftovers(key)

    def set_nodes(self, key: str, nodes: Sequence[NodeSettings]) -> None:
        """Start missing nodes of a cluster, end surplus ones, and return immediately.

        :raises KubernetesError: if the cluster does not exist.
        """
        self._clusters.found(key).set_nodes(nodes)

    def wait_for_nodes(self, key: str) -> None:
        """Wait until every node of a cluster is ready.

        :raises KubernetesError: with the reason of a node that is not, in time.
        """
        self._clusters.found(key).wait_for_nodes()

    def sandbox(self, key: str) -> Sandbox:
        """The sandbox of a cluster, for proofs.

        :raises KubernetesError: if the cluster does not exist.
        """
        return self._clusters.found(key).sandbox

    def has_image(self, image: str) -> bool:
        """Whether nodes run an image itself, and not a stand-in."""
        return self._shared is not None and self._shared.registry.has(image)

    def _changed_pod(self, cluster: str, pod: Object, namespace: str) -> Object:
        found = self._clusters.get(cluster)
        if not found:
            return admission.with_stand_ins(pod, self.has_image)
        pod = admission.with_stand_ins(pod, self.has_image, lambda csi: found.secret_volume(csi, namespace))
        return found.with_aws(pod, namespace)


class _Shared:
    """What serves all clusters from this process."""

    def __init__(
        self,
        programs: NodePrograms,
        images: Sequence[Image],
        authenticate: Authenticate,
        change: admission.Change,
        aws: Aws | None,
    ) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="rehearsal-images-")
        folder = Path(self._folder.name)
        own = [
            write_program_image(folder / "pause.tar", PAUSE_IMAGE, programs.binaries / "pause"),
            write_program_image(folder / "stand-in.tar", admission.STAND_IN_IMAGE, programs.binaries / "pause"),
            write_program_image(folder / "coredns.tar", coredns.IMAGE, programs.binaries / "coredns", user="0:0"),
        ]
        self.registry = ImageRegistry([*images, *own])
        self.token_review = TokenReviewWebhook(CertificateAuthority("rehearsal-token-review"), authenticate)
        self.admission = PodAdmission(change)
        self.apis = EmptyApis()
        self.aws = aws
        self.tls = TlsFront(aws.port) if aws else None

    @property
    def services(self) -> dict[int, int]:
        """Port within a sandbox to port of this machine's loopback."""
        return {
            network.TOKEN_REVIEW_PORT: self.token_review.port,
            network.ADMISSION_PORT: self.admission.port,
            network.APIS_PORT: self.apis.port,
            network.REGISTRY_PORT: self.registry.port,
            **({network.HTTPS_PORT: self.tls.port} if self.tls else {}),
        }

    def stop(self) -> None:
        """Close every port, and remove the archives."""
        if self.tls:
            self.tls.stop()
        self.apis.stop()
        self.admission.stop()
        self.token_review.stop()
        self.registry.stop()
        self._folder.cleanup()


class _Cluster:
    """One sandbox, and what a new cluster of EKS has."""

    def __init__(self, key: str, programs: NodePrograms, shared: _Shared, administrator_token: str) -> None:
        self._key = key
        self._shared = shared
        self._wanted: dict[str, NodeSettings] = {}
        self._lock = threading.Lock()
        self._controllers: CloudControllers | None = None
        self._agent = PodIdentityAgent(self._token_owner, self._credentials) if shared.aws else None
        services = shared.services | ({network.HTTP_PORT: self._agent.port} if self._agent else {})
        review = shared.token_review.kubeconfig(f"https://{network.CONTROL_PLANE}:{network.TOKEN_REVIEW_PORT}")
        issuer = shared.aws.issuer(key) if shared.aws else API_AUDIENCE
        self.sandbox = Sandbox(programs, token_review=review, services=services, service_account_issuer=issuer)
        self.access = self.sandbox.access
        try:
            self._client = ApiClient(self.access, administrator_token)
            # Asked while the API waits for the webhook: never over the connection that caused the question.
            self._lookups = ApiClient(self.access, administrator_token)
            self._wait("/readyz", "kube-apiserver")
            self._wait("/api/v1/namespaces/default/serviceaccounts/default", "kube-controller-manager")
            bind_access_policies(self._client)
            self._install()
            self._controllers = CloudControllers(
                ApiClient(self.access, administrator_token),
                self.sandbox.folder / "volumes",
                shared.apis.target,
            )
            self.inventory = Inventory(self._client)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End the sandbox."""
        if self._controllers:
            self._controllers.stop()
        self.sandbox.stop()
        if self._agent:
            self._agent.stop()

    def with_aws(self, pod: Object, namespace: str) -> Object:
        """The pod with the changes of EKS's webhook, and with patient probes, if an AWS emulator is available."""
        aws, tls = self._shared.aws, self._shared.tls
        if not aws or not tls:
            return pod
        account = pod["spec"].get("serviceAccountName", "default")
        annotations: Mapping[str, str] = {}
        with contextlib.suppress(ApiFailure):  # the API refuses the pod then
            found = self._lookups.get(f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}")
            annotations = found["metadata"].get("annotations") or {}
        identity = PodIdentity(
            region=aws.region(self._key),
            associated=aws.role(self._key, namespace, account) is not None,
            role=annotations.get(ROLE_ANNOTATION, ""),
        )
        return with_credentials(admission.with_patient_probes(pod), identity, tls.authority.pem)

    def secret_volume(self, csi: Object, namespace: str) -> Object | None:
        """A volume with the Secrets of a SecretProviderClass; None for another driver, or if a Secret does not exist.

        The driver that writes these Secrets on AWS does not run here, but a test may have created them.
        """
        name = (csi.get("volumeAttributes") or {}).get("secretProviderClass")
        if csi["driver"] != _SECRETS_DRIVER or not name:
            return None
        try:
            path = f"/apis/secrets-store.csi.x-k8s.io/v1/namespaces/{namespace}/secretproviderclasses/{name}"
            found = self._lookups.get(path)
            names = [one["secretName"] for one in found["spec"].get("secretObjects") or []]
            for each in names:
                self._lookups.get(f"/api/v1/namespaces/{namespace}/secrets/{each}")
        except ApiFailure as failure:
            if failure.code != 404:
                raise
            return None
        return {"projected": {"sources": [{"secret": {"name": each}} for each in names]}} if names else None

    def _token_owner(self, token: str) -> tuple[str, str] | None:
        """Namespace and service account of a pod's token for the agent."""
        asked = {"spec": {"token": token, "audiences": [AUDIENCE]}}
        status = self._lookups.request("POST", "/apis/authentication.k8s.io/v1/tokenreviews", asked)["status"]
        prefix, _, owner = status.get("user", {}).get("username", "").partition("system:serviceaccount:")
        if not status.get("authenticated") or prefix or not owner:
            return None
        namespace, _, account = owner.partition(":")
        return namespace, account

    def _credentials(self, namespace: str, account: str) -> Mapping[str, str]:
        assert self._shared.aws
        return self._shared.aws.credentials(self._key, namespace, account)

    def set_nodes(self, nodes: Sequence[NodeSettings]) -> None:
        """Start and end nodes until there are just these."""
        with self._lock:
            wanted = {node.name: node for node in nodes}
            for name in self._wanted.keys() - wanted.keys():
                self.sandbox.remove_node(name)
                self._delete(f"/api/v1/nodes/{name}")
            for name in wanted.keys() - self._wanted.keys():
                self.sandbox.add_node(wanted[name])
            self._wanted = wanted

    def wait_for_nodes(self) -> None:
        """Wait for each node that was added, and give it the resources that it has no device for.

        A node that does not join is replaced once, as a managed node group replaces an instance.
        """
        start = time.monotonic()
        replaced: set[str] = set()
        for node in list(self._wanted.values()):
            while reason := self._unready(node):
                self.sandbox.check()
                waited = time.monotonic() - start
                if waited > _NODE_SECONDS:
                    logs = self.sandbox.node_log(node.name)
                    raise KubernetesError(f"node {node.name}: not ready in {_NODE_SECONDS} s: {reason}; {logs}")
                if waited > _JOIN_SECONDS and reason == _NOT_JOINED and node.name not in replaced:
                    replaced.add(node.name)
                    with self._lock:
                        self.sandbox.remove_node(node.name)
                        self.sandbox.add_node(node)
                time.sleep(_POLL_SECONDS)

    def _unready(self, node: NodeSettings) -> str:
        """Why a node is not ready; empty if it is."""
        try:
            found = self._client.get(f"/api/v1/nodes/{node.name}")
        except ApiFailure as failure:
            return _NOT_JOINED if failure.code == 404 else str(failure)
        if lacking := {
            name: str(count)
            for name, count in node.extended_resources.items()
            if found["status"].get("capacity", {}).get(name) != str(count)
        }:
            self._client.request(
                "PATCH", f"/api/v1/nodes/{node.name}/status", {"status": {"capacity": lacking}}, MERGE_PATCH
            )
            return f"without {', '.join(lacking)}"
        condition = next((one for one in found["status"].get("conditions", []) if one["type"] == "Ready"), None)
        if not condition:
            return "it has not reported yet"
        return "" if condition["status"] == "True" else condition["message"]

    def _install(self) -> None:
        """What is in every cluster: the webhook of pods, the rights of kube-proxy, the name server, the empty API."""
        webhooks = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
        self._apply(webhooks, self._shared.admission.configuration(self._key))
        for collection, found in [*coredns.objects(aws=self._shared.aws is not None), *empty_apis.objects()]:
            self._apply(collection, found)

    def _apply(self, collection: str, found: Object) -> None:
        path = f"{collection}/{found['metadata']['name']}?fieldManager=eks&force=true"
        self._client.request("PATCH", path, found, APPLY_PATCH)

    def _delete(self, path: str) -> None:
        try:
            self._client.request("DELETE", path)
        except ApiFailure as failure:
            if failure.code != 404:
                raise

    def _wait(self, path: str, server: str) -> None:
        self._until(lambda: self._client.get(path), f"{server}: {path}", server)

    def _until(self, ask: Callable[[], object], what: str, server: str) -> None:
        until = time.monotonic() + _START_SECONDS
        while True:
            self.sandbox.check()
            try:
                ask()
                return
            except (ApiFailure, OSError) as error:
                if time.monotonic() > until:
                    last = self.sandbox.log(server)
                    raise KubernetesError(f"{what} not ready within {_START_SECONDS} s: {error}: {last}") from error
            time.sleep(_POLL_SECONDS)

"""What a profile needs so that its runs keep artifacts below a prefix of their own."""

import json

from constructs import Construct

from charts.kit import network
from charts.kit.chart import ComponentChart
from charts.kit.objects import Manifest, config_map
from charts.kit.rbac import access, rule
from charts.kit.security import run_as
from charts.kit.stores import ArtifactStore
from charts.kit.synced_secrets import secret_volume, synced_secret
from charts.kit.workloads import container, deployment, http_probes, pod, resources, service
from charts.kubeflow.pipelines.objects import ARTIFACT_PROXY, RUNNER, UI

_PORT, _VIEWER_PORT = 3000, 6006
_KEYS = "/etc/object-store-keys"
_USER = 1000


class PipelinesProfile(ComponentChart):
    """The part of pipelines in the namespace of one profile.

    The launcher of a step and the proxy that shows artifacts call a bucket in AWS as ``default-editor``, whose role
    reaches only :meth:`ArtifactStore.prefix` of the profile. They call a store in the cluster with its keys, which the
    proxy keeps synchronized in a Secret of the profile.

    :param profile: name of the profile, which is its namespace.
    :param ui_image: the image of the web page, which is the proxy, too.
    :param artifacts: the bucket.
    :param keys: Region and ARN of the secret with the keys of the store, which the service account
        ``ml-pipeline-ui-artifact`` of the profile can read. Needed if ``artifacts`` has keys.
    :param metadata: host and port of the metadata store's gRPC server.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        profile: str,
        ui_image: str,
        artifacts: ArtifactStore,
        keys: tuple[str, str] | None = None,
        metadata: tuple[str, int],
    ) -> None:
        super().__init__(scope, id)
        host, port = metadata
        self.add(
            config_map("kfp-launcher", profile, _launcher(profile, artifacts)),
            config_map(
                "metadata-grpc-configmap",
                profile,
                {"METADATA_GRPC_SERVICE_HOST": host, "METADATA_GRPC_SERVICE_PORT": str(port)},
            ),
            _viewers(profile),
            *_proxy(profile, ui_image, artifacts),
        )
        if artifacts.keys and keys:
            region, arn = keys
            self.add(
                synced_secret(artifacts.keys, profile, region=region, keys_by_arn={arn: ["accessKey", "secretKey"]}),
                *access(ARTIFACT_PROXY, profile, local=[rule("", "secrets", "get", names=[artifacts.keys])]),
            )


def _launcher(profile: str, artifacts: ArtifactStore) -> dict[str, str]:
    """The driver reads ``providers`` as YAML, of which JSON is a part.

    Each artifact keeps its provider. The proxy takes the endpoint for an address, which starts with the protocol.
    """
    credentials = (
        {
            "fromEnv": False,
            "secretRef": {"secretName": artifacts.keys, "accessKeyKey": "accessKey", "secretKeyKey": "secretKey"},
        }
        if artifacts.keys
        else {"fromEnv": True}
    )
    provider = {
        "endpoint": f"{'https' if artifacts.secure else 'http'}://{artifacts.endpoint}",
        "region": artifacts.region,
        "disableSSL": not artifacts.secure,
        "forcePathStyle": bool(artifacts.keys),
        "credentials": credentials,
    }
    return {
        "defaultPipelineRoot": artifacts.root(profile),
        "providers": json.dumps({"s3": {"default": provider}}, indent=2),
    }


def _viewers(profile: str) -> Manifest:
    """The web page opens the TensorBoards of runs, whose pods their controller labels."""
    page = network.pods_of("kubeflow", {"app.kubernetes.io/name": UI})
    return network.network_policy(
        "viewers", profile, pods={"app": "viewer"}, ingress=[network.allow(page, ports=[_VIEWER_PORT])]
    )


def _proxy(profile: str, image: str, artifacts: ArtifactStore) -> list[Manifest]:
    """One replica: it holds nothing, and another starts within seconds.

    It has no policy of the mesh of its own. Those of the profile's owner and contributors hold for it, too: the web
    page asks in the name of a person, and the proxy of another team refuses that name. The page compares nothing.
    """
    main = container(
        "proxy",
        image,
        env={
            "AWS_REGION": artifacts.region,
            "AWS_S3_ENDPOINT": artifacts.endpoint,
            "AWS_SSL": str(artifacts.secure).lower(),
            **(
                {"AWS_ACCESS_KEY_ID": artifacts.access_key, "AWS_SECRET_ACCESS_KEY": artifacts.secret_key}
                if artifacts.keys
                else {}
            ),
            "FRONTEND_SERVER_NAMESPACE": profile,  # where it looks for the Secret that an artifact names
            "ARTIFACTS_SERVICE_PROXY_ENABLED": "false",
            "DISABLE_GKE_METADATA": "true",
        },
        ports={"http": _PORT},
        probes=http_probes("http", live="/apis/v1beta1/healthz", ready="/apis/v1beta1/healthz"),
        mounts={"/tmp": "scratch", **({_KEYS: "keys"} if artifacts.keys else {})},
        read_only=[_KEYS] if artifacts.keys else [],
        resources=resources(cpu="10m", memory="96Mi", memory_limit="384Mi"),
    )
    spec = pod(
        main,
        service_account=ARTIFACT_PROXY if artifacts.keys else RUNNER,
        volumes={"scratch": {"emptyDir": {}}, **({"keys": secret_volume(artifacts.keys)} if artifacts.keys else {})},
        security=run_as(_USER),
    )
    return [
        deployment(ARTIFACT_PROXY, profile, spec, replicas=1, pod_labels={"sidecar.istio.io/inject": "true"}),
        service(ARTIFACT_PROXY, profile, {"http": (80, "http")}),
        network.takes(
            ARTIFACT_PROXY,
            profile,
            network.allow(network.pods_of("kubeflow", {"app.kubernetes.io/name": UI}), ports=["http"]),
        ),
    ]

import cdk8s
from constructs import Construct, IDependable

from charts.edge.istio.objects import AccessLog, Mesh
from charts.edge.istio.values import (
    CNI_NAMESPACE,
    GATEWAY,
    NAMESPACE,
    cni_values,
    gateway_values,
    istiod_values,
)
from mlplatform_constructs import Manifests, ProvidedObjects

from ..._wiring.installer import Installer


class ServiceMesh(Construct):
    """Istio: definitions, the CNI plugin that redirects traffic on nodes, the control plane, and the ingress gateway.

    - ``mesh``: the mesh-wide settings, deployed last.

    :param namespace: the namespace of the mesh.
    :param access_log: which requests the proxies log.
    :param sign_in_service: Service that the gateway can ask who calls. Default: none.
    :param balancing: the load balancer controller, whose webhooks admit every Service.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        installer: Installer,
        namespace: IDependable,
        balancing: IDependable,
        access_log: AccessLog,
        sign_in_service: str | None = None,
    ) -> None:
        super().__init__(scope, id)
        base = installer.release(
            self,
            "Definitions",
            "base",
            name="istio-base",
            namespace=NAMESPACE,
            values={"defaultRevision": "default"},
            after=[namespace],
        )
        plugin = installer.release(
            self,
            "Plugin",
            "cni",
            name="istio-cni",
            namespace=CNI_NAMESPACE,
            values=cni_values(images=installer.images),
            after=[namespace],
        )
        control_plane = installer.release(
            self,
            "ControlPlane",
            "istiod",
            namespace=NAMESPACE,
            values=istiod_values(
                images=installer.images, placement=installer.placement, sign_in_service=sign_in_service
            ),
            after=[base, plugin, balancing],
        )
        gateway = installer.release(
            self,
            "Gateway",
            "gateway",
            name=GATEWAY,
            namespace=NAMESPACE,
            values=gateway_values(placement=installer.placement),
            after=[control_plane],
        )
        ProvidedObjects(
            self,
            "Kinds",
            cluster=installer.cluster.cluster,
            by=control_plane,
            definitions=installer.catalog.definitions("edge/istio"),
        )
        self.mesh: Manifests = installer.deliver(
            self, "Mesh", Mesh(cdk8s.App(), "Mesh", access_log=access_log), after=[gateway]
        )

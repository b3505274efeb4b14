import cdk8s
from constructs import Construct, IDependable

from charts.definitions import DEFINITIONS
from charts.istio import (
    CNI_NAMESPACE,
    GATEWAY,
    NAMESPACE,
    Mesh,
    cni_values,
    gateway_values,
    istiod_values,
)
from mlplatform_constructs import Manifests, ProvidedObjects

from .installer import Installer


class ServiceMesh(Construct):
    """Istio: definitions, the plugin that redirects traffic on nodes, the control plane, and the gateway to the world.

    - ``mesh``: what holds for the whole mesh; all of Istio is there before it.

    :param namespace: is there when the mesh's namespace is.
    :param balancing: is there when the load balancer controller answers, which looks at each Service that is made.
    """

    def __init__(
        self, scope: Construct, id: str, *, installer: Installer, namespace: IDependable, balancing: IDependable
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
            values=istiod_values(images=installer.images, placement=installer.placement),
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
            self, "Kinds", cluster=installer.cluster.cluster, by=control_plane, definitions=DEFINITIONS["base"]
        )
        self.mesh: Manifests = installer.deliver(self, "Mesh", Mesh(cdk8s.App(), "Mesh"), after=[gateway])

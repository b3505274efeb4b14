import cdk8s
from aws_cdk import Annotations, Stack
from aws_cdk import aws_ec2 as ec2
from constructs import Construct, IDependable

from charts.base.namespaces.objects import Namespaces, SecurityLevel
from charts.catalog import Catalog
from charts.edge.istio.objects import AccessLog
from charts.kit.kubeflow import SIGN_IN_SERVICE
from config.clusters import Cluster as ClusterSettings
from mlplatform_constructs import KubernetesCluster, Manifests, TeardownGuard
from stacks._wiring.data_protection import DataProtection

from ..._wiring.installer import Installer
from .add_ons import AddOns
from .foundations import deliver_foundations
from .karpenter import Karpenter
from .load_balancing import LoadBalancing
from .pod_logs import PodLogs
from .service_mesh import ServiceMesh
from .surroundings import Storage, Surroundings

_SECURITY_LEVELS: dict[str, SecurityLevel] = {
    "amazon-cloudwatch": "privileged",  # agents read the logs of their node
    "cert-manager": "baseline",
    "default": "restricted",
    "external-dns": "baseline",
    "istio-system": "restricted",
    "kube-node-lease": "restricted",
    "kube-public": "restricted",
    "kube-system": "privileged",  # drivers and the network of nodes
}
"""Pod security level of each namespace that is not a tenant's."""

EXTERNAL_DNS_SKIPPED = (
    "external-dns is not installed: a closed network does not reach Route 53, which has no VPC endpoint; "
    "create the records of Ingresses and Services yourself"
)


class ClusterServicesStack(Stack):
    """What a cluster gets before its first application, in this order, and taken down in the reverse.

    1. Namespaces with their pod security levels; rights, storage classes, the autoscaler and the GPU plugin; and the
       EKS add-ons: drivers of volumes and secrets, metrics, certificates, names in DNS, logs of pods.
    2. The load balancer controller. Its webhooks look at all Services and Ingresses from then on.
    3. Istio, and Karpenter where the cluster has it.
    4. The teardown guard, which is deleted first: it empties the cluster while all controllers still work.

    The platform's own pods run on the ``system`` nodes; agents of nodes run on all.

    :param settings: of the cluster.
    :param surroundings: the network of the cluster.
    :param storage: the file systems that pods mount.
    :param protection: its keys encrypt the disks of claims, and logs.
    :param catalog: the components, with their images and charts as the account takes them.
    :param mesh_requests: requests that the proxies of the mesh log.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        settings: ClusterSettings,
        cluster: KubernetesCluster,
        surroundings: Surroundings,
        storage: Storage,
        protection: DataProtection,
        catalog: Catalog,
        mesh_requests: AccessLog,
    ) -> None:
        super().__init__(scope, id)
        self._surroundings, self._storage, self._protection = surroundings, storage, protection
        self._installer = Installer(self, cluster=cluster, catalog=catalog, protection=protection)
        self._let_nodes_mount()
        namespaces = self._namespaces()
        add_ons = self._add_ons(namespaces)
        pod_logs = self._pod_logs(namespaces)
        foundations = deliver_foundations(
            self, self._installer, settings=settings, storage=storage, disk_key=protection.keys.data
        )
        load_balancing = self._load_balancing(before=[*add_ons.all, add_ons.certificates, pod_logs])
        sign_in = SIGN_IN_SERVICE if settings.kubeflow and not settings.kubeflow.by_cognito else None
        mesh = self._service_mesh(namespaces, load_balancing, mesh_requests, sign_in)
        last: list[IDependable] = [mesh.mesh, foundations]
        if cluster.autoscaler == "karpenter":
            last.append(self._karpenter(load_balancing).nodes)
        self._teardown_guard(last)

    def _let_nodes_mount(self) -> None:
        """By rules in this stack: the nodes' security group is the one that EKS made."""
        group = self._installer.cluster.security_group
        nodes = ec2.SecurityGroup.from_security_group_id(self, "Nodes", group.security_group_id)
        self._storage.workspaces.allow_clients(nodes)
        if self._storage.lustre:
            self._storage.lustre.allow_clients(nodes)

    def _namespaces(self) -> Manifests:
        chart = Namespaces(cdk8s.App(), "Namespaces", levels=_SECURITY_LEVELS)
        return self._installer.deliver(self, "Namespaces", chart)

    def _add_ons(self, namespaces: IDependable) -> AddOns:
        around = self._surroundings
        if around.hosted_zones and around.isolated:
            Annotations.of(self).add_warning_v2("mlplatform:external-dns", EXTERNAL_DNS_SKIPPED)
        return AddOns(
            self,
            "AddOns",
            installer=self._installer,
            namespaces=namespaces,
            disk_key=self._protection.keys.data,
            workspaces=self._storage.workspaces,
            lustre=self._storage.lustre,
            hosted_zones=None if around.isolated else around.hosted_zones,
            reserved_names=around.reserved_names,
        )

    def _pod_logs(self, namespaces: IDependable) -> PodLogs:
        return PodLogs(
            self,
            "PodLogs",
            installer=self._installer,
            namespaces=namespaces,
            encryption_key=self._protection.keys.logs,
            retention=self._protection.log_retention,
            removal_policy=self._protection.removal_policy,
        )

    def _load_balancing(self, before: list[IDependable]) -> LoadBalancing:
        return LoadBalancing(
            self,
            "LoadBalancing",
            installer=self._installer,
            vpc=self._surroundings.vpc,
            isolated=self._surroundings.isolated,
            before=before,
        )

    def _service_mesh(
        self, namespaces: IDependable, load_balancing: LoadBalancing, requests: AccessLog, sign_in: str | None
    ) -> ServiceMesh:
        return ServiceMesh(
            self,
            "ServiceMesh",
            installer=self._installer,
            namespace=namespaces,
            balancing=load_balancing.after,
            access_log=requests,
            sign_in_service=sign_in,
        )

    def _karpenter(self, load_balancing: LoadBalancing) -> Karpenter:
        return Karpenter(
            self,
            "Karpenter",
            installer=self._installer,
            zones=[subnet.availability_zone for subnet in self._surroundings.vpc.private_subnets],
            subnet_tags=self._surroundings.subnet_tags,
            isolated=self._surroundings.isolated,
            balancing=load_balancing.after,
        )

    def _teardown_guard(self, after: list[IDependable]) -> None:
        TeardownGuard(
            self,
            "Teardown",
            cluster=self._installer.cluster,
            vpc=self._surroundings.vpc,
            after=after,
            log_encryption_key=self._protection.keys.logs,
            removal_policy=self._protection.removal_policy,
        )

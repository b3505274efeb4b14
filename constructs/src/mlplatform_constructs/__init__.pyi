"""AWS CDK constructs for machine-learning platforms."""

from ._arguments import ConfigurationError
from ._artifacts.container_pipeline import ContainerPipeline, ImageBuild, PinnedImage
from ._artifacts.image_mirror import ImageMirror
from ._artifacts.image_registry import ImageRegistry
from ._artifacts.jar_pipeline import JarBuild, JarPipeline
from ._artifacts.package_repository import PackageRepository
from ._artifacts.pipeline_source import PipelineSource
from ._clusters.cluster import KubernetesCluster
from ._clusters.credential_propagation import CredentialPropagation
from ._clusters.karpenter_access import KarpenterAccess
from ._clusters.kubernetes_release import KubernetesRelease
from ._clusters.node_group import NodeGroupSpec
from ._clusters.teardown_guard import TeardownGuard
from ._clusters.vpc_cni import VpcCni
from ._clusters.workload_identity import WorkloadIdentity, WorkloadRole
from ._data.collected_data import CollectedData, CollectedDataSource
from ._data.feature_group import Feature, FeatureGroup
from ._data.feature_store import FeatureStore
from ._data.metadata_database import MetadataDatabase
from ._data.model_repository import ModelRepository
from ._edge.dns_certificate import DnsCertificate
from ._edge.platform_load_balancer import PlatformLoadBalancer
from ._edge.web_firewall import WebFirewall
from ._identity.directory_connector import DirectoryConnector
from ._identity.managed_directory import ManagedDirectory
from ._identity.people_permission_set import PeoplePermissionSet
from ._identity.person_role import PersonRole, PersonTrust
from ._identity.sign_in_provider import SignInProvider
from ._identity.user_pool import PlatformUserPool
from ._kubernetes.manifests import Manifests
from ._kubernetes.provided_objects import ProvidedObjects
from ._kubernetes.readiness import Readiness
from ._network.bastion import Bastion
from ._network.hosted_zones import HostedZones
from ._network.network import FlowLogs, NatGateways, Network
from ._security.alarm_topic import AlarmTopic
from ._security.audit_trail import AuditTrail
from ._security.encryption_keys import EncryptionKeys
from ._storage.access_log_bucket import AccessLogBucket
from ._storage.data_bucket import DataBucket
from ._storage.lustre_file_system import LustreFileSystem
from ._storage.shared_file_system import SharedFileSystem
from ._workloads.airflow_environment import AirflowEnvironment
from ._workloads.emr_jobs import EmrJobs
from ._workloads.emr_on_eks_jobs import EmrOnEksJobs
from ._workloads.emr_serverless_jobs import EmrServerlessJobs
from ._workloads.job_adviser import AdviserInput, JobAdviser
from ._workloads.sagemaker_jobs import SageMakerJobs

__all__ = [
    "AccessLogBucket",
    "AdviserInput",
    "AirflowEnvironment",
    "AlarmTopic",
    "AuditTrail",
    "Bastion",
    "CollectedData",
    "CollectedDataSource",
    "ConfigurationError",
    "ContainerPipeline",
    "CredentialPropagation",
    "DataBucket",
    "DirectoryConnector",
    "DnsCertificate",
    "EmrJobs",
    "EmrOnEksJobs",
    "EmrServerlessJobs",
    "EncryptionKeys",
    "Feature",
    "FeatureGroup",
    "FeatureStore",
    "FlowLogs",
    "HostedZones",
    "ImageBuild",
    "ImageMirror",
    "ImageRegistry",
    "JarBuild",
    "JarPipeline",
    "JobAdviser",
    "KarpenterAccess",
    "KubernetesCluster",
    "KubernetesRelease",
    "LustreFileSystem",
    "ManagedDirectory",
    "Manifests",
    "MetadataDatabase",
    "ModelRepository",
    "NatGateways",
    "Network",
    "NodeGroupSpec",
    "PackageRepository",
    "PeoplePermissionSet",
    "PersonRole",
    "PersonTrust",
    "PinnedImage",
    "PipelineSource",
    "PlatformLoadBalancer",
    "PlatformUserPool",
    "ProvidedObjects",
    "Readiness",
    "SageMakerJobs",
    "SharedFileSystem",
    "SignInProvider",
    "TeardownGuard",
    "VpcCni",
    "WebFirewall",
    "WorkloadIdentity",
    "WorkloadRole",
]

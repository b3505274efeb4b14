"""AWS CDK constructs for machine-learning platforms."""

from ._access_log_bucket import AccessLogBucket
from ._alarm_topic import AlarmTopic
from ._audit_trail import AuditTrail
from ._bastion import Bastion
from ._cluster import KubernetesCluster
from ._collected_data import CollectedData, CollectedDataSource
from ._container_pipeline import ContainerPipeline, ImageBuild, PinnedImage
from ._data_bucket import DataBucket
from ._directory_connector import DirectoryConnector
from ._dns_certificate import DnsCertificate
from ._encryption_keys import EncryptionKeys
from ._feature_group import Feature, FeatureGroup
from ._feature_store import FeatureStore
from ._hosted_zones import HostedZones
from ._image_registry import ImageRegistry
from ._jar_pipeline import JarBuild, JarPipeline
from ._kubernetes_release import KubernetesRelease
from ._lustre_file_system import LustreFileSystem
from ._managed_directory import ManagedDirectory
from ._manifests import Manifests
from ._metadata_database import MetadataDatabase
from ._model_repository import ModelRepository
from ._network import NatGateways, Network
from ._node_group import NodeGroupSpec
from ._package_repository import PackageRepository
from ._people_permission_set import PeoplePermissionSet
from ._person_role import PersonRole, PersonTrust
from ._pipeline_source import PipelineSource
from ._platform_load_balancer import PlatformLoadBalancer
from ._provided_objects import ProvidedObjects
from ._readiness import Readiness
from ._shared_file_system import SharedFileSystem
from ._sign_in_provider import SignInProvider
from ._teardown_guard import TeardownGuard
from ._user_pool import PlatformUserPool
from ._vpc_cni import VpcCni
from ._web_firewall import WebFirewall
from ._workload_identity import WorkloadIdentity, WorkloadRole

__all__ = [
    "AccessLogBucket",
    "AlarmTopic",
    "AuditTrail",
    "Bastion",
    "CollectedData",
    "CollectedDataSource",
    "ContainerPipeline",
    "DataBucket",
    "DirectoryConnector",
    "DnsCertificate",
    "EncryptionKeys",
    "Feature",
    "FeatureGroup",
    "FeatureStore",
    "HostedZones",
    "ImageBuild",
    "ImageRegistry",
    "JarBuild",
    "JarPipeline",
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
    "SharedFileSystem",
    "SignInProvider",
    "TeardownGuard",
    "VpcCni",
    "WebFirewall",
    "WorkloadIdentity",
    "WorkloadRole",
]

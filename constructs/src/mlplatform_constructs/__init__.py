"""AWS CDK constructs for machine-learning platforms."""

from ._access_log_bucket import AccessLogBucket
from ._audit_trail import AuditTrail
from ._bastion import Bastion
from ._collected_data import CollectedData, CollectedDataSource
from ._data_bucket import DataBucket
from ._encryption_keys import EncryptionKeys
from ._feature_group import Feature, FeatureGroup
from ._feature_store import FeatureStore
from ._hosted_zones import HostedZones
from ._image_registry import ImageRegistry
from ._lustre_file_system import LustreFileSystem
from ._network import NatGateways, Network
from ._shared_file_system import SharedFileSystem

__all__ = [
    "AccessLogBucket",
    "AuditTrail",
    "Bastion",
    "CollectedData",
    "CollectedDataSource",
    "DataBucket",
    "EncryptionKeys",
    "Feature",
    "FeatureGroup",
    "FeatureStore",
    "HostedZones",
    "ImageRegistry",
    "LustreFileSystem",
    "NatGateways",
    "Network",
    "SharedFileSystem",
]

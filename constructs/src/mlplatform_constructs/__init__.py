"""AWS CDK constructs for machine-learning platforms."""

from ._audit_trail import AuditTrail
from ._bastion import Bastion
from ._encryption_keys import EncryptionKeys
from ._feature_group import Feature, FeatureGroup
from ._feature_store import FeatureStore
from ._hosted_zones import HostedZones
from ._network import NatGateways, Network

__all__ = [
    "AuditTrail",
    "Bastion",
    "EncryptionKeys",
    "Feature",
    "FeatureGroup",
    "FeatureStore",
    "HostedZones",
    "NatGateways",
    "Network",
]

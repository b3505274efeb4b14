"""AWS CDK constructs for machine-learning platforms."""

from ._audit_trail import AuditTrail
from ._encryption_keys import EncryptionKeys

__all__ = ["AuditTrail", "EncryptionKeys"]

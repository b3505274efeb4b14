"""AWS CDK constructs for machine-learning platforms."""

from ._encryption_keys import EncryptionKeys

__all__ = ["EncryptionKeys"]

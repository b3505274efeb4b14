"""What every cluster gets before its first application."""

from .stack import ClusterServicesStack
from .surroundings import Storage, Surroundings

__all__ = ["ClusterServicesStack", "Storage", "Surroundings"]

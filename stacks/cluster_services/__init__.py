"""What every cluster gets before its first application."""

from .stack import ClusterServicesStack

__all__ = ["ClusterServicesStack"]

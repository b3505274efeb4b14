"""Copies every listed image and chart into the registries of the account files: ``python -m delivery.mirror``."""

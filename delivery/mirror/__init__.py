"""Copies every image and chart of the lists into the registries of the account files: `python -m delivery.mirror`."""

"""Runs the steps of the preparation job."""

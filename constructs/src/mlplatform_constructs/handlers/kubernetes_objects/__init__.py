"""Waits for Kubernetes objects and removes them."""

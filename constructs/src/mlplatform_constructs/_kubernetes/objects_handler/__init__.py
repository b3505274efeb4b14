"""Waits for Kubernetes objects and deletes them."""

"""Reads, validates, orders and packs Kubernetes objects for ``Manifests``. No name here is public."""

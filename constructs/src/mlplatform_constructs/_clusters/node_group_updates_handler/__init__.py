"""Moves managed node groups to the Kubernetes minor of their control plane and to the newest image release."""

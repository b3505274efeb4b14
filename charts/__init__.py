"""Kubernetes objects of the platform as cdk8s charts: plain values in, objects out, no AWS."""

"""Proofs about the platform that need no AWS account."""

"""What is proved of any chart whose programs run, on real nodes or in a cluster of the user's own."""

from kubernetes_rehearsal.proofs.findings import Finding

__all__ = ["Finding"]

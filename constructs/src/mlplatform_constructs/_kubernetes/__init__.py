"""What delivering Kubernetes objects takes: reading, checking, ordering and packing them. No name here is public."""

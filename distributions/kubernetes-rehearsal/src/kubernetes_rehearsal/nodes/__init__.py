"""Real nodes: clusters with a kubelet, a container runtime and every controller, in a sandbox of this machine."""

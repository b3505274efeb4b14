"""Addresses in a sandbox, and the commands that set up its network.

The control plane and each node have their own network namespace, connected by one bridge. Pods have addresses of their
node's range, which are routed everywhere without translation, as with the VPC CNI. The sandbox has no external route.
"""

CONTROL_PLANE = "10.88.0.1"
API_PORT = 6443
SERVICES = "172.20.0.0/16"
"""As EKS chooses in most VPCs."""
API_SERVICE = "172.20.0.1"
DNS_SERVICE = "172.20.0.10"
PODS = "10.89.0.0/16"
POD_IDENTITY_AGENT = "169.254.170.23"
"""https://docs.aws.amazon.com/eks/latest/userguide/pod-id-agent-setup.html"""
MOST_NODES = 200

TOKEN_REVIEW_PORT = 9443
ADMISSION_PORT = 9444
APIS_PORT = 9445
REGISTRY_PORT = 5000
HTTP_PORT = 80
HTTPS_PORT = 443
_FIRST_NODE = 10

CONTROL_PLANE_SETUP = f"""
ip link set lo up
ip addr add {POD_IDENTITY_AGENT}/32 dev lo
ip link add vpc0 type bridge
ip addr add {CONTROL_PLANE}/24 dev vpc0
ip link set vpc0 up
echo 1 > /proc/sys/net/ipv4/ip_forward
mkdir -p /run/netns
touch /run/netns/control-plane
mount --bind /proc/self/ns/net /run/netns/control-plane
"""


def node_address(number: int) -> str:
    """Address of a node, counted from 1."""
    return f"10.88.0.{_FIRST_NODE + number}"


def pod_range(number: int) -> str:
    """Addresses of the pods of a node, counted from 1."""
    return f"10.89.{number}.0/24"


def node_setup(number: int) -> str:
    """Script that joins the network namespace that it runs in to the control plane's."""
    return f"""
ip link add eth0 type veth peer name node{number} netns control-plane
ip -n control-plane link set node{number} master vpc0 up
ip link set lo up
ip addr add {node_address(number)}/24 dev eth0
ip link set eth0 up
ip route add default via {CONTROL_PLANE}
ip -n control-plane route replace {pod_range(number)} via {node_address(number)}
echo 1 > /proc/sys/net/ipv4/ip_forward
"""

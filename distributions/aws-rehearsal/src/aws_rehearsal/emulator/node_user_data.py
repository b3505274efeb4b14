"""What the user data of an instance make of it as a node: labels and taints.

Amazon Linux 2023 reads a NodeConfig in a MIME archive, Bottlerocket settings in TOML.

https://awslabs.github.io/amazon-eks-ami/nodeadm/doc/api/
https://bottlerocket.dev/en/os/latest/#/api/settings/kubernetes/
"""

import base64
import email
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from kubernetes_rehearsal.nodes.node import Taint

_NODE_CONFIG = "application/node.eks.aws"
_LABELS = "--node-labels="


@dataclass(frozen=True)
class NodeBootstrap:
    """How an instance registers itself.

    :param cluster: name of the cluster that it joins; empty for an instance that joins none.
    """

    cluster: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[Taint, ...] = ()


def read_user_data(encoded: str) -> NodeBootstrap:
    """The node that an instance becomes.

    :param encoded: user data as EC2 keeps them, in base64.
    """
    text = base64.b64decode(encoded).decode(errors="replace")
    if text.lstrip().startswith(("MIME-Version:", "Content-Type:")):
        for part in email.message_from_string(text.lstrip()).walk():
            if part.get_content_type() == _NODE_CONFIG:
                return _from_node_config(yaml.safe_load(str(part.get_payload())))
        return NodeBootstrap()
    try:
        return _from_bottlerocket(tomllib.loads(text).get("settings", {}).get("kubernetes", {}))
    except tomllib.TOMLDecodeError:
        return NodeBootstrap()


def _from_node_config(config: Mapping[str, Any]) -> NodeBootstrap:
    kubelet = config["spec"].get("kubelet", {})
    pairs = [
        pair.partition("=")
        for flag in kubelet.get("flags", [])
        if flag.startswith(_LABELS)
        for pair in flag.removeprefix(_LABELS).strip('"').split(",")
    ]
    taints = kubelet.get("config", {}).get("registerWithTaints") or []
    return NodeBootstrap(
        config["spec"]["cluster"]["name"],
        {name: value for name, _, value in pairs if name},
        tuple(Taint(taint["key"], taint.get("value", ""), taint["effect"]) for taint in taints),
    )


def _from_bottlerocket(settings: Mapping[str, Any]) -> NodeBootstrap:
    taints = [
        Taint(key, *value.rsplit(":", 1))
        for key, values in settings.get("node-taints", {}).items()
        for value in ([values] if isinstance(values, str) else values)
    ]
    return NodeBootstrap(settings.get("cluster-name", ""), settings.get("node-labels", {}), tuple(taints))

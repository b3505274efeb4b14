"""Security contexts that pass the ``restricted`` pod security level."""

from typing import Any

from charts.kit.objects import Manifest

NOBODY = 65534

RESTRICTED_POD: Manifest = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
"""Security context of a pod that passes the ``restricted`` level."""

RESTRICTED_CONTAINER: Manifest = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
}
"""Security context of a container that passes the ``restricted`` level and cannot change its own files."""


def run_as(user: int, group: int | None = None) -> dict[str, Any]:
    """Security context of a restricted pod with a fixed user.

    :param user: numeric user id. An image with a non-numeric user needs one, because the kubelet cannot verify that
        such a user is not root.
    :param group: group of the pod's volumes. Default: the same number as the user.
    """
    return {**RESTRICTED_POD, "runAsUser": user, "fsGroup": user if group is None else group}

"""The scale of a workload: its replicas, apart from everything else."""

import copy
from typing import Any

from kubernetes_rehearsal.standin.errors import Object
from kubernetes_rehearsal.standin.patches import JSON_PATCH, json_patch, merge_patch


def scale_of(found: Object) -> Object:
    """The Scale object of a workload."""
    metadata = {name: found["metadata"].get(name) for name in ("name", "namespace", "uid", "resourceVersion")}
    replicas = found["spec"].get("replicas", 0)
    labels = found["spec"].get("selector", {}).get("matchLabels", {})
    return {
        "apiVersion": "autoscaling/v1",
        "kind": "Scale",
        "metadata": metadata,
        "spec": {"replicas": replicas},
        "status": {
            "replicas": found.get("status", {}).get("replicas", 0),
            "selector": ",".join(f"{key}={value}" for key, value in sorted(labels.items())),
        },
    }


def scaled(found: Object, content: Any, media: str) -> Object:
    """The workload with the replicas of a Scale, or of a patch of one."""
    scale = scale_of(found)
    scale = json_patch(scale, content) if media == JSON_PATCH else merge_patch(scale, content)
    changed = copy.deepcopy(found)
    changed["spec"]["replicas"] = scale["spec"].get("replicas", 0)
    return changed

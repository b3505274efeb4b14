"""Where the API keeps an object of any kind."""

from collections.abc import Mapping
from typing import Any

from kubernetes_rehearsal.client import ApiClient
from kubernetes_rehearsal.interface import KubernetesError


def collection_of(api: ApiClient, content: Mapping[str, Any]) -> str:
    """Path of the collection that an object belongs to.

    :raises KubernetesError: if the API has no such kind.
    """
    version, kind = content["apiVersion"], content["kind"]
    prefix = f"/apis/{version}" if "/" in version else f"/api/{version}"
    for resource in api.get(prefix)["resources"]:
        if resource["kind"] == kind and "/" not in resource["name"]:
            if not resource["namespaced"]:
                return f"{prefix}/{resource['name']}"
            namespace = content["metadata"].get("namespace", "default")
            return f"{prefix}/namespaces/{namespace}/{resource['name']}"
    raise KubernetesError(f"{kind} {content['metadata'].get('name')}: the API has no {kind} of {version}")


def path_of(api: ApiClient, content: Mapping[str, Any]) -> str:
    """Path of an object."""
    return f"{collection_of(api, content)}/{content['metadata']['name']}"

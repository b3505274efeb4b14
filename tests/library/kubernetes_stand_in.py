"""A stand-in for a cluster behind the two functions that deliver objects. It refuses what comes too early."""

import json
from collections.abc import Mapping
from itertools import count
from typing import Any

from mlplatform_constructs._kubernetes.objects_handler import inventory, readiness
from mlplatform_constructs._kubernetes.objects_handler.kubectl import Failure, Object, named
from tests.library.stack_stand_in import Event

Key = tuple[str, str, str, str]
BUILT_IN = {
    ("", "ConfigMap"): "v1",
    ("", "Namespace"): "v1",
    ("", "PersistentVolume"): "v1",
    ("", "Service"): "v1",
    ("", "ServiceAccount"): "v1",
    ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"): "admissionregistration.k8s.io/v1",
    ("apiextensions.k8s.io", "CustomResourceDefinition"): "apiextensions.k8s.io/v1",
    ("apps", "Deployment"): "apps/v1",
    ("rbac.authorization.k8s.io", "Role"): "rbac.authorization.k8s.io/v1",
}
OWN = ("ConfigMap", "kube-system")  # where inventories are kept


class Refused(Exception):
    """The response of the API server."""


class Cluster:
    """Objects in a cluster.

    :param slow: whether definitions, workloads and webhooks need a moment before they work.

    ``failing`` is the name of a resource whose next request fails.
    """

    def __init__(self, *, slow: bool = False) -> None:
        self.objects: dict[Key, Object] = {}
        self.removed: list[str] = []
        self.failing: str = ""
        self._slow = slow
        self._ids = count()

    def answer(self, event: Event) -> tuple[str, str]:
        """As the functions behind custom resources answer CloudFormation."""
        physical_id = event.get("PhysicalResourceId") or inventory.physical_id_of(event)
        try:
            if self.failing == event["LogicalResourceId"]:
                self.failing = ""
                self._apply_half(event)
                raise Refused(f"{event['LogicalResourceId']} fails")
            if event["ResourceType"].endswith("KubernetesResource"):
                self._apply_request(event)
            elif event["ResourceType"].endswith("Inventory"):
                inventory.keep_inventory(event, Kubectl(self))
            else:
                readiness.await_readiness(event, Kubectl(self))
            if event["RequestType"] != "Delete":
                physical_id = inventory.physical_id_of(event)
        except (Refused, Failure) as error:
            return physical_id, str(error)
        return physical_id, ""

    def _apply_request(self, event: Event) -> None:
        """As the CDK's handler does: it goes on after an error and reports it in the end."""
        errors = []
        for body in json.loads(event["ResourceProperties"]["Manifest"]):
            try:
                if event["RequestType"] == "Delete":
                    self.delete(key_of(body))
                elif key_of(body) in self.objects and event["ResourceProperties"].get("Overwrite") != "true":
                    raise Refused(f"{named(body)}: already exists")
                else:
                    self.apply(body)
            except Refused as error:
                errors.append(str(error))
        if errors:
            raise Refused("\n".join(errors))

    def _apply_half(self, event: Event) -> None:
        """A request that fails half-way has applied some of its objects."""
        bodies = json.loads(event["ResourceProperties"].get("Manifest", "[]"))
        for body in bodies[: len(bodies) // 2]:
            self.apply(body)

    def apply(self, body: Object) -> None:
        """Create or replace an object, if its dependencies exist."""
        key = key_of(body)
        if (key[0], key[1]) not in self.served():
            raise Refused(f"{named(body)}: no matches for its kind")
        if key[2] and key[2] != "kube-system" and not self._exists("Namespace", key[2]):
            raise Refused(f"{named(body)}: namespace {key[2]} not found")
        for webhook in self.of_kind("ValidatingWebhookConfiguration"):
            hook = webhook["webhooks"][0]
            if hook["rules"][0]["apiGroups"] == [key[0]] and not self._serves(hook["clientConfig"]):
                raise Refused(f"{named(body)}: failed calling webhook {hook['name']}")
        uid = self.objects[key]["metadata"]["uid"] if key in self.objects else str(next(self._ids))
        self.objects[key] = {**body, "metadata": {**body["metadata"], "uid": uid, "generation": 1}}
        if not self._slow:
            self.work()

    def work(self) -> None:
        """What controllers do in a moment."""
        for one in self.objects.values():
            if one["kind"] == "CustomResourceDefinition":
                one["status"] = {"conditions": [{"type": "Established", "status": "True"}]}
            elif one["kind"] == "Deployment":
                replicas = one["spec"].get("replicas", 1)
                one["status"] = {"observedGeneration": 1, "updatedReplicas": replicas, "availableReplicas": replicas}
            elif one["kind"] == "ValidatingWebhookConfiguration":
                one["webhooks"] = [
                    {**hook, "clientConfig": {**hook["clientConfig"], "caBundle": "Cg=="}} for hook in one["webhooks"]
                ]

    def delete(self, key: Key) -> None:
        """Delete an object with all that cannot be without it; what has finalizers stays."""
        found = self.objects[key]
        if found["metadata"].get("finalizers"):
            found["metadata"]["deletionTimestamp"] = "now"
            return
        del self.objects[key]
        self.removed.append(named(found))
        for other in [other for other in self.objects if other[2] == key[3] and key[1] == "Namespace"]:
            self.delete(other)
        if key[1] == "CustomResourceDefinition":
            kind = (found["spec"]["group"], found["spec"]["names"]["kind"])
            for other in [other for other in self.objects if other[:2] == kind]:
                self.delete(other)

    def served(self) -> dict[tuple[str, str], str]:
        """API versions of the kinds that can be used."""
        custom = {
            (one["spec"]["group"], one["spec"]["names"]["kind"]): f"{one['spec']['group']}/v1"
            for one in self.of_kind("CustomResourceDefinition")
            if one.get("status")
        }
        return BUILT_IN | custom

    def of_kind(self, kind: str) -> list[Object]:
        return [one for key, one in self.objects.items() if key[1] == kind]

    def names(self) -> set[str]:
        """All objects but inventories."""
        return {named(one) for key, one in self.objects.items() if (key[1], key[2]) != OWN}

    def inventories(self) -> int:
        return len([key for key in self.objects if (key[1], key[2]) == OWN])

    def _exists(self, kind: str, name: str) -> bool:
        return any(one["metadata"]["name"] == name for one in self.of_kind(kind))

    def _serves(self, client: Mapping[str, Any]) -> bool:
        service = client["service"]
        workload = self.objects.get(("apps", "Deployment", service["namespace"], service["name"]), {})
        return bool(client.get("caBundle") and workload.get("status"))


class Kubectl:
    """What the functions use of kubectl, on the stand-in. Each look at the cluster gives its controllers a moment."""

    end = float("inf")
    seconds_left = 600

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def apply(self, *objects: Object) -> None:
        for body in objects:
            self._cluster.apply(body)

    def get(self, *stubs: Object) -> list[Object]:
        keys = [key_of(stub) for stub in stubs]
        found = [self._cluster.objects[key] for key in keys if key in self._cluster.objects]
        answer: list[Object] = json.loads(json.dumps(found))
        self._cluster.work()
        return answer

    def labelled(self, kind: str, namespace: str, label: str) -> list[Object]:
        assert kind == "configmaps"
        objects = self._cluster.of_kind("ConfigMap")
        return [one for one in objects if label in one["metadata"].get("labels", {})]

    def delete(self, *stubs: Object, wait: bool = True) -> None:
        for key in map(key_of, stubs):
            if key in self._cluster.objects:
                self._cluster.delete(key)
        if not wait:
            return
        if held := [key for key in map(key_of, stubs) if key in self._cluster.objects]:
            raise Failure(f"kubectl delete: timed out waiting for {', '.join(key[3] for key in held)}")

    def served(self) -> tuple[dict[tuple[str, str], str], str]:
        return self._cluster.served(), ""


def key_of(body: Mapping[str, Any]) -> Key:
    metadata = body["metadata"]
    return body["apiVersion"].rpartition("/")[0], body["kind"], metadata.get("namespace", ""), metadata["name"]

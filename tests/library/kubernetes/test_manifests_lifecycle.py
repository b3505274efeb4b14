"""From first deployment to last removal, failures included: the cluster holds what was last deployed."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from random import Random
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlplatform_constructs._kubernetes import packing
from mlplatform_constructs._kubernetes.objects_handler import readiness
from tests.library.kubernetes_stand_in import Cluster
from tests.library.stack_stand_in import Failed, Stack, Template
from tests.manifests import (
    Delivery,
    Object,
    config_map,
    custom,
    definition,
    delivered,
    deployment,
    everything,
    namespace,
    role,
    service,
    service_account,
    webhook,
)

POOL: Sequence[Object] = [
    *(config_map(f"settings-{number}") for number in range(6)),
    *(deployment(f"server-{number}") for number in range(3)),
    *(role(f"role-{number}") for number in range(3)),
    service_account(),
    custom("one"),
    custom("two"),
]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small requests, so that objects move between many of them; and no pauses."""
    monkeypatch.setattr(packing, "REPLY_BYTES", 120)
    monkeypatch.setattr(readiness.time, "sleep", lambda seconds: None)


@dataclass(frozen=True)
class Plan:
    """Which objects of the pool are in which of two sets, and the ids of the sets."""

    first: frozenset[int]
    second: frozenset[int]
    ids: tuple[str, str]

    @property
    def names(self) -> set[str]:
        bodies = [POOL[number] for number in self.first | self.second]
        names = {f"{body['kind']} team-a/{body['metadata']['name']}" for body in bodies}
        return names | {"Namespace team-a", "CustomResourceDefinition notebooks.example.com"}


@cache
def template(plan: Plan) -> Template:
    """The template that delivers a plan, with the namespace and the definition that everything needs."""
    with TemporaryDirectory() as outdir:
        delivery = Delivery(outdir)
        base = [namespace(), definition()]
        delivery.deliver(*base, *(POOL[number] for number in sorted(plan.first)), id=plan.ids[0])
        if plan.second:
            delivery.deliver(*(POOL[number] for number in sorted(plan.second)), id=plan.ids[1])
        return delivery.template().template


CHOICES = st.frozensets(st.sampled_from(range(len(POOL))))
PLANS = st.builds(
    lambda first, second, ids: Plan(first, second - first, ids),
    CHOICES,
    CHOICES,
    st.sampled_from([("First", "Second"), ("First", "Other"), ("Renamed", "Second"), ("Second", "First")]),
)


@pytest.mark.promise("first-apply-succeeds", "honest-deletion")
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(PLANS, st.integers(0, 25)), min_size=1, max_size=4),
    st.randoms(use_true_random=False),
    st.booleans(),
)
def test_after_any_history_the_cluster_holds_what_was_last_deployed(
    history: list[tuple[Plan, int]], random: Random, sends_back: bool
) -> None:
    """Objects move between requests and sets, and any step fails, in any allowed order."""
    cluster = Cluster(slow=True)
    stack = Stack(cluster.answer, random, sends_back)
    names: set[str] = set()
    for plan, failing_step in history:
        resources = sorted(template(plan)["Resources"])
        cluster.failing = resources[failing_step] if failing_step < len(resources) else ""
        try:
            stack.deploy(template(plan))
            names = plan.names
        except Failed:
            assert not cluster.failing
        assert cluster.names() == names
        assert cluster.inventories() == len([one for one in stack.ids if "Inventory" in one])
    cluster.failing = ""
    stack.delete()
    assert cluster.objects == {}


@pytest.mark.promise("honest-deletion", "updates-in-place")
@pytest.mark.parametrize("sends_back", [True, False])
def test_a_rollback_deletes_only_the_objects_of_the_update(sends_back: bool) -> None:
    """A rollback may name the former state, or only delete what was new."""
    cluster = Cluster()
    stack = Stack(cluster.answer, Random(1), sends_back)
    before, after = (Plan(frozenset(first), frozenset(), ("First", "Second")) for first in ({0, 6}, {0, 1, 6}))
    stack.deploy(template(before))
    was, is_now = template(before)["Resources"], template(after)["Resources"]
    requests = [name for name, one in is_now.items() if one["Type"].endswith("KubernetesResource")]
    cluster.failing = next(name for name in requests if is_now[name] != was.get(name))
    with pytest.raises(Failed):
        stack.deploy(template(after))
    assert cluster.names() == before.names
    stack.deploy(template(after))
    assert cluster.names() == after.names
    stack.delete()
    assert cluster.objects == {}


@pytest.mark.promise("first-apply-succeeds")
def test_all_waves_and_gates_work_on_a_cluster_that_needs_its_time() -> None:
    """The stand-in refuses an object before its namespace, its definition or the webhook that guards it."""
    cluster = Cluster(slow=True)
    Stack(cluster.answer, Random(1)).deploy(delivered(everything()).template)
    assert len(cluster.names()) == len(everything())


@pytest.mark.promise("first-apply-succeeds")
def test_without_its_gates_the_same_set_is_refused() -> None:
    """This proves that the stand-in notices missing gates."""
    broken = json.loads(json.dumps(delivered(everything()).template))
    gates = {name: one for name, one in broken["Resources"].items() if one["Type"] == "Custom::KubernetesReadiness"}
    for name, gate in gates.items():
        del broken["Resources"][name]
        for other in broken["Resources"].values():
            if name in other.get("DependsOn", []):
                other["DependsOn"] = [one for one in other["DependsOn"] if one != name] + gate["DependsOn"]
    with pytest.raises(Failed, match="no matches for its kind|failed calling webhook"):
        Stack(Cluster(slow=True).answer, Random(1)).deploy(broken)


@pytest.mark.promise("ordered-removal")
def test_objects_are_removed_last_wave_first() -> None:
    cluster = Cluster()
    stack = Stack(cluster.answer, Random(1))
    stack.deploy(delivered(everything()).template)
    stack.delete()
    kinds = [name.partition(" ")[0] for name in cluster.removed]
    assert kinds[:3] == ["Notebook", "ValidatingWebhookConfiguration", "Deployment"]
    assert kinds[-3:] == ["Namespace", "CustomResourceDefinition", "ConfigMap"]  # the last is the inventory


def test_every_kind_of_object_is_deleted_when_its_set_no_longer_has_it() -> None:
    """Including kinds that ``kubectl apply --prune`` ignores, such as roles: removed access is revoked."""
    cluster = Cluster()
    stack = Stack(cluster.answer, Random(1))
    stack.deploy(delivered([namespace(), role(), service_account()]).template)
    stack.deploy(delivered([namespace(), service_account()]).template)
    assert cluster.names() == {"Namespace team-a", "ServiceAccount team-a/worker"}
    assert cluster.removed == ["Role team-a/reader"]


def test_nothing_is_removed_before_a_deployment_has_succeeded() -> None:
    cluster = Cluster()
    stack = Stack(cluster.answer, Random(1))
    stack.deploy(delivered([namespace(), role(), deployment()]).template)
    changed = delivered([namespace(), deployment(image="example.com/server:2"), service()]).template
    cluster.failing = next(name for name in changed["Resources"] if "Workloads" in name or "To" in name)
    with pytest.raises(Failed):
        stack.deploy(changed)
    assert "Role team-a/reader" not in cluster.removed
    assert "Service team-a/server" not in cluster.names()


def test_a_set_can_be_renamed_without_an_interruption() -> None:
    cluster = Cluster()
    stack = Stack(cluster.answer, Random(1))
    stack.deploy(delivered([namespace(), config_map()], id="Old").template)
    stack.deploy(delivered([namespace(), config_map()], id="New").template)
    assert cluster.names() == {"Namespace team-a", "ConfigMap team-a/settings"}
    assert all(name.startswith("ConfigMap kube-system/inventory-") for name in cluster.removed)


def test_objects_survive_a_renaming_that_fails() -> None:
    """The old set still has them on record."""
    cluster = Cluster()
    stack = Stack(cluster.answer, Random(1))
    stack.deploy(delivered([namespace(), config_map()], id="Old").template)
    renamed = delivered([namespace(), config_map(), deployment()], id="New").template
    cluster.failing = next(name for name in renamed["Resources"] if name.startswith("NewDefinitionsTo"))
    with pytest.raises(Failed):
        stack.deploy(renamed)
    assert cluster.names() == {"Namespace team-a", "ConfigMap team-a/settings"}


@pytest.mark.promise("waits-explain", "honest-deletion")
def test_a_removal_that_does_not_end_fails_with_names_finalizers_and_what_to_do() -> None:
    cluster = Cluster()
    stack = Stack(cluster.answer, Random(1))
    stack.deploy(delivered([namespace(), config_map(), deployment()]).template)
    held = cluster.objects["", "ConfigMap", "team-a", "settings"]
    held["metadata"]["finalizers"] = ["example.com/guard"]
    with pytest.raises(Failed) as error:
        stack.delete()
    assert str(error.value).splitlines() == [
        "Not deleted:",
        "ConfigMap team-a/settings, held by example.com/guard",
        "kubectl delete: timed out waiting for settings",
        "Finalizers are removed by the controllers that set them. Check that these run, and check their logs, "
        "or remove the finalizers manually. Then delete again.",
    ]
    del held["metadata"]["finalizers"]
    stack.delete()
    assert cluster.objects == {}


@pytest.mark.promise("honest-deletion")
def test_a_volume_is_deleted_without_waiting_for_the_claim_that_another_owner_has() -> None:
    cluster = Cluster()
    stack = Stack(cluster.answer, Random(1))
    source = {"driver": "fsx.csi.aws.com", "volumeHandle": "fs-1"}
    spec = {"capacity": {"storage": "1Ti"}, "accessModes": ["ReadWriteMany"], "csi": source}
    volume = {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "data"}, "spec": spec}
    stack.deploy(delivered([namespace(), config_map(), volume]).template)
    bound = cluster.objects["", "PersistentVolume", "", "data"]
    bound["metadata"]["finalizers"] = ["kubernetes.io/pv-protection"]
    stack.delete()
    assert cluster.objects == {("", "PersistentVolume", "", "data"): bound}
    assert bound["metadata"]["deletionTimestamp"]


def test_objects_of_a_kind_that_has_another_version_by_now_are_found() -> None:
    cluster = Cluster()
    stack = Stack(cluster.answer, Random(1))
    stack.deploy(delivered([namespace(), definition(), custom()]).template)
    recorded = json.loads(json.dumps(stack.template).replace("example.com/v1", "example.com/v1beta1"))
    stack.template = recorded
    stack.delete()
    assert cluster.objects == {}


@pytest.mark.promise("first-apply-succeeds")
def test_an_interrupted_deployment_can_be_repeated() -> None:
    """The repetition adopts the objects that the interrupted one created."""
    cluster = Cluster()
    cluster.apply(namespace())
    cluster.apply(config_map())
    Stack(cluster.answer, Random(1)).deploy(delivered([namespace(), config_map(), webhook(ca="Cg==")]).template)
    assert len(cluster.names()) == 3

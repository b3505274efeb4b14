"""What kubectl, helm and their like do to a cluster, at the stand-in and at kube-apiserver alike."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from kubernetes_rehearsal.client import APPLY_PATCH, MERGE_PATCH, ApiClient, ApiFailure
from kubernetes_rehearsal.interface import ClusterAccess
from tests.kubernetes_rehearsal.kubernetes_apis import APIS, Programs, client, cluster

STRATEGIC_PATCH = "application/strategic-merge-patch+json"
JSON_PATCH = "application/json-patch+json"
MAPS = "/api/v1/namespaces/default/configmaps"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


@pytest.fixture(scope="module", params=APIS)
def access(request: pytest.FixtureRequest) -> Iterator[ClusterAccess]:
    with cluster(request.param) as made:
        yield made


@pytest.fixture
def api(access: ClusterAccess) -> Iterator[ApiClient]:
    made = client(access)
    yield made
    made.close()


@pytest.fixture
def programs(access: ClusterAccess, tmp_path: Path) -> Programs:
    return Programs(access, tmp_path)


def eventually(holds: Callable[[], Any]) -> Any:
    """What a condition gives once it holds; controllers take their time."""
    for _ in range(100):
        if found := holds():
            return found
        time.sleep(0.1)
    pytest.fail("did not become true")


def is_gone(api: ApiClient, path: str) -> bool:
    try:
        api.get(path)
    except ApiFailure as failure:
        return failure.code == 404
    return False


def config_map(name: str, data: dict[str, str], **metadata: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, **metadata}, "data": data}


def deployment(name: str, **container: Any) -> dict[str, Any]:
    pod = {"containers": [{"name": "main", "image": "example.com/main:1", **container}]}
    template = {"metadata": {"labels": {"app": name}}, "spec": pod}
    spec = {"selector": {"matchLabels": {"app": name}}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}


def widget_definition(plural: str, kind: str) -> dict[str, Any]:
    schema = {
        "type": "object",
        "properties": {"spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
    }
    versions = [
        {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}},
        {"name": "v1beta1", "served": True, "storage": False, "schema": {"openAPIV3Schema": schema}},
    ]
    names = {"plural": plural, "kind": kind}
    spec = {"group": "widgets.example.com", "scope": "Namespaced", "names": names, "versions": versions}
    return {"metadata": {"name": f"{plural}.widgets.example.com"}, "spec": spec}


def test_helm_installs_waits_upgrades_rolls_back_and_uninstalls(programs: Programs, tmp_path: Path) -> None:
    (tmp_path / "templates").mkdir()
    (tmp_path / "Chart.yaml").write_text("{apiVersion: v2, name: probe, version: 1.0.0}")
    (tmp_path / "values.yaml").write_text('{level: "info", replicas: 2}')
    objects = [config_map("probe", {"level": "LEVEL"}), deployment("probe")]
    templates = yaml.safe_dump_all(objects).replace("LEVEL", "{{ .Values.level }}")
    (tmp_path / "templates" / "all.yaml").write_text(templates)
    there = ["probe", "--namespace=charts"]
    upgrade = ["upgrade", *there, str(tmp_path), "--install", "--wait", "--timeout=60s"]

    assert "STATUS: deployed" in programs.helm(*upgrade, "--create-namespace").text
    assert "REVISION: 2" in programs.helm(*upgrade, "--set=level=debug").text
    level = ["get", "configmap", "probe", "--namespace=charts", "--output=jsonpath={.data.level}"]
    assert programs.kubectl(*level).text == "debug"
    assert programs.helm("rollback", *there[:1], "1", *there[1:]).status == 0
    assert programs.kubectl(*level).text == "info"
    assert programs.helm("uninstall", *there, "--wait").status == 0
    assert "NotFound" in programs.kubectl(*level).text


def test_objects_that_left_a_manifest_are_pruned(programs: Programs) -> None:
    """As in an update by the CDK's handler: apply with its label."""
    label = {"aws.cdk.eks/prune-c8": ""}
    both = [config_map(name, {}, labels=label) for name in ("kept", "left")]
    assert programs.kubectl("create", "--save-config", given=both).status == 0
    said = programs.kubectl("apply", "--prune", "--selector=aws.cdk.eks/prune-c8", given=both[:1])
    assert "configmap/left pruned" in said.text
    assert "configmap/kept" not in programs.kubectl("delete", "--ignore-not-found", given=both[1:]).text


def test_an_unchanged_manifest_changes_nothing(programs: Programs) -> None:
    given = [deployment("still", ports=[{"containerPort": 80}], env=[{"name": "A", "value": "b"}])]
    assert "created" in programs.kubectl("apply", given=given).text
    assert "unchanged" in programs.kubectl("apply", given=given).text


def test_what_is_deployed_is_reported_as_running(programs: Programs) -> None:
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "example.com/job:1"}]}}
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "once"}, "spec": {"template": template}}
    port = {"port": 443}
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "gate"},
        "spec": {"type": "LoadBalancer", "ports": [port]},
    }
    assert programs.kubectl("apply", given=[deployment("up"), job, service]).status == 0
    assert "successfully rolled out" in programs.kubectl("rollout", "status", "deployment/up", "--timeout=30s").text
    assert programs.kubectl("wait", "--for=condition=complete", "job/once", "--timeout=30s").status == 0
    address = "--for=jsonpath={.status.loadBalancer.ingress[0].hostname}=gate.default.rehearsal.invalid"
    assert programs.kubectl("wait", address, "service/gate", "--timeout=30s").status == 0


def test_a_webhook_without_a_certificate_authority_gets_one(api: ApiClient) -> None:
    hooks = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
    service = {"name": "hook", "namespace": "default"}
    hook = {
        "name": "a.b.c",
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        "clientConfig": {"service": service},
    }
    api.request("POST", hooks, {"metadata": {"name": "hook"}, "webhooks": [hook]})
    assert eventually(lambda: api.get(f"{hooks}/hook")["webhooks"][0]["clientConfig"].get("caBundle"))
    api.request("DELETE", f"{hooks}/hook")


def test_a_namespace_deletes_its_objects(programs: Programs, api: ApiClient) -> None:
    api.request("POST", "/api/v1/namespaces", {"metadata": {"name": "brief"}})
    eventually(lambda: not is_gone(api, "/api/v1/namespaces/brief/serviceaccounts/default"))
    api.request("POST", "/api/v1/namespaces/brief/configmaps", config_map("inside", {}))
    assert programs.kubectl("delete", "namespace", "brief", "--timeout=60s").status == 0
    assert is_gone(api, "/api/v1/namespaces/brief/configmaps/inside")


def test_a_terminating_namespace_accepts_no_objects(api: ApiClient) -> None:
    api.request("POST", "/api/v1/namespaces", {"metadata": {"name": "going"}})
    held = config_map("held", {}, finalizers=["example.com/held"])
    api.request("POST", "/api/v1/namespaces/going/configmaps", held)
    api.request("DELETE", "/api/v1/namespaces/going")
    with pytest.raises(ApiFailure, match="because it is being terminated"):
        api.request("POST", "/api/v1/namespaces/going/configmaps", config_map("late", {}))
    path = "/api/v1/namespaces/going/configmaps/held"
    eventually(lambda: "deletionTimestamp" in api.get(path)["metadata"])
    api.request("PATCH", path, {"metadata": {"finalizers": None}}, MERGE_PATCH)
    eventually(lambda: is_gone(api, "/api/v1/namespaces/going"))


def test_a_namespace_is_deleted_although_an_aggregated_api_is_unavailable(programs: Programs, api: ApiClient) -> None:
    spec = {
        "group": "silent.example.com",
        "version": "v1",
        "groupPriorityMinimum": 100,
        "versionPriority": 100,
        "insecureSkipTLSVerify": True,
        "service": {"name": "silent", "namespace": "default"},
    }
    services = "/apis/apiregistration.k8s.io/v1/apiservices"
    api.request("POST", services, {"metadata": {"name": "v1.silent.example.com"}, "spec": spec})
    api.request("POST", "/api/v1/namespaces", {"metadata": {"name": "stuck"}})
    assert programs.kubectl("delete", "namespace", "stuck", "--timeout=60s").status == 0
    api.request("DELETE", f"{services}/v1.silent.example.com")


def test_a_finalizer_holds_its_object(api: ApiClient) -> None:
    api.request("POST", MAPS, config_map("held", {}, finalizers=["example.com/held"]))
    api.request("DELETE", f"{MAPS}/held")
    assert "deletionTimestamp" in api.get(f"{MAPS}/held")["metadata"]
    api.request("PATCH", f"{MAPS}/held", {"metadata": {"finalizers": None}}, MERGE_PATCH)
    assert is_gone(api, f"{MAPS}/held")


def test_dependents_follow_their_owner(api: ApiClient) -> None:
    owner = api.request("POST", MAPS, config_map("owner", {}))["metadata"]
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["uid"]}
    api.request("POST", MAPS, config_map("dependent", {}, ownerReferences=[reference]))
    api.request("DELETE", f"{MAPS}/owner")
    assert eventually(lambda: is_gone(api, f"{MAPS}/dependent"))


def test_a_definition_serves_its_versions_and_deletes_its_objects(api: ApiClient) -> None:
    api.request("POST", DEFINITIONS, widget_definition("widgets", "Widget"))
    prefix = "/apis/widgets.example.com"
    eventually(lambda: not is_gone(api, f"{prefix}/v1/namespaces/default/widgets"))
    api.request("POST", f"{prefix}/v1/namespaces/default/widgets", {
        "apiVersion": "widgets.example.com/v1", "kind": "Widget", "metadata": {"name": "one"}, "spec": {"size": 3},
    })  # fmt: skip
    older = api.get(f"{prefix}/v1beta1/namespaces/default/widgets/one")
    assert (older["apiVersion"], older["spec"]) == ("widgets.example.com/v1beta1", {"size": 3})
    api.request("DELETE", f"{DEFINITIONS}/widgets.widgets.example.com")
    eventually(lambda: is_gone(api, f"{DEFINITIONS}/widgets.widgets.example.com"))
    eventually(lambda: is_gone(api, f"{prefix}/v1/namespaces/default/widgets/one"))


def test_lists_are_merged_by_their_keys_in_a_strategic_patch(api: ApiClient) -> None:
    env = [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]
    api.request("POST", DEPLOYMENTS, deployment("merged", env=env, ports=[{"containerPort": 80}]))
    changed = {"name": "main", "env": [{"name": "B", "value": "3"}, {"name": "A", "$patch": "delete"}]}
    patch = {"spec": {"template": {"spec": {"containers": [changed]}}}}
    patched = api.request("PATCH", f"{DEPLOYMENTS}/merged", patch, STRATEGIC_PATCH)
    container = patched["spec"]["template"]["spec"]["containers"][0]
    assert container["env"] == [{"name": "B", "value": "3"}]
    assert [port["containerPort"] for port in container["ports"]] == [80]


def test_lists_are_replaced_in_a_merge_patch_and_addressed_in_a_json_patch(api: ApiClient) -> None:
    api.request("POST", DEPLOYMENTS, deployment("patched", args=["a", "b"]))
    place = "/spec/template/spec/containers/0"
    operations = [{"op": "test", "path": f"{place}/args/1", "value": "b"}, {"op": "remove", "path": f"{place}/args/0"}]
    patched = api.request("PATCH", f"{DEPLOYMENTS}/patched", operations, JSON_PATCH)
    assert patched["spec"]["template"]["spec"]["containers"][0]["args"] == ["b"]
    with pytest.raises(ApiFailure, match="(?i)invalid|error"):
        api.request("PATCH", f"{DEPLOYMENTS}/patched", [{"op": "remove", "path": "/spec/nothing"}], JSON_PATCH)
    merge = {"spec": {"template": {"spec": {"containers": []}}}}
    with pytest.raises(ApiFailure, match="containers"):
        api.request("PATCH", f"{DEPLOYMENTS}/patched", merge, MERGE_PATCH)


def test_custom_objects_take_no_strategic_patch(api: ApiClient) -> None:
    api.request("POST", DEFINITIONS, widget_definition("gadgets", "Gadget"))
    place = "/apis/widgets.example.com/v1/namespaces/default/gadgets"
    eventually(lambda: not is_gone(api, place))
    api.request("POST", place, {"apiVersion": "widgets.example.com/v1", "kind": "Gadget", "metadata": {"name": "one"}})
    with pytest.raises(ApiFailure, match="415 UnsupportedMediaType"):
        api.request("PATCH", f"{place}/one", {"spec": {"a": 1}}, STRATEGIC_PATCH)


def apply(api: ApiClient, manager: str, found: dict[str, Any], *, force: bool = False) -> dict[str, Any]:
    query = f"?fieldManager={manager}&force={str(force).lower()}"
    return api.request("PATCH", f"{MAPS}/{found['metadata']['name']}{query}", found, APPLY_PATCH)


def test_a_field_is_removed_when_its_only_owner_stops_applying_it(api: ApiClient) -> None:
    apply(api, "one", config_map("shared", {"mine": "1", "ours": "1"}))
    apply(api, "two", config_map("shared", {"ours": "1", "theirs": "1"}))
    assert apply(api, "one", config_map("shared", {}))["data"] == {"ours": "1", "theirs": "1"}
    assert apply(api, "two", config_map("shared", {"theirs": "1"}))["data"] == {"theirs": "1"}


def test_a_field_of_another_owner_is_a_conflict_unless_forced(api: ApiClient) -> None:
    apply(api, "one", config_map("disputed", {"a": "1"}))
    with pytest.raises(ApiFailure, match=r'conflict with "one": .data.a'):
        apply(api, "two", config_map("disputed", {"a": "2"}))
    assert apply(api, "two", config_map("disputed", {"a": "2"}), force=True)["data"] == {"a": "2"}
    assert apply(api, "one", config_map("disputed", {}))["data"] == {"a": "2"}


def test_an_update_takes_the_fields_that_it_changes(api: ApiClient) -> None:
    apply(api, "one", config_map("edited", {"a": "1", "b": "1"}))
    api.request("PATCH", f"{MAPS}/edited?fieldManager=editor", {"data": {"a": "2"}}, MERGE_PATCH)
    with pytest.raises(ApiFailure, match='conflict with "editor"'):
        apply(api, "one", config_map("edited", {"a": "1", "b": "1"}))
    owners = {
        entry["manager"]: entry["fieldsV1"]["f:data"]
        for entry in api.get(f"{MAPS}/edited")["metadata"]["managedFields"]
    }
    assert owners["editor"] == {"f:a": {}}


def test_list_items_have_owners_of_their_own(api: ApiClient) -> None:
    env = [{"name": "A", "value": "1"}]
    query = "?fieldManager={}"
    place = f"{DEPLOYMENTS}/owned"
    api.request("PATCH", place + query.format("one"), deployment("owned", env=env), APPLY_PATCH)
    other = deployment("owned", env=[{"name": "B", "value": "2"}])
    del other["spec"]["selector"], other["spec"]["template"]["spec"]["containers"][0]["image"]
    api.request("PATCH", place + query.format("two"), other, APPLY_PATCH)
    after = api.request("PATCH", place + query.format("one"), deployment("owned"), APPLY_PATCH)
    assert after["spec"]["template"]["spec"]["containers"][0]["env"] == [{"name": "B", "value": "2"}]


def test_a_stale_replacement_is_a_conflict(api: ApiClient) -> None:
    first = api.request("POST", MAPS, config_map("raced", {"a": "1"}))
    api.request("PATCH", f"{MAPS}/raced", {"data": {"a": "2"}}, MERGE_PATCH)
    with pytest.raises(ApiFailure, match="409 Conflict"):
        api.request("PUT", f"{MAPS}/raced", first)


def test_a_watch_tells_of_a_change_as_it_happens(programs: Programs, api: ApiClient) -> None:
    api.request("POST", MAPS, config_map("watched", {"state": "old"}))
    change = threading.Timer(
        1, lambda: api.request("PATCH", f"{MAPS}/watched", {"data": {"state": "new"}}, MERGE_PATCH)
    )
    change.start()
    said = programs.kubectl("wait", "--for=jsonpath={.data.state}=new", "configmap/watched", "--timeout=20s")
    change.join()
    assert said.status == 0, said.text


def test_selectors_choose_objects(api: ApiClient) -> None:
    for name, tier in (("front", "a"), ("middle", "b"), ("back", "c")):
        api.request("POST", MAPS, config_map(name, {}, labels={"layer": "yes", "tier": tier}))

    def names(query: str) -> list[str]:
        return [one["metadata"]["name"] for one in api.items(f"{MAPS}?{query}")]

    assert names("labelSelector=layer=yes,tier%20in%20(a,b)") == ["front", "middle"]
    assert names("labelSelector=layer,tier!=c") == ["front", "middle"]
    assert names("labelSelector=layer,!missing&fieldSelector=metadata.name=back") == ["back"]


def test_a_workload_is_scaled(programs: Programs, api: ApiClient) -> None:
    api.request("POST", DEPLOYMENTS, deployment("scaled"))
    assert programs.kubectl("scale", "deployment/scaled", "--replicas=4").status == 0
    assert api.get(f"{DEPLOYMENTS}/scaled/scale")["spec"]["replicas"] == 4
    assert api.get(f"{DEPLOYMENTS}/scaled")["spec"]["replicas"] == 4


def test_a_dry_run_keeps_nothing(api: ApiClient) -> None:
    api.request("POST", f"{MAPS}?dryRun=All", config_map("imagined", {}))
    assert is_gone(api, f"{MAPS}/imagined")

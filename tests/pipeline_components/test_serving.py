"""Deployment of a model version: against a Kubernetes API over HTTPS, and wherever a call fails."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlplatform_components import ComponentError, JobFailed, KubernetesApi, ModelServer, Patience, TimedOut
from mlplatform_components.serving import VERSION_LABEL, deploy_model, serving_version, switch_traffic
from tests.kubernetes_rehearsal.kubernetes_apis import cluster
from tests.pipeline_components.conftest import no_time

IMAGE = "111111111111.dkr.ecr.eu-west-1.amazonaws.com/serving:1.0"


def server(version: int = 1, **changes: Any) -> ModelServer:
    values: dict[str, Any] = {
        "name": "churn",
        "namespace": "default",
        "image": IMAGE,
        "model_uri": f"s3://models/churn/{version}/",
        "version": version,
    }
    return ModelServer(**{**values, **changes})


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KubernetesApi]:
    folder = tmp_path_factory.mktemp("access")
    with cluster("stand-in") as access:
        (folder / "ca.crt").write_text(access.certificate_authority, encoding="utf-8")
        (folder / "token").write_text("administrator", encoding="utf-8")
        values = {
            "server": access.endpoint,
            "certificates": str(folder / "ca.crt"),
            "token_file": str(folder / "token"),
        }
        yield KubernetesApi.from_dict(values, None)


@pytest.mark.promise("published-by-pipelines")
def test_a_new_version_starts_next_to_the_old_one_and_takes_its_traffic(api: KubernetesApi) -> None:
    quick = Patience(30, 0.2)
    old, new = server(1, drain_seconds=1), server(2, drain_seconds=1)
    deploy_model(api, old, quick)
    assert serving_version(api, "default", "churn") is None  # deploying moves no traffic
    assert switch_traffic(api, old, quick) is None
    deploy_model(api, new, quick)
    assert serving_version(api, "default", "churn") == 1
    assert api.get("Deployment", "apps/v1", "default", "churn-1")
    assert switch_traffic(api, new, quick) == 1
    assert serving_version(api, "default", "churn") == 2
    assert api.get("Deployment", "apps/v1", "default", "churn-1") is None
    assert switch_traffic(api, new, quick) is None  # a repeated step changes nothing


def test_traffic_does_not_move_to_a_version_that_was_not_deployed(api: KubernetesApi) -> None:
    with pytest.raises(ComponentError, match="churn-9: not ready; traffic stays where it is. Deploy it first"):
        switch_traffic(api, server(9), no_time())


def test_what_kubernetes_refuses_is_reported_with_its_reason(api: KubernetesApi) -> None:
    with pytest.raises(ComponentError, match=r"PATCH .*/namespaces/absent/deployments/churn-1.*: namespaces .absent"):
        deploy_model(api, server(namespace="absent"), no_time())


class FaultyKubernetes:
    """A cluster in memory. Call number ``fault`` raises, before or after its effect.

    Versions in ``broken`` never become ready. After each call it must hold that traffic goes to ready pods.
    """

    def __init__(self, fault: int = -1, after: bool = False, broken: tuple[int, ...] = ()) -> None:
        self.fault, self.after, self.broken = fault, after, broken
        self.calls = 0
        self.objects: dict[tuple[str, str], dict[str, Any]] = {}

    def _call(self, effect: Any) -> Any:
        at, self.calls = self.calls, self.calls + 1
        if at == self.fault and not self.after:
            raise ConnectionError
        result = effect()
        self.check()
        if at == self.fault:
            raise ConnectionError
        return result

    def check(self) -> None:
        service = self.objects.get(("Service", "churn"))
        if service:
            version = service["spec"]["selector"][VERSION_LABEL]
            deployment = self.objects.get(("Deployment", f"churn-{version}"))
            assert deployment, f"traffic goes to version {version}, which has no pods"
            assert deployment["status"]["availableReplicas"] == deployment["spec"]["replicas"]

    def get(self, kind: str, api_version: str, namespace: str, name: str) -> Any:
        return self._call(lambda: self.objects.get((kind, name)))

    def list(self, kind: str, api_version: str, namespace: str, labels: Any) -> Any:
        return self._call(lambda: [found for (what, _), found in self.objects.items() if what == kind])

    def apply(self, desired: dict[str, Any]) -> Any:
        def effect() -> Any:
            found = {**desired, "metadata": {**desired["metadata"], "generation": 1}}
            if desired["kind"] == "Deployment":
                version = int(desired["metadata"]["labels"][VERSION_LABEL])
                count = 0 if version in self.broken else desired["spec"]["replicas"]
                found["status"] = {"observedGeneration": 1, "updatedReplicas": count, "availableReplicas": count}
            self.objects[desired["kind"], desired["metadata"]["name"]] = found
            return found

        return self._call(effect)

    def delete(self, kind: str, api_version: str, namespace: str, name: str) -> None:
        self._call(lambda: self.objects.pop((kind, name), None))


@pytest.mark.promise("published-by-pipelines")
@given(fault=st.integers(-1, 14), after=st.booleans(), broken=st.booleans())
@settings(deadline=None, max_examples=200)
def test_traffic_always_goes_to_ready_pods_wherever_a_call_fails(fault: int, after: bool, broken: bool) -> None:
    api: Any = FaultyKubernetes(broken=(2,) if broken else ())
    deploy_model(api, server(1), no_time())
    switch_traffic(api, server(1), no_time())
    api.calls, api.fault, api.after = 0, fault, after
    try:
        deploy_model(api, server(2), no_time())
        switch_traffic(api, server(2), no_time())
    except (ConnectionError, TimedOut):
        assert fault >= 0 or broken
    api.check()
    assert not (broken and api.objects["Service", "churn"]["spec"]["selector"][VERSION_LABEL] == "2")


@pytest.mark.promise("published-by-pipelines")
def test_a_version_that_does_not_become_ready_is_deleted_and_the_old_one_serves_on() -> None:
    api: Any = FaultyKubernetes(broken=(2,))
    deploy_model(api, server(1), no_time())
    switch_traffic(api, server(1), no_time())
    with pytest.raises(TimedOut, match="churn-2 to be ready; the last state was 0 of 2 pods ready"):
        deploy_model(api, server(2), no_time())
    assert ("Deployment", "churn-2") not in api.objects
    assert serving_version(api, "default", "churn") == 1


def test_a_version_that_kubernetes_gives_up_on_is_reported_at_once() -> None:
    api: Any = FaultyKubernetes(broken=(1,))
    api.apply(server(1).deployment())
    condition = {"type": "Progressing", "reason": "ProgressDeadlineExceeded", "message": "image cannot be pulled"}
    api.objects["Deployment", "churn-1"]["status"]["conditions"] = [condition]
    with pytest.raises(JobFailed, match="churn-1: not ready: image cannot be pulled"):
        switch_traffic(api, server(1), no_time())


def test_a_pod_drains_before_it_ends_and_has_time_for_its_last_request() -> None:
    pod = server(drain_seconds=15, grace_seconds=45).deployment()["spec"]["template"]["spec"]
    [container] = pod["containers"]
    assert container["lifecycle"]["preStop"] == {"sleep": {"seconds": 15}}
    assert pod["terminationGracePeriodSeconds"] == 60


def test_a_pod_is_restricted_and_has_no_token_of_the_api() -> None:
    pod = server().deployment()["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["containers"][0]["securityContext"]["capabilities"] == {"drop": ["ALL"]}


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"name": "Churn"}, "name must be 1 to 41 lower-case letters"),
        ({"namespace": ""}, "namespace must be 1 to 41"),
        ({"image": "serving:latest"}, "image must have a digest, or a tag other than latest"),
        ({"version": 0}, "version and replicas must be 1 or more"),
        ({"drain_seconds": 0}, "drain_seconds and grace_seconds must be 1 or more"),
    ],
)
def test_refuses_a_server_that_kubernetes_would_refuse(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(ComponentError, match=problem):
        server(**changes)


def test_numbers_of_a_pipeline_stay_whole() -> None:
    """Kubeflow Pipelines passes 2 as 2.0, which Kubernetes refuses."""
    values = {"name": "churn", "namespace": "default", "image": IMAGE, "replicas": 3.0, "drain_seconds": 5.0}
    deployment = ModelServer.from_dict(values, version=1, uri="s3://models/churn/1/").deployment()
    assert '"replicas": 3,' in json.dumps(deployment)


def test_refuses_a_server_with_an_unknown_key() -> None:
    with pytest.raises(ComponentError, match="model server 'churn': .*colour.*; see ModelServer for its keys"):
        ModelServer.from_dict({"name": "churn", "colour": "red"}, version=1, uri="s3://models/churn/1/")


def test_refuses_a_cluster_that_is_described_by_halves(tmp_path: Path) -> None:
    with pytest.raises(ComponentError, match="cluster: must be .*; got server"):
        KubernetesApi.from_dict({"server": "https://127.0.0.1"}, None)

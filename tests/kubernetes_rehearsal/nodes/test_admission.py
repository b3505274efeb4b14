"""What happens to pods when they are created."""

import base64
import json
from typing import Any

from kubernetes_rehearsal.nodes.admission import (
    STAND_IN_IMAGE,
    STORED_ONLY,
    review,
    with_patient_probes,
    with_stand_ins,
)
from kubernetes_rehearsal.nodes.pod_aws import PodIdentity, with_credentials

HERE = "registry.example.org/here:1"
ELSEWHERE = "registry.example.org/elsewhere:1"


def _pod(*images: str, **spec: Any) -> dict[str, Any]:
    containers = [
        {
            "name": f"c{number}",
            "image": image,
            "args": ["serve"],
            "env": [{"name": "AWS_REGION", "value": "eu-west-1"}],
            "readinessProbe": {"httpGet": {"port": 80}},
        }
        for number, image in enumerate(images)
    ]
    return {"metadata": {"name": "pod"}, "spec": {"containers": containers, **spec}}


def _has(image: str) -> bool:
    return image == HERE


def test_a_pod_whose_images_are_here_is_not_changed() -> None:
    assert with_stand_ins(_pod(HERE), _has) == _pod(HERE)


def test_a_container_without_image_is_stood_in_and_named() -> None:
    changed = with_stand_ins(_pod(HERE, ELSEWHERE), _has)
    real, stand_in = changed["spec"]["containers"]
    assert real == _pod(HERE)["spec"]["containers"][0]
    assert stand_in["image"] == STAND_IN_IMAGE
    assert stand_in["command"] == ["/pause"]
    assert not {"args", "readinessProbe"} & stand_in.keys()
    assert changed["metadata"]["annotations"] == {STORED_ONLY: ELSEWHERE}


def test_a_pod_with_a_volume_of_a_driver_is_stood_in_without_the_volume_and_the_secret_of_the_driver() -> None:
    driver = "secrets-store.csi.k8s.io"
    pod = _pod(HERE, volumes=[{"name": "keys", "csi": {"driver": driver}}, {"name": "tmp", "emptyDir": {}}])
    reference = {"name": "database", "key": "password"}
    pod["spec"]["containers"][0]["env"].append({"name": "PASSWORD", "valueFrom": {"secretKeyRef": reference}})
    changed = with_stand_ins(pod, _has)
    (container,) = changed["spec"]["containers"]
    assert container["image"] == STAND_IN_IMAGE
    assert container["env"][1]["valueFrom"] == {"secretKeyRef": {**reference, "optional": True}}
    assert changed["spec"]["volumes"] == [{"name": "keys", "emptyDir": {}}, {"name": "tmp", "emptyDir": {}}]
    assert changed["metadata"]["annotations"] == {STORED_ONLY: driver}
    assert "csi" in pod["spec"]["volumes"][0]


def test_a_pod_with_a_volume_of_a_driver_runs_where_its_content_exists() -> None:
    csi = {"driver": "secrets-store.csi.k8s.io", "volumeAttributes": {"secretProviderClass": "keys"}}
    secret = {"projected": {"sources": [{"secret": {"name": "keys"}}]}}
    pod = _pod(HERE, volumes=[{"name": "keys", "csi": csi}, {"name": "tmp", "emptyDir": {}}])
    changed = with_stand_ins(pod, _has, lambda asked: secret if asked == csi else None)
    assert changed["spec"]["volumes"] == [{"name": "keys", **secret}, {"name": "tmp", "emptyDir": {}}]
    assert changed["spec"]["containers"] == pod["spec"]["containers"]
    assert "annotations" not in changed["metadata"]


def test_only_liveness_probes_wait_longer_on_a_shared_machine() -> None:
    pod = _pod(HERE, ELSEWHERE)
    pod["spec"]["containers"][0]["livenessProbe"] = {"httpGet": {"port": 80}, "failureThreshold": 2}
    first, second = with_patient_probes(pod)["spec"]["containers"]
    assert first["livenessProbe"] == {"httpGet": {"port": 80}, "failureThreshold": 10, "timeoutSeconds": 5}
    assert first["readinessProbe"] == {"httpGet": {"port": 80}}
    assert second == pod["spec"]["containers"][1]


def test_a_stand_in_of_a_job_or_an_init_container_ends_with_success() -> None:
    job = with_stand_ins(_pod(ELSEWHERE, restartPolicy="Never"), _has)
    prepared = with_stand_ins(_pod(HERE, initContainers=[{"name": "init", "image": ELSEWHERE}]), _has)
    assert job["spec"]["containers"][0]["command"] == ["/pause", "exit"]
    assert prepared["spec"]["initContainers"][0]["command"] == ["/pause", "exit"]


def test_a_stand_in_of_a_sidecar_keeps_running() -> None:
    sidecar = {"name": "sidecar", "image": ELSEWHERE, "restartPolicy": "Always"}
    changed = with_stand_ins(_pod(HERE, initContainers=[sidecar]), _has)
    assert changed["spec"]["initContainers"][0]["command"] == ["/pause"]


def test_the_webhook_answers_with_a_patch_of_what_changed() -> None:
    request = {"request": {"uid": "1", "namespace": "churn", "object": _pod(ELSEWHERE)}}
    answer = review(request, "cluster", lambda cluster, pod, namespace: with_stand_ins(pod, _has))["response"]
    patch = json.loads(base64.b64decode(answer["patch"]))
    assert answer["allowed"]
    assert {part["path"] for part in patch} == {"/metadata", "/spec"}


def test_the_webhook_leaves_other_pods_alone() -> None:
    request = {"request": {"uid": "1", "namespace": "churn", "object": _pod(HERE)}}
    answer = review(request, "cluster", lambda cluster, pod, namespace: pod)["response"]
    assert answer == {"uid": "1", "allowed": True}


def _variables(pod: dict[str, Any]) -> dict[str, str]:
    return {variable["name"]: variable["value"] for variable in pod["spec"]["containers"][0]["env"]}


def test_a_pod_with_an_association_gets_the_agent_and_a_token_for_it() -> None:
    changed = with_credentials(_pod(HERE), PodIdentity("us-east-1", True, ""), "PEM")
    variables = _variables(changed)
    assert variables["AWS_CONTAINER_CREDENTIALS_FULL_URI"] == "http://169.254.170.23/v1/credentials"
    folder, _, file = variables["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"].rpartition("/")
    (mount,) = [one for one in changed["spec"]["containers"][0]["volumeMounts"] if one["mountPath"] == folder]
    (volume,) = [one for one in changed["spec"]["volumes"] if one["name"] == mount["name"]]
    token = volume["projected"]["sources"][0]["serviceAccountToken"]
    assert (token["audience"], token["path"]) == ("pods.eks.amazonaws.com", file)


def test_a_pod_of_an_annotated_account_gets_a_web_identity() -> None:
    changed = with_credentials(_pod(HERE), PodIdentity("us-east-1", False, "arn:aws:iam::1:role/r"), "PEM")
    assert _variables(changed)["AWS_ROLE_ARN"] == "arn:aws:iam::1:role/r"
    assert "AWS_CONTAINER_CREDENTIALS_FULL_URI" not in _variables(changed)


def test_a_pod_without_a_role_gets_no_credentials() -> None:
    assert _variables(with_credentials(_pod(HERE), PodIdentity("us-east-1", False, ""), "PEM")).keys() == {
        "AWS_CA_BUNDLE",
        "AWS_REGION",  # its own
    }


def test_a_variable_that_a_container_sets_itself_stays() -> None:
    changed = with_credentials(_pod(HERE), PodIdentity("us-east-1", True, ""), "PEM")
    assert _variables(changed)["AWS_REGION"] == "eu-west-1"


def test_no_static_key_is_put_into_a_pod() -> None:
    for identity in (PodIdentity("us-east-1", True, ""), PodIdentity("us-east-1", False, "arn:aws:iam::1:role/r")):
        names = _variables(with_credentials(_pod(HERE), identity, "PEM")).keys()
        assert not {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"} & names

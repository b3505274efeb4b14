"""Objects that violate rules across fields are refused at synthesis, with place and fix."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from mlplatform_constructs._kubernetes.contents import ClusterContents
from mlplatform_constructs._kubernetes.field_rules import CONTAINER, KINDS, POD, field_problems
from mlplatform_constructs._kubernetes.object_rules import object_problems
from mlplatform_constructs._kubernetes.quantities import quantity
from mlplatform_constructs._kubernetes.reading import read
from mlplatform_constructs._kubernetes.schemas import core_schemas
from tests.manifests import Object

ARN = "${Token[TOKEN.1]}"


def container(**more: Any) -> Object:
    return {"name": "app", "image": "app:1", **more}


def pod(*containers: Object, **spec: Any) -> Object:
    return {"kind": "Pod", "metadata": {"name": "x"}, "spec": {"containers": list(containers), **spec}}


def of(kind: str, spec: Object | None = None, **more: Any) -> Object:
    return {"kind": kind, "metadata": {"name": "x"}, **({"spec": spec} if spec is not None else {}), **more}


def workload(kind: str, *containers: Object, **more: Any) -> Object:
    spec: Object = {
        "template": {"spec": {"containers": list(containers) or [container()], **more.pop("pod", {})}},
        **more,
    }
    return of(kind, {"schedule": "@daily", "jobTemplate": {"spec": spec}} if kind == "CronJob" else spec)


def probed(**probe: Any) -> Object:
    return pod(container(livenessProbe=probe))


def resources(requests: Object | None = None, limits: Object | None = None) -> Object:
    return pod(container(resources={"requests": requests or {}, "limits": limits or {}}))


def service(*ports: Object, **more: Any) -> Object:
    return of("Service", {"ports": list(ports), **more})


GOOD = [
    pod(container()),
    pod(
        container(),
        initContainers=[
            container(name="first"),
            container(name="side", restartPolicy="Always", livenessProbe={"exec": {"command": ["true"]}}),
        ],
    ),
    workload("Deployment"),
    workload("Job", pod={"restartPolicy": "Never"}),
    workload("CronJob", pod={"restartPolicy": "OnFailure"}),
    workload(
        "StatefulSet",
        container(volumeMounts=[{"name": "data", "mountPath": "/data"}]),
        volumeClaimTemplates=[{"metadata": {"name": "data"}}],
    ),
    pod(container(volumeMounts=[{"name": "v", "mountPath": "/v"}]), volumes=[{"name": "v", "emptyDir": {}}]),
    probed(httpGet={"port": "http"}),
    probed(grpc={"port": 9000}),
    resources({"cpu": "500m", "memory": "1Gi"}, {"memory": "1024Mi"}),
    resources(
        limits={
            "nvidia.com/gpu": 1,
            "nvidia.com/mig-1g.5gb": "1",
            "vpc.amazonaws.com/efa": 4,
            "hugepages-2Mi": "1Gi",
            "memory": "2Gi",
        }
    ),
    resources({"nvidia.com/gpu": 1}, {"nvidia.com/gpu": "1"}),
    resources({"memory": ARN}, {"memory": "1Gi"}),
    service({"port": 80}),
    service({"port": 80, "name": "a"}, {"port": 80, "name": "b", "protocol": "UDP"}),
    of("Service", {"clusterIP": "None"}),
    of("Service", {"type": "ExternalName", "externalName": "example.com"}),
    of("HorizontalPodAutoscaler", {"minReplicas": 2, "maxReplicas": 2}),
    of("PodDisruptionBudget", {"minAvailable": 1}),
    *(
        workload("CronJob", pod={"restartPolicy": "Never"})
        | {
            "spec": {
                "schedule": text,
                "jobTemplate": {
                    "spec": {"template": {"spec": {"containers": [container()], "restartPolicy": "Never"}}}
                },
            }
        }
        for text in ("*/5 * * * *", "0 9-17 * * mon-fri", "30 2 1,15 JAN *", "@hourly", "@every 1h30m", ARN)
    ),
    of("PersistentVolumeClaim", {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}),
    of(
        "RoleBinding",
        subjects=[{"kind": "ServiceAccount", "name": "a", "namespace": "b"}, {"kind": "Group", "name": "g"}],
    ),
    of("Role", rules=[{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]),
    of("ClusterRole", rules=[{"nonResourceURLs": ["/metrics"], "verbs": ["get"]}]),
    of("Ingress", {"rules": [{"http": {"paths": [{"path": "/", "pathType": "Prefix"}]}}]}),
    of("ConfigMap", data={"a.b-c_D": ""}),
    of("NetworkPolicy", {"egress": [{"ports": [{"port": 1, "endPort": 2}]}]}),
    of("Kustom", {"anything": 1}),
]

BAD: list[tuple[Object, str]] = [
    (pod(), "spec.containers: required; a pod has at least one"),
    (pod(container(), container()), "spec.containers: name 'app' is used 2 times; it must be unique"),
    (pod(container(), initContainers=[container()]), "spec.containers: name 'app' is used 2 times"),
    (pod({"name": "app"}), "spec.containers[0].image: required; set the image"),
    (pod({"name": "App", "image": "x"}), "spec.containers[0].name: 'App' must be at most 63 lower-case"),
    (workload("Deployment", {"name": "a"}), "spec.template.spec.containers[0].image: required"),
    (
        workload("CronJob", {"name": "a"}, pod={"restartPolicy": "Never"}),
        "spec.jobTemplate.spec.template.spec.containers[0].image",
    ),
    (workload("Job"), "spec.template.spec.restartPolicy: must be 'Never' or 'OnFailure' in a Job, got 'Always'"),
    (
        workload("Deployment", pod={"restartPolicy": "Never"}),
        "restartPolicy: must be 'Always' in a Deployment, got 'Never'",
    ),
    (workload("Deployment", replicas=-1), "spec.replicas: must not be below 0, got -1"),
    (
        probed(exec={}, tcpSocket={"port": 1}),
        "livenessProbe: must have one of exec, grpc, httpGet, tcpSocket, has exec and tcpS",
    ),
    (probed(periodSeconds=1), "livenessProbe: must have one of exec, grpc, httpGet, tcpSocket, has none"),
    (probed(httpGet={"port": 0}), "livenessProbe.httpGet.port: must be 1 to 65535, got 0"),
    (probed(exec={}, successThreshold=2), "livenessProbe.successThreshold: must be 1, got 2"),
    (
        pod(container(), initContainers=[container(name="i", readinessProbe={"exec": {}})]),
        "not allowed for an init container",
    ),
    (pod(container(ports=[{"containerPort": 70000}])), "ports[0].containerPort: must be 1 to 65535, got 70000"),
    (
        pod(container(ports=[{"containerPort": 1, "name": "much-too-long-name"}])),
        "ports[0].name: 'much-too-long-name' must be",
    ),
    (
        pod(container(ports=[{"containerPort": 1, "name": "a"}, {"containerPort": 2, "name": "a"}])),
        "ports: name 'a' is used 2",
    ),
    (
        pod(
            container(
                env=[{"name": "A", "value": "1", "valueFrom": {}}, {"name": "B", "value": "1", "valueFrom": {"x": 1}}]
            )
        ),
        "env[1]: has value and valueFrom",
    ),
    (resources({"cpu": "2"}, {"cpu": "1500m"}), "requests[\"cpu\"]: must not exceed the limit '1500m', got '2'"),
    (resources({"memory": "2G"}, {"memory": "1.5Gi"}), 'requests["memory"]: must not exceed the limit'),
    (
        resources({"nvidia.com/gpu": 1}),
        'limits["nvidia.com/gpu"]: required because a device that is requested must have a limit',
    ),
    (
        resources({"nvidia.com/gpu": 1}, {"nvidia.com/gpu": 2}),
        'requests["nvidia.com/gpu"]: must equal the limit 2, got 1',
    ),
    (resources(limits={"nvidia.com/gpu": "500m"}), 'limits["nvidia.com/gpu"]: must be a whole number'),
    (resources(limits={"nvidia.com/gpus": 1}), "no device plugin offers it; did you mean 'nvidia.com/gpu'?"),
    (resources(limits={"gpu": 1}), 'limits["gpu"]: unknown resource; for a device, use domain/name'),
    (resources(limits={"memmory": "1Gi"}), "unknown resource; did you mean 'memory'?"),
    (resources(limits={"cpu": "-1"}), 'limits["cpu"]: must not be below 0'),
    (
        pod(container(volumeMounts=[{"name": "w", "mountPath": "/v"}]), volumes=[{"name": "v", "emptyDir": {}}]),
        "volumeMounts[0].name: 'w' is not a volume",
    ),
    (
        pod(container(volumeMounts=[{"name": "v", "mountPath": "/v"}] * 2), volumes=[{"name": "v", "emptyDir": {}}]),
        "mountPath '/v' is used 2 times",
    ),
    (pod(container(), volumes=[{"name": "v"}]), "volumes[0]: must have one source, has none"),
    (pod(container(), volumes=[{"name": "v", "emptyDir": {}, "secret": {}}]), "has emptyDir and secret"),
    (pod(container(), volumes=[{"name": "v", "emptyDir": {}}] * 2), "volumes: name 'v' is used 2 times"),
    (service({"port": 80}, {"port": 81}), "spec.ports[0].name: required where a Service has several ports"),
    (service({"port": 80, "name": "a"}, {"port": 81, "name": "a"}), "spec.ports: name 'a' is used 2 times"),
    (service({"port": 80, "name": "a"}, {"port": 80, "name": "b"}), "spec.ports[1]: port 80 of TCP is listed twice"),
    (service({"port": 0}), "spec.ports[0].port: must be 1 to 65535, got 0"),
    (service({"port": 80, "nodePort": 80}), "spec.ports[0].nodePort: must be 30000 to 32767, got 80"),
    (service(), "spec.ports: required, unless clusterIP is 'None'"),
    (of("Service", {"type": "ExternalName"}), "spec.externalName: required"),
    (
        of("HorizontalPodAutoscaler", {"minReplicas": 3, "maxReplicas": 2}),
        "spec.maxReplicas: must not be below minReplicas 3, got 2",
    ),
    (of("HorizontalPodAutoscaler", {"minReplicas": 0, "maxReplicas": 2}), "spec.minReplicas: must be 1 or more, got 0"),
    (
        of("PodDisruptionBudget", {"minAvailable": 1, "maxUnavailable": 1}),
        "spec: has minAvailable and maxUnavailable; keep one",
    ),
    (of("CronJob", {"schedule": "every day"}), "spec.schedule: must be five fields"),
    (of("CronJob", {"schedule": "60 * * * *"}), "spec.schedule: minute '60' of '60 * * * *' must be within 0 to 59"),
    (of("CronJob", {"schedule": "* * * * 17-9"}), "spec.schedule: weekday"),
    (of("CronJob", {"schedule": "TZ=UTC 0 0 * * *"}), "contains a time zone; set spec.timeZone instead"),
    (of("PersistentVolumeClaim", {}), "spec.accessModes: required"),
    (
        of("PersistentVolumeClaim", {"accessModes": ["x"], "resources": {"requests": {"storage": "0"}}}),
        "must be above 0, got '0'",
    ),
    (
        of("RoleBinding", subjects=[{"kind": "ServiceAccount", "name": "a"}]),
        "subjects[0].namespace: required for a ServiceAccount",
    ),
    (of("Role", rules=[{"apiGroups": [""], "resources": ["pods"]}]), "rules[0].verbs: required"),
    (
        of("Role", rules=[{"nonResourceURLs": ["/x"], "verbs": ["get"]}]),
        "rules[0].nonResourceURLs: not allowed in a Role, which is namespaced",
    ),
    (of("Role", rules=[{"resources": ["pods"], "verbs": ["get"]}]), "rules[0].apiGroups: required with resources"),
    (of("Ingress", {}), "spec: must have rules or a defaultBackend"),
    (
        of("Ingress", {"rules": [{"http": {"paths": [{"path": "x", "pathType": "Exact"}]}}]}),
        "paths[0].path: must begin with '/'",
    ),
    (of("ConfigMap", data={"a b": ""}), 'data["a b"]: a key must be letters'),
    (of("ConfigMap", data={"a": ""}, binaryData={"a": ""}), 'binaryData["a"]: also in data'),
    (of("ConfigMap", data={"a": "x" * 1_100_000}), "data: has 1,100,000 bytes; a ConfigMap holds at most 1,048,576"),
    (
        of("NetworkPolicy", {"ingress": [{"ports": [{"port": 5, "endPort": 4}]}]}),
        "endPort: needs a numeric port that is not greater",
    ),
    (of("PriorityClass", value=2_000_000_000), "value: must be at most 1000000000"),
]


@pytest.mark.parametrize("body", GOOD, ids=lambda body: str(body["kind"]))
def test_what_the_api_server_accepts_passes(body: Object) -> None:
    assert list(object_problems(body)) == []


@pytest.mark.parametrize(("body", "problem"), BAD, ids=[problem[:50] for _, problem in BAD])
def test_what_the_api_server_refuses_is_refused(body: Object, problem: str) -> None:
    assert any(problem in found for found in object_problems(body)), list(object_problems(body))


@pytest.mark.parametrize(
    ("text", "value"),
    [("1", 1), ("500m", 0.5), ("1Ki", 1024), ("1.5Gi", 1.5 * 2**30), ("1e3", 1000), (2, 2), ("1u", 1e-6)],
)
def test_quantities_are_compared_as_numbers(text: Any, value: float) -> None:
    found = quantity(text)
    assert found is not None
    assert float(found) == value


JUDGED = yaml.safe_load(Path(__file__).with_name("judged_objects.yaml").read_text(encoding="utf-8"))
NAMESPACE: Object = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}}


def mistakes(body: Object) -> list[str]:
    """What is wrong with an object in a namespace of its own."""
    return read([NAMESPACE, body], ClusterContents("test", core_schemas("1.35")))[1]


@pytest.mark.promise("refused-objects")
@pytest.mark.parametrize("body", JUDGED["refused"].values(), ids=JUDGED["refused"])
def test_what_the_api_server_refuses_is_refused_at_synthesis(body: Object) -> None:
    found = mistakes(body)
    assert found
    assert all(": " in problem for problem in found), "each has a place and says what is wrong"


@pytest.mark.parametrize("body", JUDGED["accepted"].values(), ids=JUDGED["accepted"])
def test_a_neighbour_that_the_api_server_accepts_is_accepted_at_synthesis(body: Object) -> None:
    assert mistakes(body) == []


def test_tokens_are_right_in_every_field_that_is_checked() -> None:
    for checks in (POD, CONTAINER, *KINDS.values()):
        for path in checks:
            body: Any = ARN
            for name in reversed(path.split(".")):
                body = [body] if name == "*" else {name: body}
            assert list(field_problems(body, "", checks)) == [], path

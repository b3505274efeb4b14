import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .._arguments import ConfigurationError, check_fields
from ._objects import check_environment, check_name, custom_object, given, variables
from ._pods import TrainingPods

_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")
_RESERVED = ("kube-", "istio-", "kubeflow")


@dataclass(frozen=True, kw_only=True)
class Notebook:
    """A notebook server of a person.

    :param pods: the one pod that it runs in.
    :param home: the PersistentVolumeClaim with its files, which outlive it.
    :param home_folder: where they appear. Default: ``/home/jovyan``, as in the images of Kubeflow.
    :param pod_defaults: names of PodDefaults that it takes, such as access to a bucket. Default: none.
    :raises ConfigurationError: for more than one pod, or a name too long for its address.
    """

    name: str
    namespace: str
    pods: TrainingPods
    home: str
    home_folder: str = "/home/jovyan"
    pod_defaults: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        place = f"Notebook {self.name!r}"
        check_fields(self, place)
        check_name(place, "name", self.name, longest=52)
        check_name(place, "namespace", self.namespace)
        check_name(place, "home", self.home)
        for each in self.pod_defaults:
            check_name(place, "pod_defaults", each)
        if self.pods.replicas != 1:
            raise ConfigurationError(f"{place}: pods: replicas must be 1, got {self.pods.replicas}")
        if self.home_folder in self.pods.claims:
            raise ConfigurationError(f"{place}: {self.home_folder} is the folder of home; remove it from claims")

    def to_json(self) -> dict[str, Any]:
        """The object."""
        template = self.pods.template(self.name)["spec"]
        (container,) = template["containers"]
        container["volumeMounts"] = [
            {"name": self.home, "mountPath": self.home_folder},
            *container.get("volumeMounts", []),
        ]
        volumes = template.get("volumes", [])
        if self.home not in {volume["name"] for volume in volumes}:
            volumes = [{"name": self.home, "persistentVolumeClaim": {"claimName": self.home}}, *volumes]
        spec = {"template": {"spec": {**template, "volumes": volumes}}}
        return custom_object(
            "kubeflow.org/v1",
            "Notebook",
            self.name,
            self.namespace,
            spec,
            labels={"app": self.name, **{each: "true" for each in self.pod_defaults}},
            annotations={"notebooks.kubeflow.org/server-type": "jupyter"},
        )


@dataclass(frozen=True, kw_only=True)
class Profile:
    """The workspace of a team: a namespace, its owner, and what its pods may request together.

    :param name: of the team and of its namespace.
    :param owner: address of the person who decides in it, as the sign-in knows it.
    :param quota: by resource, such as ``{"requests.nvidia.com/gpu": "8"}``. Default: none.
    :raises ConfigurationError: for a name of the platform's own, or an owner that is not an address.
    """

    name: str
    owner: str
    quota: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        place = f"Profile {self.name!r}"
        check_fields(self, place)
        check_name(place, "name", self.name)
        if self.name.startswith(_RESERVED) or self.name == "default":
            raise ConfigurationError(f"{place}: name must not be one of the platform's namespaces")
        if not _EMAIL.fullmatch(self.owner):
            raise ConfigurationError(f"{place}: owner must be an address such as 'ana@example.org', got {self.owner!r}")

    def to_json(self) -> dict[str, Any]:
        """The object."""
        owner = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": self.owner}
        quota = {"resourceQuotaSpec": {"hard": dict(self.quota)}} if self.quota else {}
        return custom_object("kubeflow.org/v1", "Profile", self.name, None, {"owner": owner, **quota})


@dataclass(frozen=True, kw_only=True)
class PodDefault:
    """What the pods of a namespace get that have the label of its name, such as notebooks whose owner chose it.

    :param description: what people choose by.
    :param environment: variables of every container. Default: none.
    :param claims: name of the PersistentVolumeClaim by path. Default: none.
    :param annotations: of the pod. Default: none.
    :param service_account: of the pod. Default: its own.
    :raises ConfigurationError: for one that changes nothing, or a path that is none.
    """

    name: str
    namespace: str
    description: str
    environment: Mapping[str, str] = field(default_factory=dict)
    claims: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    service_account: str | None = None

    def __post_init__(self) -> None:
        place = f"PodDefault {self.name!r}"
        check_fields(self, place)
        check_name(place, "name", self.name)
        check_name(place, "namespace", self.namespace)
        check_environment(place, self.environment)
        if not self.description:
            raise ConfigurationError(f"{place}: description is empty; people choose by it")
        for path, claim in self.claims.items():
            if not path.startswith("/"):
                raise ConfigurationError(f"{place}: claims: the path of {claim!r} must begin with '/', got {path!r}")
            check_name(place, f"claims[{path!r}]", claim)
        if not (self.environment or self.claims or self.annotations or self.service_account):
            raise ConfigurationError(f"{place}: changes nothing; give environment, claims or annotations")

    def to_json(self) -> dict[str, Any]:
        """The object."""
        names = list(dict.fromkeys(self.claims.values()))
        spec = {
            "desc": self.description,
            "selector": {"matchLabels": {self.name: "true"}},
            **given(
                env=variables(self.environment),
                annotations=dict(self.annotations),
                serviceAccountName=self.service_account,
                volumes=[{"name": name, "persistentVolumeClaim": {"claimName": name}} for name in names],
                volumeMounts=[{"name": claim, "mountPath": path} for path, claim in self.claims.items()],
            ),
        }
        return custom_object("kubeflow.org/v1alpha1", "PodDefault", self.name, self.namespace, spec)

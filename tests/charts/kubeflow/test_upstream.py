"""Images, accounts, ports, routes, webhooks and definitions of every component of Kubeflow, compared with upstream's.

``upstream.json`` has the facts of upstream's release, ``differences.toml`` every difference with its reason.
"""

import fnmatch
import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from charts.kit.listed_images import unlisted_objects
from charts.kit.objects import metadata
from mlplatform_constructs import ConfigurationError
from tests.charts.kubeflow.core import place
from tests.charts.kubeflow.everything import CATALOG, everything, strings

HERE = Path(__file__).parent
UPSTREAM = json.loads((HERE / "upstream.json").read_text(encoding="utf-8"))
DIFFERENCES = tomllib.loads((HERE / "differences.toml").read_text(encoding="utf-8"))
IMAGE = re.compile(r"(?:[a-z0-9-]+\.)+[a-z]+(?:/[a-z0-9._-]+)+:[A-Za-z0-9][\w.-]*")
OURS_ALONE = {"kubeflow/teams"}
"""Components that upstream does not have."""
TOGETHER = {
    "kubeflow/trainer": ("kubeflow/trainer", "kubeflow/jobset"),
    "kubeflow/pipelines": ("kubeflow/pipelines", "kubeflow/argo_workflows"),
}
"""Folders whose objects and definitions count as of one component. Default: its own folder."""
every_component = pytest.mark.parametrize(
    "name", sorted({*UPSTREAM, *OURS_ALONE}), ids=lambda name: name.partition("/")[2]
)


def facts(name: str) -> set[str]:
    """Of our objects, in the words of ``upstream.json``."""
    folders = TOGETHER.get(name, (name,))
    objects = [one for folder in folders for one in everything().get(folder, ())]
    found = {f"image {image}" for text in strings(objects) for image in IMAGE.findall(text)}
    for one in objects:
        found |= set(_facts_of(one))
    for folder in folders:
        for definition in CATALOG.definitions(folder) if folder in CATALOG.components else ():
            versions = [version["name"] for version in definition["spec"]["versions"] if version["served"]]
            found |= {f"definition {definition['metadata']['name']} {version}" for version in versions}
    return found


def _facts_of(one: Any) -> Iterator[str]:
    match one["kind"]:
        case "Namespace":
            yield f"namespace {place(one)}"
        case "ServiceAccount":
            yield f"service account {place(one)}"
        case "Service":
            yield from (f"port {place(one)} {port['port']}" for port in one["spec"]["ports"])
        case "MutatingWebhookConfiguration" | "ValidatingWebhookConfiguration":
            for hook in one["webhooks"]:
                yield f"webhook {hook['clientConfig']['service']['path']}"
                if (version := hook["admissionReviewVersions"][0]) != "v1":  # the one that the API server asks by
                    yield f"review {version} of {hook['clientConfig']['service']['path']}"
        case "VirtualService":
            routes = [match for route in one["spec"]["http"] for match in route["match"]]
            yield from (f"route {route['uri']['prefix']}" for route in routes)
        case "Gateway":
            yield f"gateway {place(one)}"
        case "ClusterRole" if "aggregationRule" in one:
            yield f"role {place(one)}"


def differences(name: str) -> set[str]:
    ours, theirs = facts(name), set(UPSTREAM[name]["facts"])
    return {f"+ {fact}" for fact in ours - theirs} | {f"- {fact}" for fact in theirs - ours}


@every_component
def test_a_component_is_as_upstreams_but_for_named_differences(name: str) -> None:
    if name in OURS_ALONE:
        assert name not in UPSTREAM
        return
    found = differences(name)
    named_by = {pattern: fnmatch.filter(found, pattern) for pattern in DIFFERENCES.get(name, {})}
    assert found == {fact for few in named_by.values() for fact in few}
    assert all(named_by.values()), f"no longer different: {[pattern for pattern, few in named_by.items() if not few]}"


def test_every_component_is_compared_and_every_difference_has_a_reason() -> None:
    assert set(UPSTREAM) == set(everything()) - OURS_ALONE
    assert set(DIFFERENCES) <= set(UPSTREAM)
    for named in DIFFERENCES.values():
        assert all(len(reason.split()) > 3 for reason in named.values())


@pytest.mark.promise("pinned-images")
@every_component
def test_every_text_of_every_object_that_looks_like_an_image_is_listed(name: str) -> None:
    """In containers, variables, arguments, and configuration that a controller takes its images from."""
    listed = {CATALOG.images.reference(image.name) for image in CATALOG.images}
    found = {image for text in strings(everything()[name]) for image in IMAGE.findall(text)}
    assert found <= listed
    assert list(unlisted_objects(everything()[name], CATALOG.images)) == []


def containers(value: Any) -> Iterator[str]:
    """The images of containers alone."""
    match value:
        case dict():
            for key in ("containers", "initContainers"):
                yield from (each["image"] for each in value.get(key) or () if "image" in each)
            for item in value.values():
                yield from containers(item)
        case list():
            for item in value:
                yield from containers(item)


def test_images_hide_in_configuration_too() -> None:
    """Or a look at containers would do."""
    objects = [one for found in everything().values() for one in found]
    everywhere = {image for text in strings(objects) for image in IMAGE.findall(text)}
    assert len(everywhere - set(containers(objects))) > 20


@pytest.mark.parametrize("form", ["{}", '{{"image": "{}"}}', "--image={}", "run: {} # a comment"])
def test_an_image_that_is_not_listed_is_refused_wherever_it_hides(form: str) -> None:
    stranger = "quay.io/stranger/miner:v1"
    about = metadata("settings", "kubeflow")
    found = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": about, "data": {"some": form.format(stranger)}}
    with pytest.raises(ConfigurationError, match=r"quay\.io/stranger/miner:v1"):
        CATALOG.require_listed_objects([found])

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk.assertions import Match, Template

from config.loader import load_accounts
from stacks.tools.mirror import MirrorRegistry, MirrorStack, registries_of
from tests.cluster_services import REGISTRY, Services
from tests.compliance import assert_complies

OWN, TOOLS, OTHER = "333333333333", "222222222222", "444444444444"
NETWORK = '[network]\ncidr = "10.0.0.0/16"\navailability_zones = ["eu-west-1a", "eu-west-1b"]\n'
IMAGE = "docker.io/jtblin/kube2iam"


def registries(folder: Path, *accounts: str, registry: str = REGISTRY) -> list[MirrorRegistry]:
    for account in accounts:
        head = f'account = "{account}"\nregion = "eu-west-1"\nimage_registry = "{registry}"\n'
        (folder / f"a{account}.toml").write_text(head + NETWORK, encoding="utf-8")
    return registries_of(load_accounts(folder=folder))


@pytest.fixture
def mirror(app: cdk.App, tmp_path: Path) -> Template:
    """A mirror that two accounts read and a third one fills."""
    (registry,) = registries(tmp_path, OWN, OTHER)
    return Template.from_stack(MirrorStack(app, registry.stack_id, registry=registry, writer_account=TOOLS))


def repository(template: Template, name: str) -> dict[str, Any]:
    (found,) = template.find_resources("AWS::ECR::Repository", {"Properties": {"RepositoryName": name}}).values()
    properties: dict[str, Any] = found["Properties"]
    return properties


@pytest.mark.promise("own-registry")
def test_a_mirror_has_a_repository_for_each_image_and_chart_under_the_name_that_is_requested(mirror: Template) -> None:
    assert repository(mirror, f"mirror/{IMAGE}")
    assert repository(mirror, "mirror/charts/karpenter")
    names = [found["Properties"]["RepositoryName"] for found in repositories(mirror)]
    assert len(names) == len(set(names))


def repositories(template: Template) -> list[dict[str, Any]]:
    return list(template.find_resources("AWS::ECR::Repository").values())


def test_accounts_that_name_the_registry_may_pull_and_the_mirror_step_may_push(mirror: Template) -> None:
    statements = repository(mirror, f"mirror/{IMAGE}")["RepositoryPolicyText"]["Statement"]
    readers, writer = statements
    assert [people_of(each) for each in statements] == [[OTHER], [TOOLS]]
    assert "ecr:BatchGetImage" in readers["Action"]
    assert not {"ecr:PutImage", "ecr:InitiateLayerUpload"} & set(readers["Action"])
    assert "ecr:PutImage" in writer["Action"]
    assert not [action for action in writer["Action"] if "Delete" in action or "*" in action]


def people_of(statement: dict[str, Any]) -> list[str]:
    return re.findall(r"\d{12}", json.dumps(statement["Principal"]))


def test_a_mirror_of_one_account_allows_no_other(app: cdk.App, tmp_path: Path) -> None:
    (registry,) = registries(tmp_path, OWN)
    template = Template.from_stack(MirrorStack(app, registry.stack_id, registry=registry))
    template.all_resources_properties("AWS::ECR::Repository", {"RepositoryPolicyText": Match.absent()})


def test_the_stack_is_where_the_registry_is(app: cdk.App, tmp_path: Path) -> None:
    (registry,) = registries(tmp_path, OTHER)
    stack = MirrorStack(app, registry.stack_id, registry=registry)
    assert (stack.account, stack.region) == (OWN, "eu-west-1")
    assert registry.stack_id == "Mirror-333333333333-eu-west-1-mirror"


def test_a_registry_that_is_not_of_ecr_is_not_ours_to_make(tmp_path: Path) -> None:
    assert registries(tmp_path, OWN, registry="harbor.example.com/mirror") == []


def test_passes_the_compliance_pack(app: cdk.App, tmp_path: Path) -> None:
    (registry,) = registries(tmp_path, OWN, OTHER)
    MirrorStack(app, registry.stack_id, registry=registry, writer_account=TOOLS)
    assert_complies(app)


def strings(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield value
        case dict():
            for item in value.values():
                yield from strings(item)
        case list():
            for item in value:
                yield from strings(item)


def references(services: Services) -> Iterator[str]:
    """Whatever looks like an image or chart in objects and in values of Helm, and where charts come from."""
    for release in services.releases().values():
        yield release["Repository"].removeprefix("oci://")
        values = release["Values"]
        yield from strings(json.loads(values) if isinstance(values, str) else values)
    for found in services.delivered.objects():
        yield from strings(found)


@pytest.mark.promise("own-registry", "closed-network")
def test_a_closed_account_uses_only_images_of_its_mirror(closed: dict[str, Services], tmp_path: Path) -> None:
    """No deployment depends on Docker Hub or another public registry."""
    (registry,) = registries(tmp_path, OWN)
    held = {f"{registry.registry.host}/{name}" for name in registry.repositories.values()}
    asked = set()
    for services in closed.values():
        for text in references(services):
            upstream = re.match(r"(docker\.io|registry\.k8s\.io|registry\.istio\.io|quay\.io|ghcr\.io|nvcr\.io)/", text)
            assert not upstream, text
            assert not text.startswith("public.ecr.aws/"), text
            if text.startswith(REGISTRY):
                asked.add(re.sub(r"[:@].*", "", text))
    assert asked
    assert asked <= held
    assert f"{REGISTRY}/charts/karpenter" in asked
    assert f"{REGISTRY}/{IMAGE}" in asked

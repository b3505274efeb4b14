"""What stacks hold of each other: an exported value can neither change nor go while another stack imports it."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from config.loader import account_names
from delivery.assembly import stacks_of

KEPT: dict[str, dict[str, str]] = {
    "Security": {
        r"Keys\w+Arn": "encrypts data; no setting replaces or removes a key",
        r"RefAlarmsTopic": "no setting replaces or removes the topic",
    },
    "Network": {
        r"RefNetworkVpc[0-9A-F]{8}": "everything runs in it; a VPC cannot be exchanged",
        r"RefNetworkVpcPrivateSubnet": "AWS does not delete a subnet in use; the export refuses it at once",
    },
    "Storage": {
        r"(Ref|FnGetAtt)(Features|Models)Bucket": "holds data; no setting replaces or removes it",
        r"RefAccessLogsBucket": "holds records; no setting replaces or removes it",
        r"(Ref|FnGetAtt)Workspaces(FileSystem|SecurityGroup)": "holds data; no setting replaces or removes it",
    },
    "Cluster": {
        r"(Ref|FnGetAtt)Cluster[0-9A-F]{8}": "its services cannot outlive a cluster, nor move to another",
        r"FnGetAttClusterControlPlane\w+GroupId": "serving opens it to pipelines; it lives as long as the cluster",
        r"RefClusterOidcProvider": "roles of pods trust it; it lives as long as the cluster",
        r"FnGetAttClusterKubectlProvider": "carries the objects of the cluster; it lives as long as the cluster",
        r"FnGetAttClusterAccessBreakGlass": "the audit trail is updated before a cluster can be deleted",
    },
}
"""The exports that other stacks import, by stack and pattern, each with the reason why it is no output reference."""

IMPORT = re.compile(r'"Fn::ImportValue": "[a-z0-9-]+-([A-Za-z0-9]+):ExportsOutput(\w+)"')


def imports(assembly: Path) -> Iterator[tuple[str, str]]:
    """Every value that any stack of any account imports: the exporting stack and the name of the output."""
    for account in sorted(path.name.removeprefix("assembly-") for path in assembly.glob("assembly-*")):
        for stack in stacks_of(account, assembly):
            text = json.dumps(stack.template)
            found = IMPORT.findall(text)
            assert len(found) == text.count("Fn::ImportValue"), f"{stack.name}: an import of another form"
            yield from found


def reason(stack: str, output: str) -> tuple[str, str] | None:
    """The entry of ``KEPT`` that covers an import."""
    kind = "Cluster" if stack.endswith("Cluster") else stack
    patterns = [pattern for pattern in KEPT.get(kind, {}) if re.match(pattern, output.removeprefix("FnGetAtt"))]
    patterns += [pattern for pattern in KEPT.get(kind, {}) if re.match(pattern, output)]
    return (kind, patterns[0]) if patterns else None


def test_every_import_has_a_reason_and_every_reason_an_import(assembly: Path) -> None:
    found = set(imports(assembly))
    covered = {each: reason(*each) for each in found}
    assert [each for each, why in covered.items() if why is None] == []
    assert set(covered.values()) == {(stack, pattern) for stack, patterns in KEPT.items() for pattern in patterns}


@pytest.mark.parametrize(
    ("stack", "output"),
    [
        ("Network", "RefZonesPublic13EE9D46"),
        ("Network", "RefNetworkVpcPublicSubnet1Subnet36933139"),
        ("Network", "FnGetAttBastionRoleC0472B2CArn"),
        ("Storage", "RefLustreFileSystem4AFDAE78"),
    ],
)
def test_a_removable_resource_is_not_exported(stack: str, output: str) -> None:
    assert reason(stack, output) is None


def test_what_is_referred_to_by_output_is_an_output_of_a_stack_that_comes_first(assembly: Path) -> None:
    stacks = {stack.name: stack for stack in stacks_of("local", assembly)}
    references = [
        (stack.name, reference) for stack in stacks.values() for reference in references_by_output(stack.template)
    ]
    assert len(references) > 10
    for reader, reference in references:
        producer = stacks[reference["StackName"]]
        assert reference["OutputName"] in producer.template["Outputs"]
        assert reference["StackName"] in dependencies("local", reader, assembly)


def test_a_role_that_a_setting_removes_has_its_policies_in_its_own_stack(assembly: Path) -> None:
    """IAM does not delete a role that has a policy, and the stack of the role is updated before later ones."""
    kept = "BastionRole"  # no setting removes it
    held = [
        (stack.name, id)
        for name in account_names()
        for stack in stacks_of(name, assembly)
        for id, found in stack.template["Resources"].items()
        for role in held_roles(found)
        if isinstance(role, dict) and "Ref" not in role and kept not in json.dumps(role)
    ]
    assert held == []


def held_roles(resource: dict[str, Any]) -> list[Any]:
    """The roles that IAM does not delete while this resource exists."""
    properties = resource.get("Properties", {})
    match resource["Type"]:
        case "AWS::IAM::Policy" | "AWS::IAM::ManagedPolicy" | "AWS::IAM::InstanceProfile":
            return list(properties.get("Roles", ()))
        case "AWS::IAM::RolePolicy":
            return [properties["RoleName"]]
    return []


def references_by_output(value: Any) -> Iterator[dict[str, str]]:
    if isinstance(value, dict):
        if reference := value.get("Fn::GetStackOutput"):
            yield reference
        for item in value.values():
            yield from references_by_output(item)
    elif isinstance(value, list):
        for item in value:
            yield from references_by_output(item)


def dependencies(account: str, stack: str, assembly: Path) -> set[str]:
    """Names of the stacks that must be deployed before a stack, directly or through others."""
    manifest = json.loads((assembly / f"assembly-{account}" / "manifest.json").read_text(encoding="utf-8"))
    artifacts = manifest["artifacts"]
    names = {id: each["properties"].get("stackName", id) for id, each in artifacts.items() if "properties" in each}
    todo = [id for id, name in names.items() if name == stack]
    found: set[str] = set()
    while todo:
        for id in artifacts[todo.pop()].get("dependencies", ()):
            if id not in found:
                found.add(id)
                todo.append(id)
    return {names.get(id, id) for id in found}

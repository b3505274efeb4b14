"""Assumptions about the internals of ministack and of cfn-lint's schemas, which neither guarantees.

When one of these fails after an upgrade: read how the named function or table looks now, adapt the module of
``aws_rehearsal/emulator`` that is named beside it, and change the expectation here. Nothing else depends on it.
"""

import importlib
import inspect
import re
from importlib.metadata import version
from typing import Any

import pytest
from cfnlint.jsonschema import StandardValidator
from cfnlint.schema import PROVIDER_SCHEMA_MANAGER

PINNED = {"ministack": "1.5.33", "cfn-lint": "1.58.0", "Hypercorn": "0.18.0"}

# module of ministack, name, parameters (or the kind of a table), module of aws_rehearsal.emulator that hangs on it
INTERNALS = [
    ("app", "app", "scope receive send", "server"),
    ("core.iam_evaluator", "resolve_credential", "access_key_id account_id session_token", "eks"),
    ("core.lambda_runtime", "Worker._spawn", "self", "lambda_workers"),
    ("core.lambda_runtime", "execution_credentials", "config", "lambda_workers"),
    ("core.responses", "get_account_id", "", "provisioner"),
    ("core.responses", "get_region", "", "provisioner"),
    ("core.responses", "request_scope", "account_id region", "stack_outputs"),
    ("core.sigv4", "build_canonical_request", "method path headers query_params signed_headers ...", "eks"),
    ("core.sigv4", "build_string_to_sign", "amz_date date_stamp region service canonical_request", "eks"),
    ("core.sigv4", "calculate_signature", "secret date_stamp region service string_to_sign", "eks"),
    ("core.sigv4", "signatures_match", "computed provided", "eks"),
    ("services.cloudformation", "_stack_events", "AccountRegionScopedDict", "inventory"),
    ("services.cloudformation", "_stacks", "AccountRegionScopedDict", "inventory"),
    ("services.cloudformation", "handle_request", "method path headers body query_params", "polling"),
    ("services.cloudformation.custom_resource", "deliver_response", "token response", "custom_resources"),
    ("services.cloudformation.engine", "_resolve_refs", "value resources params ...", "stack_outputs"),
    ("services.cloudformation.provisioners", "_CONDITIONALLY_REPLACING_PROPERTIES", "dict", "registry"),
    ("services.cloudformation.provisioners", "_CUSTOM_NAME_REPLACEMENT", "dict", "registry"),
    ("services.cloudformation.provisioners", "_REPLACING_PROPERTIES", "dict", "registry"),
    ("services.cloudformation.provisioners", "_RESOURCE_HANDLERS", "dict", "registry"),
    (
        "services.cloudformation.provisioners",
        "_physical_name",
        "stack_name logical_id lowercase max_len ...",
        "provisioner",
    ),
    (
        "services.cloudformation.provisioners",
        "_replace_resource",
        "resource_type physical_id old_props new_props stack_name logical_id",
        "registry",
    ),
    (
        "services.cloudformation.provisioners",
        "_with_stack_tags",
        "resource_type props stack_tags stack_name stack_id logical_id",
        "validation",
    ),
    (
        "services.cloudformation.stacks",
        "_revert_update",
        "stack_id stack_name logical_id rtype physical_id applied_props previous_props attrs record",
        "rollbacks",
    ),
    (
        "services.cloudformation.stacks",
        "_roll_back_operation",
        "stack_name stack_id stack operation reason_override",
        "rollbacks",
    ),
    ("services.cloudformation.stacks", "_runs_on_worker_thread", "resource_type", "registry"),
    ("services.eks", "_access_entry_for_principal", "cluster_name account_id region principal_arn", "eks"),
    ("services.eks", "_access_policy_associations", "cluster_name account_id region", "eks"),
    ("services.eks", "_clusters", "AccountRegionScopedDict", "eks"),
    ("services.eks", "_create_cluster", "body creator_arn", "eks"),
    ("services.eks", "_delete_cluster", "name", "eks"),
    ("services.eks", "_get_docker", "", "eks"),
    ("services.eks", "_ministack_issuer_base", "", "eks"),
    ("services.eks", "_sanitize", "cluster", "eks"),
    ("services.ec2", "_subnets", "AccountRegionScopedDict", "eks_nodes"),
    ("services.eks", "_nodegroups", "AccountRegionScopedDict", "eks_nodes"),
    ("services.eks", "_pod_identity_associations", "AccountRegionScopedDict", "pod_identities"),
    ("services.iam", "_roles", "AccountScopedDict", "pod_identities"),
    ("services.cloudformation.provisioners", "_eks_nodegroup_fields", "props", "eks_nodes"),
    ("services.iam", "_oidc_providers", "AccountScopedDict", "iam"),
    ("services.lambda_svc", "_execute_function_with_config_scope", "func event", "custom_resources"),
    ("services.lambda_svc", "_resolve_layer_zip", "attachment", "lambda_workers"),
    ("services.s3", "_bucket_tags", "AccountScopedDict", "buckets"),
    ("services.ssm", "_PUBLIC_AMI_PARAMETERS", "dict", "parameters"),
    ("services.sts", "register_session", "access_key session", "sessions"),
]


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Imports of the emulator start nothing."""
    monkeypatch.setenv("MINISTACK_TEST_NO_AUTOSTART", "1")


@pytest.mark.parametrize("package", PINNED)
def test_the_version_is_the_one_that_the_assumptions_were_read_from(package: str) -> None:
    assert version(package) == PINNED[package], (
        f"{package} is {version(package)}: run `pytest tests/aws_rehearsal`, read what changed in the internals "
        f"that are listed here, then pin {version(package)} in PINNED"
    )


@pytest.mark.parametrize(("module", "name", "shape", "used_by"), INTERNALS, ids=lambda value: str(value)[:40])
def test_an_internal_exists_in_the_expected_form(module: str, name: str, shape: str, used_by: str) -> None:
    found: Any = importlib.import_module(f"ministack.{module}")
    for part in name.split("."):
        found = getattr(found, part, None)
    hint = f"ministack.{module}.{name} changed; aws_rehearsal/emulator/{used_by}.py hangs on it"
    if not callable(found):
        assert type(found).__name__ == shape, hint
        return
    parameters = " ".join(inspect.signature(found).parameters)
    wanted = re.escape(shape).replace(r"\ \.\.\.", r"( .*)?")
    assert re.fullmatch(wanted, parameters), f"{hint}: it takes {parameters!r}, not {shape!r}"


def test_a_handler_has_the_functions_that_are_wrapped() -> None:
    from ministack.services.cloudformation.provisioners import _RESOURCE_HANDLERS

    for resource_type in ("AWS::S3::Bucket", "AWS::EKS::Cluster", "AWS::EC2::Subnet"):
        handler = _RESOURCE_HANDLERS[resource_type]
        assert list(inspect.signature(handler["create"]).parameters)[:3] == ["logical_id", "props", "stack_name"]
        assert list(inspect.signature(handler["delete"]).parameters)[:2] == ["physical_id", "props"]


def test_what_the_emulator_knows_by_itself_is_not_hidden_by_ours() -> None:
    from ministack.services.cloudformation.provisioners import _RESOURCE_HANDLERS

    from aws_rehearsal.emulator.registry import PROVISIONERS

    hidden = [p.type for p in PROVISIONERS if p.type in _RESOURCE_HANDLERS]
    assert not hidden, "the emulator has provisioners for these types now; remove ours"


@pytest.mark.parametrize("store", ["ec2._vpcs", "eks._clusters", "iam._roles", "kms._keys", "s3._buckets"])
def test_the_inventory_finds_the_stores_of_the_emulator(store: str) -> None:
    importlib.import_module(f"ministack.services.{store.split('.')[0]}")
    from aws_rehearsal.emulator import inventory

    assert store in inventory.stores()
    assert "recorded._resources" in inventory.stores()


@pytest.mark.parametrize("keyword", ["additionalProperties", "required", "type", "enum", "pattern", "format"])
def test_the_schema_validator_knows_the_keyword(keyword: str) -> None:
    assert keyword in StandardValidator({}).validators


@pytest.mark.parametrize(
    "part", ["properties", "required", "readOnlyProperties", "createOnlyProperties", "primaryIdentifier"]
)
def test_schemas_have_the_parts_that_are_read(part: str) -> None:
    assert part in PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", "AWS::FSx::FileSystem").schema

"""Writes the Kubernetes objects of an account as files: ``python -m stacks.manifests ACCOUNT``.

One file holds one component, and their numbers are the order of application. A component that a later stack adds to has
a further file with the name of that stack. Values that AWS knows at deployment only
are replaced by examples of their form, so that the files can be read, compared and validated, but not applied.
"""

import argparse
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cdk8s
from aws_cdk import Stack

from config.loader import ConfigError
from config.schema import Account
from delivery.assembly import Stack as Template
from delivery.assembly import stacks_of
from mlplatform_constructs import ConfigurationError
from stacks._wiring.accounts import checked_accounts
from stacks._wiring.installer import DELIVERIES, Delivery
from stacks.app import new_app
from stacks.stage import PlatformStage

FOLDER = Path("manifests")

_FIRST = ("CustomResourceDefinition", "Namespace", "ServiceAccount", "Role", "ClusterRole")
_LAST = ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration")


@dataclass(frozen=True)
class Synthesis:
    """An account, synthesized.

    :param deliveries: what its clusters get, in order.
    :param templates: of its stacks.
    """

    name: str
    account: Account
    stage: PlatformStage
    deliveries: Sequence[Delivery]
    templates: Sequence[Template]

    @classmethod
    def of(cls, account: Account, name: str, outdir: Path) -> "Synthesis":
        """Synthesize an account into a folder."""
        app = new_app(outdir=str(outdir))
        app.node.set_context("aws:cdk:disable-asset-staging", True)
        deliveries: list[Delivery] = []
        token = DELIVERIES.set(deliveries)
        try:
            stage = PlatformStage(app, name, settings=account)
        finally:
            DELIVERIES.reset(token)
        app.synth()
        return cls(name, account, stage, deliveries, stacks_of(name, outdir))


def write_manifests(synthesis: Synthesis, folder: Path = FOLDER) -> list[Path]:
    """Write the objects of all clusters of an account to ``<folder>/<account>/<cluster>/<number>-<component>.yaml``.

    :return: the files, in order. Files of an earlier run that have no component any more are deleted.
    """
    examples = ExampleValues(synthesis.templates, synthesis.account)
    written: list[Path] = []
    for cluster, stacks in synthesis.stage.clusters.items():
        mine = [each for each in synthesis.deliveries if each.cluster is stacks.cluster.cluster]
        written += _write_cluster(folder / synthesis.name / cluster, mine, examples)
    return written


def _write_cluster(folder: Path, deliveries: Sequence[Delivery], examples: "ExampleValues") -> list[Path]:
    components: dict[str, list[Any]] = {}
    definitions: dict[str, list[Any]] = {}
    first: dict[str, Stack] = {}
    for delivery in deliveries:
        for part in delivery.parts:
            found = list(examples.objects(delivery.stack, part.objects))
            # Definitions are delivered early, and say nothing about when the rest of their component comes.
            early = all(each["kind"] == _FIRST[0] for each in found)
            if early:
                definitions.setdefault(part.component, []).extend(found)
                continue
            # What a later stack adds for its own namespaces is applied when that stack is.
            own = first.setdefault(part.component, delivery.stack) is delivery.stack
            name = part.component if own else f"{part.component}-{_words(delivery.stack.node.id)}"
            components.setdefault(name, []).extend(found)
    for component, found in definitions.items():
        components[component] = [*found, *components.get(component, [])]
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{number:02}-{name.replace('/', '-')}.yaml" for number, name in enumerate(components, 1)]
    for file, objects in zip(files, components.values(), strict=True):
        file.write_text(cdk8s.Yaml.stringify(*sorted(objects, key=_order)), encoding="utf-8")
    for old in set(folder.glob("*.yaml")) - set(files):
        old.unlink()
    return files


def _words(id: str) -> str:
    """``TrainingKubeflowTeams`` as ``training-kubeflow-teams``."""
    return re.sub("(?<!^)(?=[A-Z])", "-", id).lower()


def _order(found: Mapping[str, Any]) -> int:
    """Definitions first, webhooks last, everything else as the chart has it."""
    kind = found["kind"]
    if kind in _FIRST:
        return _FIRST.index(kind)
    return len(_FIRST) + (kind in _LAST)


class ExampleValues:
    """Values of the right form for what a template refers to, the same in every run.

    :param templates: of all stacks of the account, whose outputs lead to resources.
    """

    def __init__(self, templates: Sequence[Template], account: Account) -> None:
        self._templates = {each.name: each for each in templates}
        self._account = account

    def objects(self, stack: Stack, objects: Sequence[Any]) -> Iterator[Any]:
        """Objects of a stack, without tokens."""
        for found in objects:
            known = "${Token[" not in repr(found)
            yield found if known else self._value(stack.stack_name, stack.resolve(found))

    def _value(self, stack: str, value: Any) -> Any:
        match value:
            case {"Ref": str(id)}:
                return self._pseudo(id) or self._of_resource(stack, id, "")
            case {"Fn::GetAtt": [str(id), str(attribute)]}:
                return self._of_resource(stack, id, attribute)
            case {"Fn::ImportValue": str(name)}:
                producer = name.partition(":")[0]
                outputs = self._templates[producer].template["Outputs"].values()
                (found,) = [each["Value"] for each in outputs if each.get("Export", {}).get("Name") == name]
                return self._value(producer, found)
            case {"Fn::GetStackOutput": {"StackName": str(producer), "OutputName": str(output)}}:
                return self._value(producer, self._templates[producer].template["Outputs"][output]["Value"])
            case {"Fn::Join": [str(separator), list(parts)]}:
                return separator.join(str(self._value(stack, part)) for part in parts)
            case {"Fn::Split": [str(separator), text]}:
                return self._value(stack, text).split(separator)
            case {"Fn::Select": [index, items]}:
                return self._value(stack, items)[int(index)]
            case dict():
                return {key: self._value(stack, item) for key, item in value.items()}
            case list():
                return [self._value(stack, item) for item in value]
        return value

    def _pseudo(self, id: str) -> str | None:
        known = {
            "AWS::AccountId": self._account.account,
            "AWS::Partition": "aws",
            "AWS::Region": self._account.region,
            "AWS::URLSuffix": "amazonaws.com",
        }
        return known.get(id)

    def _of_resource(self, stack: str, id: str, attribute: str) -> str:
        kind = self._templates[stack].template["Resources"][id]["Type"]
        region, account = self._account.region, self._account.account
        service = kind.split("::")[1].lower()
        match kind, attribute:
            case "AWS::EFS::FileSystem" | "AWS::FSx::FileSystem", "":
                return "fs-0123456789abcdef0"
            case "AWS::FSx::FileSystem", "DNSName":
                return f"fs-0123456789abcdef0.fsx.{region}.amazonaws.com"
            case "AWS::FSx::FileSystem", "LustreMountName":
                return "abcdefgh"
            case "AWS::IAM::Role", "Arn":
                return f"arn:aws:iam::{account}:role/{id}"
            case "AWS::KMS::Key", "Arn":
                return f"arn:aws:kms:{region}:{account}:key/01234567-89ab-cdef-0123-456789abcdef"
            case "AWS::Cognito::UserPool", "ProviderURL":
                return f"https://cognito-idp.{region}.amazonaws.com/{region}_Example01"
            case "AWS::S3::Bucket" | "AWS::Cognito::UserPoolClient", "":
                return id.lower()
            case "AWS::SecretsManager::Secret" | "AWS::ElasticLoadBalancingV2::TargetGroup", "":
                return f"arn:aws:{service}:{region}:{account}:{id}"
        return f"arn:aws:{service}:{region}:{account}:{id}" if attribute.endswith("Arn") else id


def main(arguments: Sequence[str]) -> None:
    """Write the files of one account, and print their names."""
    parser = argparse.ArgumentParser(prog="python -m stacks.manifests", description=__doc__)
    parser.add_argument("account", help="name of the account file")
    parser.add_argument("--to", type=Path, default=FOLDER, help="folder. Default: manifests")
    options = parser.parse_args(arguments)
    try:
        account = checked_accounts([options.account])[options.account]
        with tempfile.TemporaryDirectory() as outdir:
            for file in write_manifests(Synthesis.of(account, options.account, Path(outdir)), options.to):
                print(file)
    except (ConfigError, ConfigurationError) as refusal:
        sys.exit(str(refusal))


if __name__ == "__main__":
    main(sys.argv[1:])

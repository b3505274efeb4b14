"""The policies that CloudFormation's execution role needs for the platform, in place of ``AdministratorAccess``.

``make execution-policy`` writes ``execution_policy.json`` from the templates; ``make check`` fails if the file differs
from what the templates need. Roles, and the services they may be passed to, are limited by name. All other permissions
are one list of actions.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("execution_policy.json")
NAME = "mlplatform-execution"
MAX_CHARACTERS = 6144
"""Maximum characters of a managed policy, without white space.
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html"""


@dataclass(frozen=True)
class Execution:
    """The permissions that the execution role needs.

    :param actions: allowed on all resources.
    :param own: actions on roles, policies and instance profiles, limited to those of the stacks by name.
    :param passed: services to which roles of the stacks are passed.
    :param linked: services for which a service-linked role is created, once per account.
    """

    actions: tuple[str, ...]
    own: tuple[str, ...]
    passed: tuple[str, ...]
    linked: tuple[str, ...]

    @classmethod
    def load(cls, file: Path = FILE) -> "Execution":
        found: Mapping[str, list[str]] = json.loads(file.read_text(encoding="utf-8"))
        return cls(*(tuple(found[name]) for name in ("actions", "own", "passed", "linked")))

    def save(self, file: Path = FILE) -> None:
        found = {name: list(getattr(self, name)) for name in ("actions", "own", "passed", "linked")}
        file.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")

    def documents(self, account: str, prefixes: Sequence[str]) -> list[dict[str, Any]]:
        """Policy documents that together grant these permissions, each within the size of a managed policy.

        :param prefixes: prefixes of the account's role names: the names of its stacks, or their common prefix.
        """
        roles = sorted(f"arn:aws:iam::{account}:role/{prefix}*" for prefix in prefixes)
        profiles = sorted(f"arn:aws:iam::{account}:instance-profile/{prefix}*" for prefix in prefixes)
        statements: list[dict[str, Any]] = [
            {"Effect": "Allow", "Action": [*self.own], "Resource": [*roles, *profiles]},
            {
                "Effect": "Allow",
                "Action": "iam:PassRole",
                "Resource": roles,
                "Condition": {"StringEquals": {"iam:PassedToService": [*self.passed]}},
            },
            {
                "Effect": "Allow",
                "Action": "iam:CreateServiceLinkedRole",
                "Resource": f"arn:aws:iam::{account}:role/aws-service-role/*",
                "Condition": {"StringEquals": {"iam:AWSServiceName": [*self.linked]}},
            },
        ]
        return list(_packed(statements, self.actions))


def _packed(statements: list[dict[str, Any]], actions: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Distribute statements over as few documents as possible."""
    current: list[str] = []
    for action in actions:
        grown = _document(statements, [*current, action])
        if _size(grown) > MAX_CHARACTERS:
            yield _document(statements, current)
            statements, current = [], []
        current.append(action)
    yield _document(statements, current)


def _document(statements: Sequence[dict[str, Any]], actions: Sequence[str]) -> dict[str, Any]:
    more = [{"Effect": "Allow", "Action": [*actions], "Resource": "*"}] if actions else []
    return {"Version": "2012-10-17", "Statement": [*statements, *more]}


def _size(document: Mapping[str, Any]) -> int:
    return len(json.dumps(document, separators=(",", ":")))

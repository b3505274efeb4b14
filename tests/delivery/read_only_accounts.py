"""Fake accounts with tables of deployed resources and responses of services."""

import json
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from botocore.exceptions import ClientError

from delivery.assembly import Stack

Answers = dict[tuple[str, str], Any]
"""What an operation of a service answers, by both names: a response, an error, or a list of these, one a call."""


def stack(folder: Path, name: str, resources: Mapping[str, str], *, region: str = "eu-west-1") -> Stack:
    """A stack of ``dev`` with these types of resources by logical id."""
    template = folder / f"{name}.template.json"
    template.write_text(json.dumps({"Resources": {id: {"Type": type} for id, type in resources.items()}}))
    return Stack(id=f"dev/{name}", name=f"dev-{name}", account="111111111111", region=region, template_file=template)


def refusal(code: str, message: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, "Operation")


class Accounts:
    """Stands in for :class:`delivery.sessions.Reader`.

    :param deployed: physical ids by logical id, of every stack that is there.
    """

    def __init__(self, deployed: Mapping[Stack, Mapping[str, str]], answers: Answers | None = None) -> None:
        self.statuses = {each.name: "UPDATE_COMPLETE" for each in deployed}
        self.templates = {each.name: each.template for each in deployed}
        self.asked: list[tuple[str, str, dict[str, Any]]] = []
        self._summaries = {
            each.name: [
                {"LogicalResourceId": id, "PhysicalResourceId": ids[id], "ResourceType": resource["Type"]}
                for id, resource in each.template["Resources"].items()
                if id in ids
            ]
            for each, ids in deployed.items()
        }
        self.answers: Answers = answers or {}

    def client(self, service: str, stack: Stack) -> Any:
        if service == "cloudformation":
            paginator = SimpleNamespace(paginate=self._pages)
            return SimpleNamespace(
                describe_stacks=self._describe, get_template=self._template, get_paginator=lambda name: paginator
            )
        return _Client(self, service)

    def _describe(self, StackName: str) -> dict[str, Any]:
        if StackName not in self.statuses:
            raise refusal("ValidationError", f"Stack with id {StackName} does not exist")
        return {"Stacks": [{"StackStatus": self.statuses[StackName]}]}

    def _template(self, StackName: str) -> dict[str, Any]:
        return {"TemplateBody": self.templates[StackName]}

    def _pages(self, StackName: str) -> list[dict[str, Any]]:
        return [{"StackResourceSummaries": [summary]} for summary in self._summaries[StackName]]


class _Client:
    def __init__(self, accounts: Accounts, service: str) -> None:
        self._accounts = accounts
        self._service = service

    def __getattr__(self, operation: str) -> Any:
        def call(**parameters: Any) -> Any:
            self._accounts.asked.append((self._service, operation, parameters))
            answer = self._accounts.answers[self._service, operation]
            if isinstance(answer, list):
                answer = answer.pop(0) if len(answer) > 1 else answer[0]
            if isinstance(answer, Exception):
                raise answer
            return answer

        return call

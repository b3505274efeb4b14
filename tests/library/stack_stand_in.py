"""A stand-in for CloudFormation as custom resources see it: which requests come, in which order, and after failures.

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/crpg-ref-requesttypes.html
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

Template = Mapping[str, Any]
Event = dict[str, Any]
Answer = Callable[[Event], tuple[str, str]]
"""Gets an event, returns the physical id and why the request failed, if it did."""


class Failed(Exception):
    """A request of the operation failed, and the operation was rolled back."""


@dataclass
class Stack:
    """The custom resources of one stack.

    :param answer: the functions behind the resources.
    :param random: chooses among the orders that the template allows.
    :param sends_back: whether a resource that was replaced is sent its old properties when the update is taken back.
        CloudFormation has been seen to do so, and promises only that what replaced it is deleted.
    """

    answer: Answer
    random: Random
    sends_back: bool = True
    template: Template = field(default_factory=lambda: {"Resources": {}})
    ids: dict[str, str] = field(default_factory=dict)

    def deploy(self, template: Template) -> None:
        """Create or update the stack.

        :raises Failed: if a request failed and the stack is as it was before.
        """
        before, ids = self.template, dict(self.ids)
        touched: list[str] = []
        try:
            for name in self._order(template):
                touched.append(name)
                self._put(name, before, template)
        except Failed:
            self._take_back(before, template, ids, touched)
            raise
        self.template = template
        gone = [name for name in reversed(self._order(before)) if name not in template["Resources"]]
        for name in [*reversed(self._order(template)), *gone]:
            if name in ids and self.ids.get(name) != ids[name] or name in gone:
                self._delete(name, before, ids[name])
        self.ids = {name: id for name, id in self.ids.items() if name in template["Resources"]}

    def delete(self) -> None:
        """Delete the stack; a failure is raised, and the remaining resources exist."""
        for name in reversed(self._order(self.template)):
            if name in self.ids:
                self._delete(name, self.template, self.ids[name])
                del self.ids[name]
        self.template = {"Resources": {}}

    def _put(self, name: str, before: Template, after: Template) -> None:
        old, new = before["Resources"].get(name), after["Resources"][name]
        if old is None:
            self._request("Create", name, new)
        elif old.get("Properties") != new.get("Properties"):
            self._request("Update", name, new, self.ids[name], old)

    def _take_back(self, before: Template, after: Template, ids: Mapping[str, str], touched: list[str]) -> None:
        failed_ids = dict(self.ids)
        for name in self._order(before):
            old, new = before["Resources"][name], after["Resources"].get(name, {})
            if name not in touched or old.get("Properties") == new.get("Properties"):
                continue
            if self.sends_back or failed_ids[name] == ids[name]:
                self._request("Update", name, old, failed_ids[name], new)
            else:
                self.ids[name] = ids[name]
        for name in reversed(touched):
            if failed_ids.get(name) != self.ids.get(name) or (name in failed_ids and name not in ids):
                self._delete(name, after, failed_ids[name])
        self.ids = {name: self.ids[name] for name in ids}

    def _delete(self, name: str, template: Template, physical_id: str) -> None:
        resource = template["Resources"][name]
        if resource.get("DeletionPolicy") != "Retain":
            self._request("Delete", name, resource, physical_id)

    def _request(
        self, kind: str, name: str, resource: Any, physical_id: str = "", old: Mapping[str, Any] | None = None
    ) -> None:
        if not resource["Type"].startswith("Custom::"):
            self.ids[name] = name
            return
        event: Event = {
            "RequestType": kind,
            "ResourceType": resource["Type"],
            "LogicalResourceId": name,
            "ResourceProperties": _known(resource["Properties"]),
        }
        if physical_id:
            event["PhysicalResourceId"] = physical_id
        if old is not None:
            event["OldResourceProperties"] = _known(old["Properties"])
        answered_id, failure = self.answer(event)
        if kind != "Delete":
            self.ids[name] = answered_id
        if failure:
            raise Failed(failure)

    def _order(self, template: Template) -> list[str]:
        """One of the orders in which the resources may be created."""
        waiting = {name: set(_needs(resource)) for name, resource in template["Resources"].items()}
        order: list[str] = []
        while waiting:
            free = sorted(name for name, needs in waiting.items() if not needs & waiting.keys())
            chosen = self.random.choice(free)
            order.append(chosen)
            del waiting[chosen]
        return order


def _needs(resource: Mapping[str, Any]) -> list[str]:
    needs = resource.get("DependsOn", [])
    return [needs] if isinstance(needs, str) else list(needs)


def _known(properties: Mapping[str, Any]) -> dict[str, Any]:
    """Properties with resolved exports of other stacks."""
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in properties.items()}

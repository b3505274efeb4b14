"""Fills in the placeholders of the table and of records: account, region, cluster, and ARNs of constructs."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from assurance.permissions.roles import Role
from assurance.permissions.world import World

_PLACEHOLDER = re.compile(r"\{([^{}]+)\}")


@dataclass(frozen=True)
class Filler:
    """Replaces the values that differ between accounts."""

    world: World
    role: Role

    def resources(self, text: str) -> Iterator[str]:
        """A resource of the table. None if the account has no such construct."""
        each = re.fullmatch(r"\{each (AWS::\w+::\w+)\}", text)
        if each:
            mine = (one for one in self.world.resources(each.group(1)))
            yield from (self.world.arn(one) for one in mine if self.world.place(one).account == self.role.account)
        else:
            filled = self.text(text)
            if "{" not in filled:
                yield filled

    def text(self, text: str) -> str:
        """A text with its placeholders filled in, the inner ones first. Those without a value remain."""
        filled = _PLACEHOLDER.sub(lambda match: self._value(match.group(1)) or match.group(0), text)
        return filled if filled == text else self.text(filled)

    def _value(self, name: str) -> str:
        match name:
            case "account":
                return self.role.account
            case "region":
                return self.role.region
            case "cluster":
                return self._cluster().rpartition("/")[2]
            case "clusterarn":
                return self._cluster()
            case "launchtemplate":
                return self._launch_template()
            case "connection":
                return self._connection()
            case "name":
                return self.role.path.rpartition("/")[2]
            case "team":
                return self.role.path.partition("/Teams/")[2].partition("/")[0]
            case "stack":
                return self._stage() + self.role.path.partition("/")[0]
            case "stage":
                return self._stage()
        if name.startswith("id of "):
            return self.world.construct(name.removeprefix("id of "), self.role.account).rpartition("/")[2]
        return self.world.construct(name, self.role.account)

    def _stage(self) -> str:
        return self.role.name.partition("-")[0] + "-"

    def _launch_template(self) -> str:
        """A launch template of the role's stack."""
        stack = self._stage() + self.role.path.partition("/")[0]
        templates = self.world.resources("AWS::EC2::LaunchTemplate")
        return next((self.world.arn(one) for one in templates if one.stack == stack), "")

    def _connection(self) -> str:
        """The connection to the repository of the pipeline's sources."""
        for pipeline in self.world.resources("AWS::CodePipeline::Pipeline"):
            if found := re.search(r'"ConnectionArn": "([^"]+)"', self.world.get(pipeline, "Stages")):
                return found.group(1)
        return ""

    def _cluster(self) -> str:
        """The cluster that the role's trust policy names, or that is in its stack."""
        for one in self.role.trust:
            for _, key, values in one.conditions:
                if key == "aws:requesttag/eks-cluster-arn":
                    return values[0]
        stack = self.role.path.partition("/")[0].replace("Services", "Cluster")
        return self.world.construct(f"{stack}/Cluster/Cluster", self.role.account)

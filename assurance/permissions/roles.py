"""A role and its permissions."""

from dataclasses import dataclass

from delivery.gate.policies import Statement


@dataclass(frozen=True)
class Role:
    """A role of a template.

    :param path: construct path below the account's stage, such as ``Data/Models/CheckRole``; the same in every account.
    :param statements: of its own policies and of its AWS managed policies.
    :param managed: ARNs of its AWS managed policies.
    """

    arn: str
    path: str
    account: str
    region: str
    statements: tuple[Statement, ...]
    trust: tuple[Statement, ...]
    boundary: tuple[Statement, ...] | None = None
    managed: tuple[str, ...] = ()
    own: int = 0
    """How many of the statements, the first ones, stand in the templates."""

    @property
    def name(self) -> str:
        return self.arn.rpartition("/")[2]

import re
from collections.abc import Mapping
from dataclasses import dataclass

from aws_cdk import Environment, Stack
from constructs import Construct

from charts.catalog import Catalog
from config.image_registries import EcrRegistry, image_registries
from config.schema import Account
from mlplatform_constructs import ImageMirror


@dataclass(frozen=True)
class MirrorRegistry:
    """A registry of ECR that account files name.

    :param readers: ids of the accounts that take their images from it.
    """

    registry: EcrRegistry
    readers: tuple[str, ...]

    @property
    def stack_id(self) -> str:
        """The same for the same registry, another for another."""
        parts = ("Mirror", self.registry.account, self.registry.region, self.registry.prefix)
        return "-".join(re.sub(r"[^a-zA-Z0-9-]", "-", part) for part in parts if part)

    @property
    def repositories(self) -> dict[str, str]:
        """Names of the repositories by what they hold: an image by its upstream name, a chart below ``charts/``."""
        catalog = Catalog.load()
        images = sorted({image.image for image in catalog.images})
        charts = sorted(f"charts/{chart.name}" for chart in catalog.helm_charts)
        return {path: self.registry.repository(path) for path in [*images, *charts]}


def registries_of(accounts: Mapping[str, Account]) -> list[MirrorRegistry]:
    """The registries of ECR that the account files name; others are not ours to make."""
    found = {EcrRegistry.parse(address): readers for address, readers in image_registries(accounts).items()}
    return [MirrorRegistry(registry, readers) for registry, readers in found.items() if registry]


class MirrorStack(Stack):
    """The repositories of one mirror: one for each image and chart of the catalog, in the account of the registry.

    The names are those by which the platform's objects ask for their images, hence fixed.

    - ``mirror``: the repositories.

    :param writer_account: id of the account whose mirror step pushes. Default: the registry's own.
    """

    def __init__(
        self, scope: Construct, id: str, *, registry: MirrorRegistry, writer_account: str | None = None
    ) -> None:
        address = registry.registry
        super().__init__(scope, id, env=Environment(account=address.account, region=address.region))
        self.mirror = ImageMirror(
            self,
            "Default",  # which leaves no trace in logical ids: those of repositories were given before this construct
            repositories=list(registry.repositories),
            prefix=address.prefix,
            reader_accounts=registry.readers,
            writer_account=writer_account,
        )

"""Account files, checked by everything that can be known before the first construct."""

from collections.abc import Iterator
from pathlib import Path

from config.clusters import Cluster
from config.loader import ACCOUNTS, ConfigError, load_accounts, shown
from config.schema import Account
from mlplatform_constructs import ConfigurationError, KubernetesRelease, NodeGroupSpec


def checked_accounts(names: list[str] | None = None, folder: Path = ACCOUNTS) -> dict[str, Account]:
    """Load several accounts, by default all, and check their node groups and Kubernetes minors as the library does.

    :raises ConfigError: with the mistakes of all files, one line each: file, key, value, fix.
    """
    accounts = load_accounts(names, folder)
    mistakes = [
        f"{shown(folder / f'{name}.toml')}: clusters.{cluster}.{problem}"
        for name, account in accounts.items()
        for cluster, settings in account.clusters.items()
        for problem in _problems(settings)
    ]
    if mistakes:
        raise ConfigError("\n".join(mistakes))
    return accounts


def node_group_spec(name: str, settings: Cluster) -> NodeGroupSpec:
    """A node group of an account file as the library takes it.

    :raises ConfigurationError: if its keys do not fit each other.
    """
    return NodeGroupSpec(name=name, **settings.node_groups[name].model_dump())


def _problems(settings: Cluster) -> Iterator[str]:
    if settings.kubernetes:
        try:
            KubernetesRelease.of(settings.kubernetes)
        except ConfigurationError as refusal:
            yield f"kubernetes: {refusal}"
    for name in settings.groups:
        try:
            node_group_spec(name, settings)
        except ConfigurationError as refusal:
            yield f"node_groups.{name}: {str(refusal).removeprefix(f'node group {name!r}: ')}"

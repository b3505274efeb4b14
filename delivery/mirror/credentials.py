"""Logins: those of this machine, and one of twelve hours for each ECR registry."""

import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from config.image_registries import EcrRegistry

Client = Callable[[str, str], Any]


def client(service: str, region: str) -> Any:
    """A client of AWS with the credentials of this machine."""
    import boto3  # only where an ECR registry is asked for

    return boto3.client(service, region_name=region)


def write_credentials(folder: Path, registries: Iterable[str], *, client: Client = client) -> None:
    """Write the ``config.json`` that crane reads, for nobody else to read.

    Logins that Docker keeps in a helper for all registries (``credsStore``) are not taken along.

    :param registries: addresses; those of ECR are logged in to.
    """
    kept = _docker_config()
    logins: dict[str, Any] = dict(kept.get("auths", {}))
    helpers: dict[str, str] = dict(kept.get("credHelpers", {}))
    tokens: dict[str, str] = {}
    for address in registries:
        if registry := EcrRegistry.parse(address):
            if registry.region not in tokens:  # a token opens all registries of a region that its owner may use
                (answer,) = client("ecr", registry.region).get_authorization_token()["authorizationData"]
                tokens[registry.region] = answer["authorizationToken"]
            logins[registry.host] = {"auth": tokens[registry.region]}
            helpers.pop(registry.host, None)
    target = folder / "config.json"
    target.touch(mode=0o600)
    target.write_text(json.dumps({"auths": logins, "credHelpers": helpers}), encoding="utf-8")


def _docker_config() -> dict[str, Any]:
    folder = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
    try:
        config: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return config

"""Registry logins: those of this machine, and a twelve-hour login for each ECR registry."""

import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from config.image_registries import EcrRegistry

Client = Callable[[str, str], Any]


def client(service: str, region: str) -> Any:
    """An AWS client with the credentials of this machine."""
    import boto3  # imported only if an ECR registry is used

    return boto3.client(service, region_name=region)


def write_credentials(folder: Path, registries: Iterable[str], *, client: Client = client) -> None:
    """Write the ``config.json`` that crane reads, with access for the current user only.

    Logins in Docker's credential helper (``credsStore``) are not copied.

    :param registries: host names; a login is created for those of ECR.
    """
    kept = _docker_config()
    logins: dict[str, Any] = dict(kept.get("auths", {}))
    helpers: dict[str, str] = dict(kept.get("credHelpers", {}))
    tokens: dict[str, str] = {}
    for address in registries:
        if registry := EcrRegistry.parse(address):
            if registry.region not in tokens:  # one token is valid for all registries of a Region
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

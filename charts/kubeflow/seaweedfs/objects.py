"""SeaweedFS, a store behind the S3 API inside the cluster, for Kubeflow without a bucket in AWS.

https://github.com/seaweedfs/seaweedfs/wiki/S3-Credentials
"""

import json
from collections.abc import Iterable, Mapping, Sequence

from constructs import Construct

from charts.kit import istio, network
from charts.kit.chart import ComponentChart
from charts.kit.objects import Manifest, config_map, selector
from charts.kit.rbac import service_account
from charts.kit.security import run_as
from charts.kit.synced_secrets import secret_files, secret_volume, synced_secret
from charts.kit.workloads import container, http_probes, pod, resources, service, stateful_set

NAME = "seaweedfs"
NAMESPACE = "kubeflow"
PORT = 8333
HOST = f"{NAME}.{NAMESPACE}"
KEYS = ("accessKey", "secretKey")
"""As SeaweedFS names them in its table of users, so that a secret is an entry of it."""

_USER = 1000  # of the image
_PLATFORM = NAMESPACE
"""Name of the platform's own user, which no team can have."""
_USERS, _FILE = "/etc/seaweedfs-users", "s3.json"
_KEYS_OF_USERS = f"{NAME}-users"
_WRITE_USERS = f"""set -eu
separator=
{{
  printf '{{"identities":['
  for user in "$@"; do
    printf '%s{{"name":"%s","credentials":[%s],"actions":%s}}' \\
      "$separator" "$user" "$(cat /keys/"$user")" "$(cat /actions/"$user")"
    separator=,
  done
  printf ']}}'
}} > {_USERS}/{_FILE}
"""
"""Puts the keys of users, which are secrets, between their names and what they may do."""
_SECRETS = "/etc/seaweedfs-credentials"
_OUTSIDE_THE_MESH = "The steps of pipelines store what they made, and run without a sidecar."


class SeaweedFs(ComponentChart):
    """One server with one disk. Each team has keys that read and write what is under its own name, and see all names.

    Use a bucket in AWS where artifacts must last.

    :param image: of SeaweedFS.
    :param bucket: the bucket of artifacts, which Pipelines creates.
    :param secret_arn: secret with ``accessKey`` and ``secretKey`` of the platform, from which the Secret ``seaweedfs``
        is made.
    :param team_secret_arns: such secrets of teams, by the team's name.
    :param region: of the secrets.
    :param clients: service accounts of the namespace that may call it, besides the pods of teams.
    :param storage_gib: size of the disk.
    :param placement: node selection and tolerations of the platform's own pods.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        image: str,
        bucket: str,
        secret_arn: str,
        team_secret_arns: Mapping[str, str],
        region: str,
        clients: Sequence[str],
        storage_gib: int,
        placement: Manifest,
    ) -> None:
        super().__init__(scope, id)
        actions = {_PLATFORM: ["Admin"], **{team: _of_team(bucket, team) for team in team_secret_arns}}
        self.add(
            synced_secret(NAME, NAMESPACE, region=region, keys_by_arn={secret_arn: KEYS}),
            secret_files(_KEYS_OF_USERS, NAMESPACE, {_PLATFORM: secret_arn, **team_secret_arns}),
            config_map(_KEYS_OF_USERS, NAMESPACE, {user: json.dumps(allowed) for user, allowed in actions.items()}),
            service_account(NAME, NAMESPACE),
            stateful_set(
                NAME,
                NAMESPACE,
                _pod(image, actions, placement),
                replicas=1,
                claims={"data": f"{storage_gib}Gi"},
                pod_labels={"sidecar.istio.io/inject": "true"},
            ),
            service(NAME, NAMESPACE, {"http-s3": (PORT, "s3")}),
            istio.plaintext_ports(NAME, NAMESPACE, PORT, reason=_OUTSIDE_THE_MESH),
            istio.authorization_policy(
                NAME,
                NAMESPACE,
                {"to": [{"operation": {"ports": [str(PORT)]}}]},  # the keys say who calls
                pods=selector(NAME),
            ),
            network.takes(
                NAME,
                NAMESPACE,
                network.allow(
                    network.PROFILES,
                    *({"podSelector": {"matchLabels": selector(client)}} for client in clients),
                    ports=["s3"],
                ),
            ),
        )


def _pod(image: str, users: Iterable[str], placement: Manifest) -> Manifest:
    main = container(
        NAME,
        image,
        args=[
            "server",
            "-dir=/data",
            "-s3",
            f"-s3.config={_USERS}/{_FILE}",
            "-filer",
            "-master.volumePreallocate=false",
            "-ip.bind=0.0.0.0",
        ],
        ports={"s3": PORT},
        probes=http_probes("s3", live="/status", ready="/status", start_seconds=120),
        mounts={"/data": "data", "/tmp": "scratch", _USERS: "users", _SECRETS: "credentials"},
        read_only=[_USERS, _SECRETS],
        resources=resources(cpu="100m", memory="256Mi", memory_limit="1Gi"),
    )
    writing = container(
        "write-users",
        image,
        command=["sh", "-c", _WRITE_USERS, "sh", *users],  # a new team restarts the pod
        mounts={_USERS: "users", "/keys": "keys", "/actions": "actions"},
        read_only=["/keys", "/actions"],
        resources=resources(cpu="10m", memory="32Mi"),
    )
    return pod(
        main,
        initContainers=[writing],
        service_account=NAME,
        volumes={
            "scratch": {"emptyDir": {}},
            "credentials": secret_volume(NAME),
            "users": {"emptyDir": {"medium": "Memory"}},
            "keys": secret_volume(_KEYS_OF_USERS),
            "actions": {"configMap": {"name": _KEYS_OF_USERS}},
        },
        security=run_as(_USER),
        placement=placement,
    )


def _of_team(bucket: str, team: str) -> list[str]:
    """The server knows prefixes for objects only: who may list sees the names of all."""
    return [*(f"{action}:{bucket}/{team}/*" for action in ("Read", "Write", "Tagging")), f"List:{bucket}"]

"""Runs of pipelines from outside of the cluster: start, follow, end. For Airflow and other schedulers."""

import base64
import dataclasses
import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from mlplatform_components.errors import ComponentError, JobFailed
from mlplatform_components.waiting import Patience

_ENDED = ("SUCCEEDED", "SKIPPED", "FAILED", "CANCELED")
_SECONDS = 30


class PipelinesApi:
    """The API of Kubeflow Pipelines, version ``v2beta1``.

    :param address: such as ``https://kubeflow.example.org/pipeline``.
    :param token: returns a bearer token; called for each request, because tokens expire.
    :raises ComponentError: for an address that is not HTTPS, except on this machine.
    """

    def __init__(self, address: str, *, token: Callable[[], str]) -> None:
        host = urllib.parse.urlsplit(address)
        if host.scheme != "https" and host.hostname not in ("127.0.0.1", "localhost"):
            raise ComponentError(f"address must start with 'https://', got {address!r}")
        self._root, self._token = address.rstrip("/") + "/apis/v2beta1", token

    def start(
        self,
        pipeline: str,
        *,
        name: str,
        namespace: str,
        parameters: Mapping[str, Any],
        service_account: str = "default-editor",
    ) -> str:
        """Start the newest version of a pipeline, or find the run of this name that was started before.

        :param pipeline: its display name.
        :param name: of the run; a repeated call with the same name starts nothing new.
        :param namespace: of the team.
        :param parameters: of the pipeline.
        :return: the id of the run.
        :raises ComponentError: if there is no such pipeline, or it has no version.
        """
        if found := self._find_run(name, namespace):
            return found
        query = urllib.parse.urlencode({"namespace": namespace})
        id = self._call("GET", f"/pipelines/names/{urllib.parse.quote(pipeline)}?{query}")["pipeline_id"]
        newest = urllib.parse.urlencode({"page_size": 1, "sort_by": "created_at desc"})
        versions = self._call("GET", f"/pipelines/{id}/versions?{newest}").get("pipeline_versions", [])
        if not versions:
            raise ComponentError(f"pipeline {pipeline!r}: has no version; upload one")
        reference = {"pipeline_id": id, "pipeline_version_id": versions[0]["pipeline_version_id"]}
        run = self._call(
            "POST",
            f"/runs?{query}",
            {
                "display_name": name,
                "pipeline_version_reference": reference,
                "runtime_config": {"parameters": dict(parameters)},
                "service_account": service_account,
            },
        )
        return str(run["run_id"])

    def wait(self, run: str, patience: Patience) -> None:
        """Wait until a run ends. It is terminated if anything else ends the wait.

        :raises JobFailed: if it fails or is cancelled.
        :raises TimedOut: if it takes too long.
        """

        def read() -> Mapping[str, Any]:
            return self._call("GET", f"/runs/{run}")

        found = patience.until_or_cancel(
            read,
            lambda found: found.get("state") in _ENDED,
            f"run {run} to end",
            lambda: self._call("POST", f"/runs/{run}:terminate", {}),
        )
        if found["state"] not in ("SUCCEEDED", "SKIPPED"):
            why = found.get("error", {}).get("message") or "see its steps in the dashboard"
            raise JobFailed(f"run {run}: {found['state']}: {why}")

    def _find_run(self, name: str, namespace: str) -> str | None:
        predicate = {"operation": "EQUALS", "key": "name", "string_value": name}
        query = urllib.parse.urlencode(
            {"namespace": namespace, "page_size": 1, "filter": json.dumps({"predicates": [predicate]})}
        )
        runs = self._call("GET", f"/runs?{query}").get("runs", [])
        return str(runs[0]["run_id"]) if runs else None

    def _call(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        request = urllib.request.Request(
            self._root + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self._token()}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=_SECONDS) as answer:
                return cast(dict[str, Any], json.loads(answer.read() or b"{}"))
        except urllib.error.HTTPError as error:
            reason = error.read()[:300].decode("utf-8", "replace")
            raise ComponentError(f"{method} {path}: {error.code}: {reason}") from None
        except urllib.error.URLError as error:
            raise ComponentError(f"{method} {self._root}{path}: {error.reason}") from None


@dataclass(frozen=True)
class MachineClient:
    """A program that signs in to the user pool of the platform.

    :param client_id: of its app client.
    :param client_secret: of its app client.
    :param token_url: of the user pool, such as ``https://auth.example.org/oauth2/token``.
    :param scope: such as ``platform/pipelines``.
    """

    client_id: str
    client_secret: str = field(repr=False)
    token_url: str
    scope: str

    @classmethod
    def from_secret(cls, secretsmanager: Any, secret: str) -> "MachineClient":
        """A machine of the account file, by the name or ARN of its secret.

        :param secretsmanager: a boto3 client of ``secretsmanager``.
        :raises ComponentError: if the secret is of something else.
        """
        text = secretsmanager.get_secret_value(SecretId=secret)["SecretString"]
        names = [each.name for each in dataclasses.fields(cls)]
        try:
            found = json.loads(text)
            return cls(**{name: str(found[name]) for name in names})
        except (ValueError, TypeError, KeyError):
            raise ComponentError(f"secret {secret}: must be JSON with {', '.join(names)}") from None

    def token(self) -> str:
        """A token, which lives an hour."""
        return machine_token(self.token_url, self.client_id, self.client_secret, self.scope)


def machine_token(token_address: str, client_id: str, client_secret: str, scope: str) -> str:
    """A token of a machine client, by OAuth client credentials. It lives an hour.

    :param token_address: of the user pool, such as ``https://auth.example.org/oauth2/token``.
    :param scope: such as ``platform/pipelines``.
    :raises ComponentError: if the client is not known or may not have the scope.
    """
    basic = base64.b64encode(f"{client_id}:{client_secret}".encode()).decode()
    body = urllib.parse.urlencode({"grant_type": "client_credentials", "scope": scope}).encode()
    request = urllib.request.Request(token_address, data=body, headers={"Authorization": f"Basic {basic}"})
    try:
        with urllib.request.urlopen(request, timeout=_SECONDS) as answer:
            return str(json.load(answer)["access_token"])
    except urllib.error.HTTPError as error:
        raise ComponentError(f"{token_address}: {error.code}: the client or its scope {scope!r} is refused") from None
    except urllib.error.URLError as error:
        raise ComponentError(f"{token_address}: {error.reason}") from None

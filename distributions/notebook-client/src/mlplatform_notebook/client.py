"""A client of the adviser's API, with the standard library alone."""

import base64
import json
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import urlsplit

import boto3

_SECONDS = 35
"""A little more than the API takes at most."""
_EARLY = 60
"""A token is renewed this many seconds before it expires."""


class ClientError(Exception):
    """The API refused, or did not answer. The text is meant for a person.

    - ``status``: the HTTP status; 0 if there was no answer.
    """

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Advice:
    """The answer to a request for advice, as the API gives it."""

    document: dict[str, Any]

    @property
    def estimates(self) -> list[dict[str, Any]]:
        """Each backend with ``prepare``, ``run`` and ``cost``, each with ``low``, ``expected`` and ``high``."""
        found: list[dict[str, Any]] = self.document["estimates"]
        return found

    @property
    def proposals(self) -> list[dict[str, Any]]:
        """Preparations of the input that are worth it; the first saves the most time."""
        found: list[dict[str, Any]] = self.document["proposals"]
        return found

    def text(self) -> str:
        """For a terminal."""
        data = self.document["input"]
        lines = [f"{data['uri']}: {data['objects']} objects, {data['bytes'] / 1024**3:.2f} GiB"]
        for each in self.estimates:
            prepare, run, cost = each["prepare"]["expected"], each["run"], each["cost"]["expected"]
            lines.append(
                f"  {each['title']}: {prepare:.0f} s to prepare, {run['expected']:.0f} s to run "
                f"({run['low']:.0f} to {run['high']:.0f}), ${cost:.2f}"
            )
        lines += [f"  {each['action']}: {each['why']}" for each in self.proposals]
        return "\n".join([*lines, *(f"  {warning}" for warning in self.document["warnings"])])


@dataclass
class Client:
    """Calls the API as a machine client of the user pool.

    :param url: address of the API: the output ``AdviserUrl`` of its stack.
    :param credentials: ``client_id``, ``client_secret``, ``token_url`` and ``scope``, as the secret of the machine has
        them.
    :raises ClientError: for an address that is not HTTPS, but on this machine.
    """

    url: str
    credentials: dict[str, str] = field(repr=False)

    def __post_init__(self) -> None:
        for address in (self.url, self.credentials["token_url"]):
            parts = urlsplit(address)
            if parts.scheme != "https" and parts.hostname not in ("127.0.0.1", "localhost"):
                raise ClientError(f"{address}: must be an https:// address, because it is sent credentials")
        self._lock = threading.Lock()
        self._token, self._until = "", 0.0

    @classmethod
    def from_secret(cls, url: str, secret_id: str, *, client: Any = None) -> Self:
        """With the credentials of a secret.

        :param secret_id: name or ARN of the machine's secret.
        :param client: a boto3 client of Secrets Manager. Default: a new one.
        """
        secrets = client or boto3.client("secretsmanager")
        return cls(url, json.loads(secrets.get_secret_value(SecretId=secret_id)["SecretString"]))

    def advise(self, input: str, **options: Any) -> Advice:
        """Advice on a job with the data below a prefix.

        :param options: ``job``, ``local``, ``inventory`` and ``backends`` of the API.
        """
        return Advice(self._call("POST", "/advice", {"input": input, **options}))

    def start(self, job: str, input: dict[str, Any]) -> str:
        """Start a run, and return its id."""
        return str(self._call("POST", "/runs", {"job": job, "input": input})["run"])

    def follow(self, run: str) -> dict[str, Any]:
        """Status, phases and progress of a run."""
        return self._call("GET", f"/runs/{urllib.parse.quote(run)}")

    def cancel(self, run: str) -> None:
        """Stop a run."""
        self._call("DELETE", f"/runs/{urllib.parse.quote(run)}")

    def _call(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url.rstrip('/')}{path}", data=data, method=method)
        request.add_header("Authorization", f"Bearer {self._current_token()}")
        request.add_header("Content-Type", "application/json")
        return self._answer(request)

    def _current_token(self) -> str:
        with self._lock:
            if time.monotonic() > self._until:
                pair = f"{self.credentials['client_id']}:{self.credentials['client_secret']}"
                form = {"grant_type": "client_credentials", "scope": self.credentials["scope"]}
                request = urllib.request.Request(
                    self.credentials["token_url"], data=urllib.parse.urlencode(form).encode(), method="POST"
                )
                request.add_header("Authorization", f"Basic {base64.b64encode(pair.encode()).decode()}")
                request.add_header("Content-Type", "application/x-www-form-urlencoded")
                answer = self._answer(request)
                self._token = str(answer["access_token"])
                self._until = time.monotonic() + max(0, int(answer.get("expires_in", 0)) - _EARLY)
            return self._token

    @staticmethod
    def _answer(request: urllib.request.Request) -> dict[str, Any]:
        try:
            with urllib.request.urlopen(request, timeout=_SECONDS) as answer:
                found: dict[str, Any] = json.load(answer)
                return found
        except urllib.error.HTTPError as error:
            try:
                document = json.load(error)
            except ValueError:
                document = {}
            why = document.get("error") or document.get("message") or error.reason
            raise ClientError(f"{request.full_url}: {why}", error.code) from None
        except (OSError, ValueError) as error:
            raise ClientError(f"{request.full_url}: no answer: {error}") from None

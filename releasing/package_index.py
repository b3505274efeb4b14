"""A package index for ``pip``: reads its files and uploads new ones."""

import base64
import hashlib
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import parse_qs, unquote, urldefrag, urljoin, urlsplit

import boto3
import urllib3
from botocore.exceptions import BotoCoreError, ClientError, NoRegionError

from delivery.errors import DeliveryError

TOKEN_SECONDS = 900
"""The shortest life of a token that CodeArtifact grants, and long enough for an upload.

https://docs.aws.amazon.com/codeartifact/latest/APIReference/API_GetAuthorizationToken.html
"""
_SECONDS = 60  # for one answer of the index


@dataclass(frozen=True)
class PackageIndex:
    """One index.

    :param url: where files are sent.
    :param simple_url: where the simple pages of all projects are, with a slash at the end.
    :param username: user name for authentication. Default: none.
    :param password: never shown, and never part of a command line.
    """

    url: str
    simple_url: str
    username: str = ""
    password: str = field(default="", repr=False)

    @classmethod
    def at(cls, url: str, environment: Mapping[str, str] = os.environ) -> "PackageIndex":
        """Any index that has its pages below ``simple/``; ``TWINE_USERNAME`` and ``TWINE_PASSWORD`` open it."""
        base = url.rstrip("/") + "/"
        username, password = environment.get("TWINE_USERNAME", ""), environment.get("TWINE_PASSWORD", "")
        return cls(base, urljoin(base, "simple/"), username, password)

    @classmethod
    def code_artifact(
        cls,
        *,
        domain: str,
        repository: str,
        owner: str | None = None,
        region: str | None = None,
        session: boto3.Session | None = None,
    ) -> "PackageIndex":
        """A repository in CodeArtifact, opened for ``TOKEN_SECONDS``.

        :param owner: account of the domain. Default: that of the credentials.
        :param region: Default: that of the environment.
        :param session: Default: the environment's credentials.
        :raises DeliveryError: if AWS refuses.
        """
        named = {"domain": domain} | ({"domainOwner": owner} if owner else {})
        try:
            client = (session or boto3.Session()).client("codeartifact", region_name=region)
            answer = client.get_repository_endpoint(**named, repository=repository, format="pypi")
            token = client.get_authorization_token(**named, durationSeconds=TOKEN_SECONDS)["authorizationToken"]
        except NoRegionError:
            raise DeliveryError(
                f"{domain}/{repository}: in no region; name it by --region or AWS_DEFAULT_REGION"
            ) from None
        except (BotoCoreError, ClientError) as error:
            said = str(error).rstrip(".")
            raise DeliveryError(
                f"{domain}/{repository}: {said}; deploy the stack Packages, and use a role with grant_publish"
            ) from None
        base = answer["repositoryEndpoint"].rstrip("/") + "/"
        return cls(base, urljoin(base, "simple/"), "aws", token)

    def checksums(self, project: str, wanted: Sequence[str]) -> dict[str, str]:
        """SHA-256 digests of the ``wanted`` files of a project that exist, by name."""
        page = urljoin(self.simple_url, f"{project}/")
        answer = self._get(page)
        if answer.status == 404:
            return {}
        links = _Links()
        links.feed(answer.data.decode("utf-8"))
        found = {}
        for link in links.found:
            address, fragment = urldefrag(urljoin(page, link))
            name = unquote(urlsplit(address).path.rpartition("/")[2])
            if name in wanted:
                (stated,) = parse_qs(fragment).get("sha256", [""])
                found[name] = stated or hashlib.sha256(self._get(address).data).hexdigest()
        return found

    def upload(self, files: Sequence[Path]) -> None:
        """Upload files.

        :raises DeliveryError: if the index rejects one, with its message.
        """
        command = [sys.executable, "-m", "twine", "upload", "--non-interactive", "--disable-progress-bar", "--verbose"]
        command += ["--config-file", os.devnull, "--repository-url", self.url, *map(str, files)]
        opened = {"TWINE_USERNAME": self.username or "nobody", "TWINE_PASSWORD": self.password or "none"}
        sent = subprocess.run(command, env=os.environ | opened, capture_output=True, text=True)
        if sent.returncode:
            said = (sent.stdout + sent.stderr).strip()
            raise DeliveryError(f"{self.url}: upload refused\n{self._without_password(said)}")

    def _get(self, url: str) -> urllib3.BaseHTTPResponse:
        login = base64.b64encode(f"{self.username}:{self.password}".encode()).decode()
        headers = {"Accept": "text/html", **({"Authorization": f"Basic {login}"} if self.username else {})}
        try:
            answer = urllib3.request("GET", url, headers=headers, timeout=_SECONDS)
        except urllib3.exceptions.HTTPError as error:
            raise DeliveryError(f"{url}: {error}") from None
        if answer.status not in (200, 404):
            raise DeliveryError(f"{url}: {answer.status} {answer.reason}; check the address and who may read")
        return answer

    def _without_password(self, text: str) -> str:
        return text.replace(self.password, "***") if self.password else text


class _Links(HTMLParser):
    """Addresses of a simple page. https://packaging.python.org/en/latest/specifications/simple-repository-api/"""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if tag == "a" and name == "href" and value]

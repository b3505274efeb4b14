"""Helm chart repositories over HTTPS.

https://helm.sh/docs/topics/chart_repository/
"""

import hashlib
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from functools import cache
from typing import Any

import yaml

from delivery.mirror.errors import MirrorError, TransientError

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # fast, for an index of 100,000 lines
_TIMEOUT_SECONDS = 60
_PASSING = (429, 500, 502, 503, 504)


@dataclass(frozen=True)
class ListedChart:
    """A chart in the index of a repository.

    :param url: of the archive.
    :param digest: ``sha256:...`` of the archive.
    """

    url: str
    digest: str


class ChartRepository:
    """A chart repository at an address such as ``https://aws.github.io/eks-charts``."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")

    def find(self, name: str, version: str) -> ListedChart | None:
        """The entry of one version, or None if there is none.

        :raises MirrorError: if the repository does not respond, or lists the chart without a digest.
        """
        for entry in _index(self._url).get("entries", {}).get(name, []):
            if str(entry.get("version")).removeprefix("v") == version.removeprefix("v"):
                if not entry.get("digest") or not entry.get("urls"):
                    raise MirrorError(f"{self._url}: {name} {version}: listed without digest or address")
                digest = str(entry["digest"]).removeprefix("sha256:")
                return ListedChart(urllib.parse.urljoin(f"{self._url}/", entry["urls"][0]), f"sha256:{digest}")
        return None

    def download(self, name: str, version: str, digest: str) -> bytes:
        """The archive of one version.

        :raises MirrorError: if the downloaded archive has a different digest.
        """
        listed = self.find(name, version)
        if listed is None:
            raise MirrorError(f"{self._url}: {name} {version}: not listed")
        archive = _get(listed.url)
        arrived = f"sha256:{hashlib.sha256(archive).hexdigest()}"
        if arrived != digest:
            raise MirrorError(f"{listed.url}: has digest {arrived}, expected {digest}; do not use it, tell the project")
        return archive


@cache
def _index(url: str) -> dict[str, Any]:
    try:
        index = yaml.load(_get(f"{url}/index.yaml"), Loader=_LOADER)
    except yaml.YAMLError as error:
        raise MirrorError(f"{url}/index.yaml: not YAML: {error}") from None
    return index if isinstance(index, dict) else {}


def _get(url: str) -> bytes:
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_SECONDS) as answer:
            content: bytes = answer.read()
            return content
    except urllib.error.HTTPError as error:
        kind = TransientError if error.code in _PASSING else MirrorError
        raise kind(f"{url}: status {error.code}") from None
    except (urllib.error.URLError, OSError) as error:
        raise TransientError(f"{url}: {error}") from None

import re
from dataclasses import dataclass
from typing import Any, Literal, Protocol, Self, runtime_checkable

from .._arguments import ConfigurationError, check_fields
from ..charts._defaults import Resources as Resources

Wire = Literal["seldon", "v2", "tensorflow"]
"""A protocol of prediction requests: Seldon's own, the Open Inference Protocol 2, or TensorFlow Serving's."""

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]|\$\{Token\[[^]]+\]\}")
_MODEL = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_URI = re.compile(r"(s3|pvc|https)://\S+")


@runtime_checkable
class ServedModel(Protocol):
    """A model that answers requests inside the cluster, whatever serves it."""

    @property
    def name(self) -> str:
        """Name of the object."""
        ...

    @property
    def namespace(self) -> str:
        """Namespace of the team."""
        ...

    @property
    def prediction_url(self) -> str:
        """Address to which a pod of the cluster posts a prediction request."""
        ...

    def objects(self) -> list[dict[str, Any]]:
        """Everything that is to be applied to the cluster."""
        ...


@dataclass(frozen=True)
class ModelSource:
    """The place of a trained model's files, from which a server loads them at its start.

    :param uri: ``s3://``, ``pvc://`` or ``https://``.
    :raises ConfigurationError: for an address of another form.
    """

    uri: str

    def __post_init__(self) -> None:
        check_fields(self, "ModelSource")
        if not _URI.fullmatch(self.uri):
            raise ConfigurationError(f"ModelSource: uri must be s3://, pvc:// or https://, got {self.uri!r}")

    @classmethod
    def repository(cls, bucket: str, *, model: str, version: int, digest: str) -> Self:
        """A version of the platform's model repository. Versions are immutable, so every replica loads the same files.

        :param bucket: name of the repository's bucket.
        :param digest: of the package, from the document of the version (``package.digest``).
        :raises ConfigurationError: for values that cannot be those of a version.
        """
        place = f"ModelSource {model!r}"
        if not _BUCKET.fullmatch(bucket):
            raise ConfigurationError(f"{place}: bucket must be the name of a bucket, got {bucket!r}")
        if not _MODEL.fullmatch(model):
            raise ConfigurationError(f"{place}: model must be lower-case words joined by hyphens, got {model!r}")
        if version < 1:
            raise ConfigurationError(f"{place}: version must be 1 or more, got {version}")
        if not _DIGEST.fullmatch(digest):
            raise ConfigurationError(
                f"{place}: digest must be the 64 hexadecimal digits of package.digest, got {digest!r}"
            )
        return cls(f"s3://{bucket}/{model}/packages/{version}/{digest}/model")

    @classmethod
    def claim(cls, name: str, folder: str = "") -> Self:
        """A folder of a PersistentVolumeClaim, such as a Lustre file system that is linked to S3."""
        return cls(f"pvc://{name}/{folder}".rstrip("/"))

    @property
    def in_bucket(self) -> bool:
        """Whether pods need access to a bucket."""
        return self.uri.startswith("s3://")

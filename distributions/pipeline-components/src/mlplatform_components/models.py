"""Publishing to the model repository."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlplatform_components.errors import ComponentError
from model_repository import Package, Repository

_MODEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


@dataclass(frozen=True)
class PublishedModel:
    """A version of a model.

    :param model: name of the model.
    :param version: number of the version.
    :param uri: S3 prefix of its files.
    :param created: False if the newest version holds this very package already.
    """

    model: str
    version: int
    uri: str
    created: bool


def publish_model(s3: Any, bucket: str, folder: Path | str, *, model: str) -> PublishedModel:
    """Publish a folder with model, feature extractor, sample and metadata as the next version of ``model``.

    The package passes its own self-test first. A repeated call publishes nothing new.

    :param s3: a boto3 client of ``s3``.
    :param bucket: of the model repository.
    :raises ComponentError: for a name that no model can have.
    :raises RepositoryError: for a package that is incomplete or fails its self-test.
    """
    if not _MODEL.fullmatch(model):
        raise ComponentError(f"model must be 1 to 63 lower-case letters, digits and hyphens, got {model!r}")
    repository = Repository(bucket, client=s3)
    published = repository.publish(Package.read(Path(folder)), model=model)
    document = published.document
    return PublishedModel(model, int(document["version"]), repository.uri(document), published.created)

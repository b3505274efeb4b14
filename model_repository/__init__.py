"""A repository of model versions in S3: model, feature extractor, sample and metadata, stored as one.

A version is one JSON document, written last and in one atomic operation, that carries the metadata and names every
file by its checksum. There is no moment at which one exists without the other. ``docs/model-repository.md`` explains
the layout, the contract of a package, and what happens when a publisher is killed.
"""

from model_repository.compare import Difference, compare
from model_repository.errors import Conflict, Damaged, NoSuchVersion, RepositoryError
from model_repository.package import Package
from model_repository.repository import Listed, Published, Repository
from model_repository.self_test import SelfTest, run_self_test
from model_repository.xml_export import from_xml, to_xml

__all__ = [
    "Conflict",
    "Damaged",
    "Difference",
    "Listed",
    "NoSuchVersion",
    "Package",
    "Published",
    "Repository",
    "RepositoryError",
    "SelfTest",
    "compare",
    "from_xml",
    "run_self_test",
    "to_xml",
]

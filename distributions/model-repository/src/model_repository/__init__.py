"""A repository of model versions in S3: model, feature extractor, sample and metadata, stored together.

A version is one JSON document with the metadata and the checksums of all files, which is written last and atomically.
Neither ever exists without the other. ``docs/model-repository.md`` explains the layout, the contract of a package, and
the behaviour if a publisher is interrupted.
"""

from model_repository.compare import Difference, compare
from model_repository.errors import Conflict, Damaged, NoSuchVersion, RepositoryError
from model_repository.package import Package
from model_repository.package_process import PackageEndedError, PackageFailedError, PackageProcess
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
    "PackageEndedError",
    "PackageFailedError",
    "PackageProcess",
    "Published",
    "Repository",
    "RepositoryError",
    "SelfTest",
    "compare",
    "from_xml",
    "run_self_test",
    "to_xml",
]

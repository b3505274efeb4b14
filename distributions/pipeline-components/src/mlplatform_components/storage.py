"""Folders that are in S3 in an account and on the disk of a laptop."""

import shutil
from pathlib import Path
from typing import Any

from mlplatform_components.errors import ComponentError


def fetch_folder(s3: Any, uri: str, target: Path | str) -> list[Path]:
    """Copy what is below a prefix of S3, or in a local folder, into a new folder.

    :param s3: a boto3 client of ``s3``; unused for a local folder.
    :param uri: ``s3://bucket/prefix/`` or a path.
    :return: the files, sorted.
    :raises ComponentError: if there are none.
    """
    folder = Path(target)
    folder.mkdir(parents=True, exist_ok=True)
    if uri.startswith("s3://"):
        bucket, _, prefix = uri.removeprefix("s3://").partition("/")
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            for found in page.get("Contents", ()):
                path = folder / found["Key"].removeprefix(prefix).lstrip("/")
                if folder.resolve() not in path.resolve().parents:
                    continue  # the prefix itself, or a key that leads out of the folder
                path.parent.mkdir(parents=True, exist_ok=True)
                s3.download_file(bucket, found["Key"], str(path))
    elif Path(uri).is_dir():
        shutil.copytree(uri, folder, dirs_exist_ok=True)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    if not files:
        raise ComponentError(f"{uri}: holds no files; has the step before written there?")
    return files

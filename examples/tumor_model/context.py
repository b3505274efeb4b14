"""``python context.py --bucket BUCKET --to FOLDER``: the context of a container that serves a version of the model."""

import argparse
import json
import shutil
from pathlib import Path

from model_repository import Repository, package_worker

HERE = Path(__file__).parent
MODEL = "tumor"
BASE = "docker.io/seldonio/mlserver:1.7.1-sklearn"
DOCKERFILE = f"""\
FROM {BASE}
COPY --chown=1000:0 . /mnt/models
ENV MLSERVER_MODELS_DIR=/mnt/models
USER 1000
CMD ["mlserver", "start", "/mnt/models"]
"""


def write_context(repository: Repository, to: Path, *, version: int | None = None) -> int:
    """Write the package of a version, the runtime that serves it, its settings and the Dockerfile.

    :param version: Default: the newest.
    :return: the number of the version.
    """
    to.mkdir(parents=True)
    document = repository.fetch(MODEL, version, to=to / "package")
    number = int(document["version"])
    points = document["metadata"]["entry_points"]
    settings = {
        "name": MODEL,
        "implementation": "runtime.PackageModel",
        "parameters": {"uri": "./package", "version": f"v{number}", "extra": points},
    }
    (to / "model-settings.json").write_text(json.dumps(settings, indent=2), encoding="utf-8")
    (to / "Dockerfile").write_text(DOCKERFILE, encoding="utf-8")
    shutil.copy(HERE / "runtime.py", to)
    shutil.copy(package_worker.__file__, to)
    return number


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bucket", required=True, help="bucket of the model repository")
    parser.add_argument("--to", type=Path, required=True, help="the folder to create")
    parser.add_argument("--version", type=int, help="version number (default: the latest)")
    given = parser.parse_args()
    print(write_context(Repository(given.bucket), given.to, version=given.version))

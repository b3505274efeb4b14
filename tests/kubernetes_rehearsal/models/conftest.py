"""A real node in the embedded AWS, and an image of a model server and of batches, built from packages."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from kubernetes_rehearsal import programs
from kubernetes_rehearsal.choice import NODES, missing_for_nodes
from kubernetes_rehearsal.programs.archives import write_image
from kubernetes_rehearsal.programs.store import Store
from kubernetes_rehearsal.programs.table import ImageRecipe, read_table
from model_repository import package_worker
from rehearsal.embedded_aws import EmbeddedAws
from rehearsal.run import exclusive_run
from tests.kubernetes_rehearsal.cloud.clouds import CloudCluster
from tests.kubernetes_rehearsal.cloud.conftest import new_cluster

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "examples" / "tumor_model"
IMAGE = "registry.test/churn/tumor:1"
MODEL_FOLDER = "/mnt/model"
SETS = {"/": "debian/python", "/opt/mlserver": "pypi/mlserver", "/opt/aws": "pypi/batch-serving"}
PROMETHEUS = "quay.io/prometheus/prometheus:v3.12.0"
_PATHS = ("/opt/mlserver", "/opt/aws", "/opt/platform")
_START = "from mlserver.cli import main; main()"


def write_server(folder: Path) -> None:
    """The files of the example's container context, with the model in a volume rather than in the image."""
    for file in (EXAMPLE / "runtime.py", Path(package_worker.__file__)):
        shutil.copy(file, folder)
    points = {"feature_extractor": "feature_extractor/extractor.py:extract", "model": "model/predictor.py:load"}
    parameters = {"uri": f"{MODEL_FOLDER}/current", "version": "v1", "extra": points}
    settings = {"name": "tumor", "implementation": "runtime.PackageModel", "parameters": parameters}
    (folder / "model-settings.json").write_text(json.dumps(settings), encoding="utf-8")


@pytest.fixture(scope="module")
def own_images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the one image."""
    store = Store(read_table())
    lacks = [*missing_for_nodes(), *(one for one in SETS.values() if not store.facts(one))]
    lacks += [PROMETHEUS] if programs.why_missing(PROMETHEUS) else []
    if lacks:
        pytest.skip(f"needs {', '.join(lacks)}; run python -m kubernetes_rehearsal.programs with these names")
    scratch, folder = tmp_path_factory.mktemp("server"), tmp_path_factory.mktemp("images")
    write_server(scratch)
    (scratch / "paths.pth").write_text("\n".join(_PATHS) + "\n", encoding="utf-8")
    sources = {path: store.path(name) for path, name in SETS.items()}
    for name in ("batch_serving", "model_repository"):
        sources[f"/opt/platform/{name}"] = ROOT / "distributions" / name.replace("_", "-") / "src" / name
    for file in scratch.iterdir():
        own = "/usr/local/lib/python3.11/dist-packages" if file.suffix == ".pth" else "/opt/server"
        sources[f"{own}/{file.name}"] = file
    recipe = ImageRecipe(
        files={},
        command=("python", "-c", _START, "start", "/opt/server"),
        user="1000:1000",
        folder="/tmp",
        environment={
            "PYTHONDONTWRITEBYTECODE": "1",
            "HOME": "/tmp",
            "OMP_NUM_THREADS": "1",
            "MLSERVER_PARALLEL_WORKERS": "0",
            "MLSERVER_METRICS_PORT": "8082",
            "MLSERVER_METRICS_DIR": "/tmp/metrics",
            "MLSERVER_DEBUG": "false",
        },
    )
    write_image(folder / "tumor.tar", IMAGE, recipe, sources)
    return folder


@pytest.fixture(scope="module")
def models_cluster(own_images: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CloudCluster]:
    """A cluster whose node can run the image."""
    folder = tmp_path_factory.mktemp("cloud")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv(NODES, "1")
        environment.setenv(programs.OWN_IMAGES, str(own_images))
        with exclusive_run(folder) as run, EmbeddedAws(run) as aws:
            aws.wait_until_healthy()
            yield new_cluster(aws, folder)

"""The widget in a real JupyterLab and a real browser, against the adviser's real service on loopback.

``WRITE_PICTURES=1 pytest tests/notebook_client/test_widget.py`` renews the pictures of the guide.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.job_adviser.memory_s3 import MemoryS3
from tests.notebook_client import chromium
from tests.notebook_client.local_api import LocalApi, serving

ROOT = Path(__file__).parents[2]
SET = ROOT / ".cache" / "programs" / "pypi" / "jupyterlab"
BROWSER = SET.parents[1] / "debian" / "chromium"
PICTURES = ROOT / "docs" / "pictures"
TOKEN = "of-this-test"
SOURCES = [ROOT / "distributions" / name / "src" for name in ("notebook-client", "job-adviser")]
CELL = """\
from mlplatform_notebook import Client
from mlplatform_notebook.widget import JobWidget
from tests.job_adviser.memory_s3 import MemoryS3
here = MemoryS3(contents={{f"delays/{{n}}.csv": b"id,city\\n1,Berlin\\n" for n in range(5)}})
JobWidget(
    Client({url!r}, {credentials!r}),
    inputs=["s3://data/delays/", "s3://data/orders/"],
    output="s3://data/prepared/delays/",
    options={{"job": {{"passes": 20, "cpu_seconds_per_gib": 200}}}},
    s3=here,
    every=0.2,
)
"""


@pytest.fixture(scope="module")
def environment() -> dict[str, str]:
    """Of programs of the package set of JupyterLab."""
    for folder in (SET, BROWSER):
        if not folder.exists():
            name = f"{folder.parent.name}/{folder.name}"
            pytest.skip(f"{name} is missing: python -m kubernetes_rehearsal.programs {name}")
    with tempfile.TemporaryDirectory(dir="/tmp", ignore_cleanup_errors=True) as own:
        if reason := chromium.why_unusable(BROWSER, Path(own)):
            pytest.skip(f"Chromium does not start on this machine: {reason}")
    own = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    return own | {
        "PYTHONPATH": os.pathsep.join(map(str, [*SOURCES, ROOT, SET])),
        "JUPYTER_PATH": str(SET / "share" / "jupyter"),
        "JUPYTER_CONFIG_PATH": str(SET / "etc" / "jupyter"),
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    }


@pytest.fixture(scope="module")
def api() -> Iterator[LocalApi]:
    """Large enough that a run can be seen after its first batch, where it waits to be cancelled."""
    row = b"1,Berlin,0.5\n"
    tables = {f"delays/{number}.csv": b"id,city,value\n" + row * 1000 for number in range(6)}
    others = {f"delays/{number}.tsv": b"id\tcity\n1\tBerlin\n" for number in range(6, 9)}
    texts = {f"delays/{number}.txt": b"words\n" for number in range(9, 12)}
    sizes = {f"delays/history-{number}.csv": 2 * 1024**3 for number in range(60)}
    with serving(LocalApi(Both(contents={**tables, **others, **texts}, sizes=sizes), holds_after=1)) as found:
        yield found


class Both(MemoryS3):
    """For advice, there are large files, too; their content is never made."""

    def paginate(self, *, Bucket: str, Prefix: str) -> Iterator[dict[str, Any]]:
        for page in super().paginate(Bucket=Bucket, Prefix=Prefix):
            yield {**page, "Contents": [each for each in page["Contents"] if each["Size"] < 1024**3]}


@pytest.fixture(scope="module")
def notebook(environment: dict[str, str], api: LocalApi, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a notebook with the widget in JupyterLab."""
    folder = tmp_path_factory.mktemp("lab")
    cell = {
        "cell_type": "code",
        "execution_count": None,
        "id": "widget",
        "metadata": {},
        "outputs": [],
        "source": CELL.format(url=api.url, credentials=api.credentials),
    }
    kernel = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    document = {"cells": [cell], "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}
    (folder / "advice.ipynb").write_text(json.dumps(document), encoding="utf-8")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--ServerApp.port={port}"),
        *(f"--IdentityProvider.token={TOKEN}", f"--ServerApp.root_dir={folder}", "--ServerApp.ip=127.0.0.1"),
        *(
            f"--LabApp.app_dir={SET / 'share' / 'jupyter' / 'lab'}",
            "--LabApp.news_url=None",
            "--LabApp.expose_app_in_browser=True",
        ),
    ]
    own = {**environment, "HOME": str(folder), "JUPYTER_RUNTIME_DIR": str(folder / "runtime")}
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(command, env=own, cwd=folder, stdout=log, stderr=log, start_new_session=True)
        try:
            _wait(f"http://127.0.0.1:{port}/api?token={TOKEN}", server, folder / "log")
            yield f"http://127.0.0.1:{port}/lab/tree/advice.ipynb?token={TOKEN}"
        finally:
            os.killpg(server.pid, signal.SIGTERM)
            server.wait(timeout=240)


def _wait(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + 240
    while time.monotonic() < until and server.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    pytest.fail(f"JupyterLab did not start:\n{log.read_text(encoding='utf-8')[-3000:]}")


@pytest.fixture(scope="module")
def seen(notebook: str, environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a person sees who asks for advice, runs in AWS, cancels, runs locally, and mistypes a prefix."""
    pictures = PICTURES if os.environ.get("WRITE_PICTURES") else tmp_path_factory.mktemp("pictures")
    pictures.mkdir(exist_ok=True)
    command = [sys.executable, str(Path(__file__).with_name("browser.py")), notebook, str(pictures), str(BROWSER)]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=1200)
    assert ran.returncode == 0, ran.stderr[-4000:]
    found: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    return found


@pytest.mark.promise("notebook-client")
def test_data_is_chosen_from_a_list(seen: dict[str, Any]) -> None:
    assert seen["choices"] == ["s3://data/delays/", "s3://data/orders/"]


@pytest.mark.promise("notebook-client")
def test_times_and_cost_of_every_backend_are_side_by_side(seen: dict[str, Any]) -> None:
    assert seen["bars"] == {"prepare": 4, "run": 4, "cost": 4}
    for title in ("this machine", "EKS", "EMR", "SageMaker", "no charge", "$"):
        assert title in seen["plot"]
    assert "72 objects" in seen["advice"]
    assert "convert: " in seen["advice"]


@pytest.mark.promise("notebook-client")
def test_a_run_in_aws_shows_its_phases_and_its_progress(seen: dict[str, Any]) -> None:
    assert seen["running"]["phases"] == {"plan": "done", "prepare": "running", "finish": "waiting"}
    assert 0 < seen["running"]["share"] < 1
    assert seen["running"]["status"] == "running in AWS"


@pytest.mark.promise("notebook-client")
def test_a_run_is_cancelled_by_a_button(seen: dict[str, Any], api: LocalApi) -> None:
    assert seen["cancelled"]["status"] == "cancelled in AWS"
    assert seen["cancelled"]["phases"]["prepare"] == "cancelled"
    assert [each["status"] for each in api.states.executions.values()] == ["ABORTED"]


@pytest.mark.promise("notebook-client")
def test_the_same_runs_locally_by_choice(seen: dict[str, Any]) -> None:
    assert seen["local"] == {"phases": {"plan": "done", "prepare": "done", "finish": "done"}, "share": 1.0}


def test_a_refusal_is_shown_as_text_and_never_as_html(seen: dict[str, Any]) -> None:
    assert "there are no objects; correct the prefix" in seen["error"]
    assert "<img src=x" in seen["error"]
    assert seen["images"] == 0

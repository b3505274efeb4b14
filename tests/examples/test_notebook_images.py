"""The notebook images: how they are built, and that their sample notebooks run."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "examples" / "notebook_images"
NAMES = sorted(path.parent.name for path in IMAGES.glob("*/Dockerfile"))
PROGRAMS = ROOT / ".cache" / "programs"
RUN = """
import sys, nbformat
from nbclient import NotebookClient
book = nbformat.read("sample.ipynb", as_version=4)
nbformat.validate(book)
NotebookClient(book, timeout=120, kernel_name="python3").execute()
print("".join(out.get("text", "") for cell in book.cells if cell.cell_type == "code" for out in cell.outputs))
"""


def dockerfile(name: str) -> str:
    return (IMAGES / name / "Dockerfile").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Of a notebook: the packages of JupyterLab."""
    lab = PROGRAMS / "pypi" / "jupyterlab"
    if not lab.exists():
        pytest.skip("JupyterLab is missing: python -m kubernetes_rehearsal.programs pypi/jupyterlab")
    home = tmp_path_factory.mktemp("home")
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "PYTHONPATH": str(lab),
        "JUPYTER_PATH": str(lab / "share" / "jupyter"),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    }


def run(name: str, environment: dict[str, str], folder: Path) -> str:
    """Execute the sample notebook of an image as it is copied into a home folder; returns what it prints."""
    home = shutil.copytree(IMAGES / name, folder / name)
    ran = subprocess.run([sys.executable, "-c", RUN], cwd=home, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr[-3000:]
    return ran.stdout


def test_the_catalogue_has_an_image_for_cpus_one_for_gpus_and_one_of_a_tool() -> None:
    assert NAMES == ["blast", "cpu", "gpu"]
    readme = (IMAGES / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `(\w+)` \|", readme, re.MULTILINE) == ["cpu", "gpu", "blast"]


@pytest.mark.promise("notebook-images")
@pytest.mark.parametrize("name", NAMES)
def test_an_image_is_pinned_runs_without_root_and_carries_its_samples(name: str) -> None:
    text = dockerfile(name)
    base = re.search(r"^FROM (\S+)$", text, re.MULTILINE)
    assert base
    assert base[1] == "${BASE}" or re.search(r":\d[\w.-]+$", base[1])
    assert ":latest" not in text
    assert re.findall(r"^USER (.+)$", text, re.MULTILINE)[-1] == "1000:100"
    copied = " ".join(re.findall(r"^COPY (.+)$", text, re.MULTILINE))
    for path in IMAGES.joinpath(name).rglob("*"):
        if path.is_file() and path.name != "Dockerfile":
            inside = path.relative_to(IMAGES / name).parts[0]
            assert inside in copied, f"{path.name} is not in the image"
    for package in re.findall(r"--no-install-recommends (.+?) \\", text):
        assert name == "gpu" or "=" in package, "a package of the tool has no version"


@pytest.mark.parametrize("name", [name for name in NAMES if (IMAGES / name / "requirements.txt").exists()])
def test_every_python_package_of_an_image_has_an_exact_version(name: str) -> None:
    lines = (IMAGES / name / "requirements.txt").read_text(encoding="utf-8").splitlines()
    assert all(re.fullmatch(r"[a-z0-9-]+(\[[a-z]+\])?==\d[\w.]*", line) for line in lines)
    assert {"jupyterlab", "mlplatform-notebook[widget]"} <= {line.partition("==")[0] for line in lines}


@pytest.mark.parametrize("name", NAMES)
def test_a_sample_is_stored_without_results(name: str) -> None:
    cells = json.loads((IMAGES / name / "sample.ipynb").read_text(encoding="utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert len(code) >= 3
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
    assert cells[0]["source"][0].startswith("# ")


@pytest.mark.promise("notebook-images")
def test_the_sample_for_cpus_runs(environment: dict[str, str], tmp_path: Path) -> None:
    assert "no adviser is configured" in run("cpu", environment, tmp_path)


@pytest.mark.promise("notebook-images")
def test_the_sample_for_gpus_runs_and_says_which_devices_there_are(environment: dict[str, str], tmp_path: Path) -> None:
    said = run("gpu", environment, tmp_path)
    assert "same result on cpu" in said
    assert ("no GPU" in said) == (shutil.which("nvidia-smi") is None)


@pytest.mark.promise("notebook-images")
def test_the_sample_of_the_tool_runs_with_the_real_tool(environment: dict[str, str], tmp_path: Path) -> None:
    tool = PROGRAMS / "debian" / "blast"
    if not tool.exists():
        pytest.skip("BLAST is missing: python -m kubernetes_rehearsal.programs debian/blast")
    own = environment | {
        "PATH": f"{tool / 'usr/bin'}{os.pathsep}{environment['PATH']}",
        "LD_LIBRARY_PATH": os.pathsep.join(
            str(tool / folder) for folder in ("usr/lib/ncbi-blast+", "usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu")
        ),
    }
    assert "12 of 12 reads are assigned to the gene that they come from" in run("blast", own, tmp_path)


def test_a_sample_that_fails_is_found(environment: dict[str, str], tmp_path: Path) -> None:
    home = shutil.copytree(IMAGES / "cpu", tmp_path / "cpu")
    (home / "delays.csv").unlink()
    ran = subprocess.run([sys.executable, "-c", RUN], cwd=home, env=environment, capture_output=True, text=True)
    assert ran.returncode != 0
    assert "FileNotFoundError" in ran.stderr

"""A real Spark on this machine: what is planned is cached, and what is too small spills."""

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from charts.kit.chart import pod_specs
from examples import spark, spark_jar
from kubernetes_rehearsal.processes import free_port
from mlplatform_components.spark_sizing import MemorySettings, measured_overhead, size_executors
from tests.charts.kubeflow.spark_pages import spark_pages
from tests.examples.package_sets import SETS, package_set

FOLDER = Path(spark.__file__).parent
MEMORY = MemorySettings(fraction=0.6, storage_fraction=0.8)
HEAP = 512
ROWS, COLUMNS = 2_000_000, 8
MAKE = """
import sys
from pyspark.sql import SparkSession, functions as sql
spark = SparkSession.builder.getOrCreate()
rows, columns, path, parts = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
table = spark.range(rows, numPartitions=parts).select(*(sql.rand(seed=i).alias(f"v{i}") for i in range(columns)))
table.write.parquet(path)
spark.stop()
"""

pytestmark = pytest.mark.skipif(not shutil.which("java"), reason="Spark needs Java 17; install openjdk-17-jre-headless")


def run(program: str | Path, *arguments: str, submit: str, folder: Path) -> str:
    """Run a program with pyspark, as ``spark-submit`` would with these options."""
    environment = {
        "PYTHONPATH": package_set("training", "spark"),
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "PYSPARK_PYTHON": sys.executable,
        "SPARK_HOME": str(SETS / "spark" / "pyspark"),
        "SPARK_LOCAL_DIRS": str(folder / "scratch"),
        "SPARK_WORKER_DIR": str(folder / "work"),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "OMP_NUM_THREADS": "1",
        "PYSPARK_SUBMIT_ARGS": f"{submit} --conf spark.ui.port=0 pyspark-shell",
    }
    command = [sys.executable, *(["-c", program] if isinstance(program, str) else [str(program)]), *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=folder, timeout=900)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def scanned(table: Path, *, executors: int, partition_mib: float, folder: Path) -> dict[str, Any]:
    """What Spark reports about the cache on a cluster of executors of one core each."""
    settings = {
        "spark.executor.memory": f"{HEAP}m",
        "spark.executor.cores": "1",
        "spark.memory.fraction": MEMORY.fraction,
        "spark.memory.storageFraction": MEMORY.storage_fraction,
        "spark.sql.files.maxPartitionBytes": f"{int(partition_mib * 1024)}k",
        "spark.locality.wait": "0s",  # as on a busy cluster
    }
    options = " ".join(f"--conf {key}={value}" for key, value in settings.items())
    submit = f"--master local-cluster[{executors},1,{HEAP + 128}] --driver-memory 1g {options}"
    report = folder / f"report-{executors}.json"
    run(FOLDER / "cached_scans.py", str(table), str(report), submit=submit, folder=folder)
    found: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
    return found


@pytest.mark.promise("cached-executors", "spark-on-laptop")
def test_planned_executors_keep_all_data_in_memory_and_fewer_spill(tmp_path: Path) -> None:
    package_set("training", "spark")
    sample, table = tmp_path / "sample.parquet", tmp_path / "table.parquet"
    local = "--master local[2] --driver-memory 1g"
    run(MAKE, str(ROWS // 20), str(COLUMNS), str(sample), "2", submit=local, folder=tmp_path)
    run(MAKE, str(ROWS), str(COLUMNS), str(table), "12", submit=local, folder=tmp_path)
    known = scanned(sample, executors=1, partition_mib=4, folder=tmp_path)
    overhead = measured_overhead(cached_bytes=known["memory"], input_bytes=size_of(sample))

    plan = size_executors(
        input_bytes=size_of(table), overhead=overhead, heap_mib=HEAP, cores=1, memory=MEMORY, headroom=1.2
    )
    assert plan.executors == 2
    partition = plan.input_mib / 12
    enough = scanned(table, executors=plan.executors, partition_mib=partition, folder=tmp_path)
    assert enough["executors"] == plan.executors
    assert (enough["cached"], enough["disk"]) == (1.0, 0)
    assert enough["memory"] / (1 << 20) == pytest.approx(plan.cached_mib, rel=0.1)
    assert enough["storage_memory"] / (1 << 20) == pytest.approx(plan.executors * MEMORY.unified_mib(HEAP), rel=0.1)

    too_few = scanned(table, executors=plan.executors - 1, partition_mib=partition, folder=tmp_path)
    assert too_few["cached"] < 1
    assert too_few["disk"] > 0


@pytest.mark.promise("phase-timing", "spark-on-laptop")
def test_a_forest_grows_in_four_timed_phases_with_all_data_cached(tmp_path: Path) -> None:
    table, report = tmp_path / "table.csv", tmp_path / "report.json"
    rows = [[(i * 7919 % 1000) / 1000, (i * 104729 % 1000) / 1000] for i in range(500)]
    lines = ["a,b,label", *(f"{a},{b},{int(a > b)}" for a, b in rows)]
    table.write_text("\n".join(lines) + "\n", encoding="utf-8")
    run(
        FOLDER / "trees.py",
        str(table),
        "--trees=5",
        f"--report={report}",
        submit="--master local[2] --driver-memory 1g",
        folder=tmp_path,
    )
    found = json.loads(report.read_text(encoding="utf-8"))
    assert list(found["seconds"]) == ["executors", "index", "load", "trees"]
    assert min(found["seconds"].values()) > 0
    assert (found["rows"], found["cached"]) == (500, 1.0)
    assert found["accuracy"] > 0.9


def wide_table(file: Path) -> Path:
    """Six columns, of which ``c2`` decides."""
    names = [f"c{number}" for number in range(6)]
    rows = [
        [(row * step % 997) / 997 for step in (7919, 104729, 1299709, 15485863, 611953, 224737)] for row in range(400)
    ]
    lines = [",".join([*names, "label"]), *(",".join(map(str, [*row, int(row[2] > 0.5)])) for row in rows)]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


@pytest.mark.promise("jar-pipeline", "spark-on-laptop")
def test_a_jar_is_built_by_the_commands_of_its_pipeline_and_finds_the_columns_that_matter(tmp_path: Path) -> None:
    if absent := [name for name in ("javac", "make") if not shutil.which(name)]:
        pytest.skip(f"needs {' and '.join(absent)}; install openjdk-17-jdk-headless and make")
    package_set("training", "spark")
    home = str(SETS / "spark" / "pyspark")
    folder = Path(shutil.copytree(Path(spark_jar.__file__).parent, tmp_path / "source"))
    for command in (*spark_jar.BUILD.test, *spark_jar.BUILD.package):
        environment = {"PATH": os.environ["PATH"], "SPARK_HOME": home}
        done = subprocess.run(command, shell=True, cwd=folder, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    [jar] = folder.glob(spark_jar.BUILD.jar)
    assert json.loads((folder / spark_jar.BUILD.sbom).read_text(encoding="utf-8"))["bomFormat"] == "CycloneDX"
    submit = [f"{home}/bin/spark-submit", "--master", "local[2]", "--conf", "spark.ui.enabled=false"]
    command = [*submit, "--class", spark_jar.MAIN_CLASS, str(jar), str(wide_table(tmp_path / "t.csv")), "label", "10"]
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "SPARK_LOCAL_IP": "127.0.0.1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=tmp_path, timeout=900)
    assert done.returncode == 0, done.stderr[-3000:]
    name, importance = done.stdout.splitlines()[0].split()
    assert name == "c2"
    assert float(importance) > 0.5


@pytest.mark.promise("spark-interfaces")
def test_the_history_server_of_a_team_shows_a_program_from_its_event_log(tmp_path: Path) -> None:
    """As deployed, but for folder and port. Its links start where the proxy says."""
    package_set("training", "spark")
    events = tmp_path / "spark-events"
    events.mkdir()
    logged = f"--conf spark.eventLog.enabled=true --conf spark.eventLog.dir=file:{events}"
    rolling = "--conf spark.eventLog.rolling.enabled=true"
    submit = f"--master local[2] --driver-memory 1g --name features {logged} {rolling}"
    run(MAKE, "1000", "2", str(tmp_path / "made.parquet"), "2", submit=submit, folder=tmp_path)
    pods = [pod for one in spark_pages("churn") for pod in pod_specs(one)]
    (server,) = [container for pod in pods for container in pod["containers"] if container["name"] == "server"]
    given = {one["name"]: one["value"] for one in server["env"]}
    port = free_port()
    options = given["SPARK_HISTORY_OPTS"].replace("/var/spark-events", str(events)).replace("18080", str(port))
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "SPARK_LOCAL_IP": "127.0.0.1"}
    command = [server["command"][0].replace("/opt/spark", str(SETS / "spark" / "pyspark")), *server["args"]]
    with (tmp_path / "server.log").open("w") as log:
        process = subprocess.Popen(
            command, env={**environment, **given, "SPARK_HISTORY_OPTS": options}, stdout=log, stderr=log
        )
    try:
        (program,) = answered(f"http://127.0.0.1:{port}/api/v1/applications", process)
        assert program["name"] == "features"
        assert program["attempts"][0]["completed"] is True
        page = urllib.request.Request(
            f"http://127.0.0.1:{port}/history/{program['id']}/jobs/",
            headers={"X-Forwarded-Context": "/spark-history/churn"},
        )
        with urllib.request.urlopen(page, timeout=300) as answer:
            text = answer.read().decode()
        assert f'href="/spark-history/churn/history/{program["id"]}/stages/"' in text
        assert 'src="/static/' not in text, "a link that leads past the proxy"
    finally:
        process.terminate()
        process.wait(60)


def answered(address: str, process: subprocess.Popen[bytes], *, seconds: float = 240) -> Any:
    """The first answer that is not empty."""
    until = time.monotonic() + seconds
    while time.monotonic() < until and process.poll() is None:
        try:
            with urllib.request.urlopen(address, timeout=60) as answer:
                if found := json.load(answer):
                    return found
        except OSError:
            pass
        time.sleep(0.5)
    raise AssertionError(f"no answer of {address}")


def size_of(table: Path) -> int:
    return sum(file.stat().st_size for file in table.glob("*.parquet"))

"""The proxy to the pages of Spark programs, as a real nginx: where its paths lead, and where none does."""

import http.client
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from charts.kubeflow.spark_history_server.objects import proxy_configuration
from kubernetes_rehearsal.processes import free_port

NGINX = Path(__file__).parents[3] / ".cache" / "programs" / "debian" / "nginx"
_LIBRARIES = ("usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu")


class Driver(BaseHTTPRequestHandler):
    """The pages of a program. ``/away`` redirects as Spark does, which knows neither HTTPS nor the path before."""

    def do_GET(self) -> None:
        away = {"/away": "http://driver:4040/jobs/", "/known": "http://driver:4040/spark/churn/pi/stages/"}
        if self.path in away:
            self.send_response(302)
            self.send_header("Location", away[self.path])
            self.end_headers()
            return
        self.send_response(200)
        self.end_headers()
        said = (self.headers["Host"].partition(":")[0], self.path, self.headers["X-Forwarded-Context"])
        self.wfile.write(" ".join(said).encode())

    def log_message(self, format: str, *arguments: object) -> None:
        """Requests are not logged."""


@dataclass(frozen=True)
class Proxy:
    """A running proxy."""

    port: int

    def ask(self, path: str, *, method: str = "GET") -> tuple[int, str]:
        """Status, and the text or the address of a redirect."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request(method, path)
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return answer.status, answer.headers["Location"] or (text if answer.status == 200 else "")


def name_server() -> int:
    """Port of a server that answers every name with 127.0.0.1."""
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 0))

    def answer() -> None:
        while True:
            query, sender = server.recvfrom(512)
            end = query.index(b"\0", 12) + 5
            record = b"\xc0\x0c\0\1\0\1\0\0\0\5\0\4\x7f\0\0\1"
            server.sendto(query[:2] + b"\x81\x80\0\1\0\1\0\0\0\0" + query[12:end] + record, sender)

    Thread(target=answer, daemon=True).start()
    return int(server.getsockname()[1])


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """As deployed, but for ports, folder and name server. One server stands for every driver and history server."""
    if not NGINX.is_dir():
        pytest.skip("nginx is missing; run python -m kubernetes_rehearsal.programs debian/nginx")
    drivers = ThreadingHTTPServer(("127.0.0.1", 0), Driver)
    Thread(target=drivers.serve_forever, daemon=True).start()
    folder, port = tmp_path_factory.mktemp("proxy"), free_port()
    text = proxy_configuration("churn", resolver=f"127.0.0.1:{name_server()}")
    changes = {"listen 8080": f"listen 127.0.0.1:{port}", "/tmp/": f"{folder}/"}
    changes |= {number: f":{drivers.server_port}" for number in (":4040", ":18080")}
    for before, after in changes.items():
        assert before in text
        text = text.replace(before, after)
    (folder / "nginx.conf").write_text(text, encoding="utf-8")
    command = [str(NGINX / "usr/sbin/nginx"), "-c", str(folder / "nginx.conf"), "-e", "stderr"]
    environment = {"LD_LIBRARY_PATH": os.pathsep.join(str(NGINX / path) for path in _LIBRARIES)}
    process = subprocess.Popen([*command, "-g", "daemon off; master_process off;"], env=environment)
    found, until = Proxy(port), time.monotonic() + 60
    try:
        while True:
            assert process.poll() is None
            try:
                assert found.ask("/healthz")[0] == 200
                break
            except OSError:
                assert time.monotonic() < until
                time.sleep(0.1)
        yield found
    finally:
        process.terminate()
        process.wait(30)
        drivers.shutdown()
        drivers.server_close()


@pytest.mark.promise("spark-interfaces")
def test_a_path_leads_to_the_driver_that_it_names_which_learns_where_its_links_start(proxy: Proxy) -> None:
    assert proxy.ask("/spark/churn/pi/jobs/?id=1") == (
        200,
        "pi-ui-svc.churn.svc.cluster.local /jobs/?id=1 /spark/churn/pi",
    )
    assert proxy.ask("/spark-history/churn/history/app-1/jobs/") == (
        200,
        "spark-history.churn.svc.cluster.local /history/app-1/jobs/ /spark-history/churn",
    )


@pytest.mark.promise("spark-interfaces")
def test_redirects_stay_at_the_address_by_which_people_came(proxy: Proxy) -> None:
    assert proxy.ask("/spark/churn/pi/away") == (302, "/spark/churn/pi/jobs/")
    assert proxy.ask("/spark/churn/pi/known") == (302, "/spark/churn/pi/stages/")
    assert proxy.ask("/spark/churn/pi") == (302, "/spark/churn/pi/")


@pytest.mark.promise("team-isolation")
@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/spark/fraud/pi/jobs/",
        "/spark-history/fraud/",
        "/spark/churn/pi-ui-svc.fraud/jobs/",
        "/spark/churn/pi:80/jobs/",
        "/spark/churn/..%2ffraud/jobs/",
        "/spark/churn/pi/%0d%0aX-Forwarded-Context:/x",
        f"/spark/churn/{'a' * 51}/jobs/",
    ],
)
def test_no_other_path_leads_anywhere(proxy: Proxy, path: str) -> None:
    assert proxy.ask(path) == (404, "")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/spark/churn/pi/jobs/"),
        ("DELETE", "/spark-history/churn/history/app-1/"),
        ("GET", "/spark/churn/pi/jobs/job/kill/?id=0"),
        ("GET", "/spark/churn/pi/stages/stage/kill?id=0"),
    ],
)
def test_nothing_can_be_changed_through_the_proxy(proxy: Proxy, method: str, path: str) -> None:
    assert proxy.ask(path, method=method) == (403, "")

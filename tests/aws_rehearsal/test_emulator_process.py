"""The AWS emulator as a process: its address, and its isolation."""

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

ROOT = Path(__file__).parents[2]
WITHOUT_DOCKER = """
from pathlib import Path
from aws_rehearsal.emulator import settings
settings.prepare(port=1, cache=Path("."), node_modules=Path("."))
from ministack.services import eks, lambda_svc, rds
assert not eks._docker_available
assert eks._get_docker() is None
try:
    import docker
except ImportError:
    print("kept away")
"""


@pytest.mark.parametrize("host", ["127.0.0.2", socket.gethostname()])
def test_it_listens_on_one_address_of_loopback_only(aws: Any, host: str) -> None:
    port = urlsplit(aws.url).port
    with socket.create_connection(("127.0.0.1", port), timeout=5):
        pass
    addresses = {info[4][0] for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)} - {"127.0.0.1", "::1"}
    for address in addresses:
        with pytest.raises(OSError, match=r"refused|timed out|unreachable|assign"):
            socket.create_connection((address, port), timeout=5)


def test_docker_is_never_used_even_if_installed(tmp_path: Path) -> None:
    (tmp_path / "docker.py").write_text("def from_env(**_): raise AssertionError('asked')\n")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    process = subprocess.run(
        [sys.executable, "-c", WITHOUT_DOCKER],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert process.stdout == "kept away\n"


def test_alone_it_refuses_a_port_in_use_with_a_fix() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        command = [sys.executable, "-m", "aws_rehearsal.emulator", "--port", str(port)]
        process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert process.returncode == 1
    assert process.stderr == f"rehearsal: port {port}: address already in use; choose another with --port\n"


def test_who_drives_the_cli_has_no_account_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    from rehearsal.embedded_aws import without_aws

    mine = {"AWS_PROFILE": "prod", "AWS_SESSION_TOKEN": "x", "CDK_DEFAULT_ACCOUNT": "1", "HTTPS_PROXY": "http://proxy"}
    kept = without_aws(mine | {"LANG": "C"})
    assert not mine.keys() & kept.keys()
    assert kept["LANG"] == "C"
    assert kept["AWS_CONFIG_FILE"] == kept["AWS_SHARED_CREDENTIALS_FILE"] == os.devnull

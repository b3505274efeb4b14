"""Runs functions as Lambda does: with the programs of their layers, their own role, and a separate temporary folder."""

import hashlib
import io
import json
import os
import shlex
import shutil
import sys
import tempfile
import zipfile
from collections import Counter
from collections.abc import Callable
from functools import cache as remember
from pathlib import Path
from typing import Any

from ministack.core import lambda_runtime
from ministack.services import lambda_svc

from aws_rehearsal import helm
from aws_rehearsal.emulator import aws_cli
from aws_rehearsal.emulator.patching import wrap
from aws_rehearsal.emulator.sessions import session_of
from aws_rehearsal.emulator.settings import cache_folder, stand_ins_file
from kubernetes_rehearsal import programs
from kubernetes_rehearsal.interface import KubernetesError
from kubernetes_rehearsal.programs.charts import built_chart

_TOOL_FOLDERS = ("kubectl", "helm", "awscli", "bin")
"""Folders of a layer that hold programs. On Lambda they lie below /opt."""
_REQUEST_TIMEOUT = "15m"
"""Of kubectl for one request: the longest that a function runs."""
_PATIENCE = 5
"""Factor for the timeouts of functions where pods share this machine's processors, as for liveness probes."""
_LONGEST_SECONDS = 900
"""https://docs.aws.amazon.com/lambda/latest/dg/configuration-timeout.html"""
Config = dict[str, Any]

invoked: Counter[str] = Counter()
"""How often each function ran, by its name."""
_helm_notes = Path(tempfile.mkdtemp(prefix="helm-notes-"))
_programs_run = False


def install(*, programs_run: bool) -> None:
    """Prepare each worker before it starts.

    :param programs_run: whether clusters have nodes that run the built programs.
    """
    global _programs_run
    _programs_run = programs_run
    wrap(lambda_runtime, "execution_credentials", lambda original: surroundings)

    def extend(spawn: Callable[[Any], None]) -> Callable[[Any], None]:
        def prepared(worker: Any) -> None:
            worker.config = _with_tools(_patient(worker.config) if programs_run else worker.config)
            spawn(worker)

        return prepared

    lambda_runtime.Worker._spawn = extend(lambda_runtime.Worker._spawn)

    def count(invoke: Callable[..., Any]) -> Callable[..., Any]:
        def counted(worker: Any, *arguments: Any, **named: Any) -> Any:
            result = invoke(worker, *arguments, **named)
            invoked[worker.config["FunctionName"]] += 1
            return result

        return counted

    lambda_runtime.Worker.invoke = count(lambda_runtime.Worker.invoke)


def surroundings(config: Config) -> dict[str, str]:
    """The environment variables of Lambda that the emulator's workers lack.

    https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html#configuration-envvars-runtime
    """
    name = config["FunctionName"]
    return role_session(config) | {
        "AWS_EXECUTION_ENV": f"AWS_Lambda_{config.get('Runtime', '')}",
        "AWS_LAMBDA_LOG_GROUP_NAME": config.get("LoggingConfig", {}).get("LogGroup") or f"/aws/lambda/{name}",
        "AWS_LAMBDA_LOG_STREAM_NAME": f"[$LATEST]{hashlib.sha256(name.encode()).hexdigest()[:32]}",
    }


def role_session(config: Config) -> dict[str, str]:
    """Credentials of the function's own role, as Lambda gives them; who calls is then known, in EKS for example."""
    session = session_of(config["Role"], config["FunctionName"][:64])
    return {
        "AWS_ACCESS_KEY_ID": session.key,
        "AWS_SECRET_ACCESS_KEY": session.secret,
        "AWS_SESSION_TOKEN": session.token,
    }


def _patient(config: Config) -> Config:
    return {**config, "Timeout": min(_LONGEST_SECONDS, _PATIENCE * int(config.get("Timeout", 3)))}


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
    return helm.stand_ins(_helm_notes)


def built_charts() -> list[str]:
    """Helm charts that came from Go modules, with their programs."""
    return helm.built(_helm_notes)


def _with_own(scratch: Path, folders: list[str]) -> Path:
    """Put programs into ``scratch`` that are called instead of the layer's, and call these."""
    makers = {"aws": _aws, "helm": _helm, **({"kubectl": _kubectl} if _programs_run else {})}
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
    kept = cache_folder() / "helm-charts"
    built = _built_charts_file() if _programs_run else None
    return helm.wrapper(helm=program, kept=kept, notes=_helm_notes, stand_ins=stand_ins_file(), built=built)


def _kubectl(program: Path) -> str:
    """kubectl with a longer timeout: its own for discovery, 32 s, is too short on a machine that is busy with pods."""
    return f'#!/bin/sh\nexec {shlex.join([str(program), f"--request-timeout={_REQUEST_TIMEOUT}"])} "$@"\n'


@remember
def _built_charts_file() -> Path:
    """The file for :class:`aws_rehearsal.helm.Charts` with the charts whose programs are built."""
    charts: dict[str, dict[str, Any]] = {}
    for name in programs.table().charts:
        try:
            built = built_chart(name)
            charts[name] = {"folder": str(built.folder), "source": built.source, "values": dict(built.values)}
        except KubernetesError as error:
            charts[name] = {"reason": str(error)}
    file = _helm_notes / "charts.json"
    file.write_text(json.dumps(charts), encoding="utf-8")
    return file


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

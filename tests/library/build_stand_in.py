"""Plays a synthesized pipeline on this machine: its stages in order, with stand-ins for ``aws``, ``docker`` and Maven.

The stand-ins keep what they were told: commands, images by tag, their layers, objects, parameters. Only signatures are
real. They answer from this process, because a program that starts Python would cost more than everything else.
"""

import base64
import copy
import hashlib
import json
import os
import re
import shutil
import socketserver
import stat
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aws_cdk.assertions import Template
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

import mlplatform_constructs

TOOLS = Path(str(mlplatform_constructs.__file__)).parent / "_artifacts" / "pipeline_tools"
HOST = "111111111111.dkr.ecr.eu-west-1.amazonaws.com"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Played:
    """How a pipeline ended.

    :param stages: those that passed.
    :param said: what all of them printed.
    """

    stages: list[str]
    said: str


class Failure(Exception):
    """What a program says as it fails."""


@dataclass
class Call:
    """A call of a program.

    :param given: each argument by the one before it.
    """

    folder: Path
    name: str
    entered: str
    arguments: list[str]

    @property
    def given(self) -> dict[str, str]:
        return dict(zip(self.arguments, self.arguments[1:], strict=False))

    def path(self, text: str) -> Path:
        """A path as the program sees it, such as ``fileb://part``."""
        return self.folder / text.removeprefix("file://").removeprefix("fileb://")


class World:
    """A folder that plays AWS and a machine with Docker."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._programs = folder / "bin"
        self._programs.mkdir(parents=True)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._state: dict[str, Any] = {"commands": [], "scans": ["COMPLETE"], "logins": []}
        self.change(images={}, manifests={}, layers={}, findings={}, objects={}, parameters={})
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.world = self
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        programs = dict.fromkeys(("aws", "docker", "mvn"), _CLIENT.format(port=self._server.server_address[1]))
        for name, text in {**programs, "python3": f'#!/bin/bash\nexec {sys.executable} -S "$@"\n'}.items():
            program = self._programs / name
            program.write_text(text, encoding="utf-8")
            program.chmod(program.stat().st_mode | stat.S_IXUSR)

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()

    def read(self) -> dict[str, Any]:
        """What is there now."""
        return copy.deepcopy(self._state)

    def change(self, **values: Any) -> None:
        self._state.update(copy.deepcopy(values))

    def commands(self, start: str) -> list[str]:
        """Those that ran and begin so."""
        return [command for command in self._state["commands"] if command.startswith(start)]

    def verify(self, signature: str, content: str) -> None:
        """Check a signature of the key in KMS.

        :raises InvalidSignature: if it is none.
        """
        self._key.public_key().verify(base64.b64decode(signature), content.encode(), ec.ECDSA(hashes.SHA256()))

    def play(self, template: Template, source: Path, *, revision: str = COMMIT) -> Played:
        """Run the stages' commands as CodeBuild would, until one fails."""
        work = self.folder / f"run-{len(list(self.folder.glob('run-*')))}"
        artifacts = {"Source": source}
        played = Played([], "")
        for stage, action, project in _stages(template):
            place = work / stage
            shutil.copytree(artifacts[action["InputArtifacts"][0]["Name"]], place)
            spec = json.loads(_text(project["Source"]["BuildSpec"]))
            variables = {each["Name"]: _text(each["Value"]) for each in project["Environment"]["EnvironmentVariables"]}
            for command in [each for phase in spec["phases"].values() for each in phase.get("commands", [])]:
                done = self._run(command, place, work, {**variables, "REVISION": revision})
                played.said += done.stdout + done.stderr
                if done.returncode:
                    return played
            if action["OutputArtifacts"]:
                artifacts[action["OutputArtifacts"][0]["Name"]] = place / spec["artifacts"]["base-directory"]
            played.stages.append(stage)
        return played

    def _run(self, command: str, place: Path, work: Path, variables: Mapping[str, str]) -> Any:
        environment = {
            "PATH": f"{self._programs}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(self.folder),
            **variables,
        }
        shell = ["bash", "-c", command.replace("/tmp/tools", f"{work}/tools")]
        return subprocess.run(shell, cwd=place, env=environment, capture_output=True, text=True, check=False)

    def answer(self, call: Call) -> str:
        """What a program prints.

        :raises Failure: where it fails.
        """
        self._state["commands"].append(" ".join([call.name, *call.arguments]))
        match call.name:
            case "aws":
                said = self._aws(call)
                return said if isinstance(said, str) else json.dumps(said)
            case "docker":
                self._docker(call)
            case _:
                self._maven(call)
        return ""

    def _image(self, call: Call) -> str:
        kind, _, value = call.given["--image-ids"].partition("=")
        if kind == "imageDigest":
            return value
        if value not in self._state["images"]:
            raise Failure("An error occurred (ImageNotFoundException): no such image")
        return str(self._state["images"][value])

    def _aws(self, call: Call) -> Any:
        state, given = self._state, call.given
        match call.arguments[:2]:
            case ["s3", "cp"]:
                with zipfile.ZipFile(call.path(call.arguments[-1]), "w") as archive:
                    for file in TOOLS.glob("*.py"):
                        archive.write(file, file.name)
                return ""
            case ["ecr", "get-login-password"]:
                return "password"
            case ["ecr", "describe-images"]:
                return {"imageDetails": [{"imageDigest": self._image(call)}]}
            case ["ecr", "describe-image-scan-findings"]:
                status = state["scans"].pop(0) if len(state["scans"]) > 1 else state["scans"][0]
                if status == "NONE":
                    raise Failure("An error occurred (ScanNotFoundException): not yet")
                found = [{"name": name, "severity": severity} for name, severity in state["findings"].items()]
                scan = {"status": status, "description": ""}
                return {"imageScanStatus": scan, "imageScanFindings": {"findings": found}}
            case ["inspector-scan", "scan-sbom"]:
                found = [
                    {"id": name, "ratings": [{"severity": "none"}, {"severity": severity.lower()}]}
                    for name, severity in state["findings"].items()
                ]
                return {"sbom": {**json.loads(call.path(given["--sbom"]).read_text()), "vulnerabilities": found}}
            case ["ecr", "batch-get-image"]:
                manifest = state["manifests"][self._image(call)]
                media_type = "application/vnd.oci.image.manifest.v1+json"
                return {"images": [{"imageManifest": manifest, "imageManifestMediaType": media_type}]}
            case ["ecr", "put-image"]:
                content = call.path(given["--image-manifest"]).read_bytes()
                missing = {part["digest"] for part in json.loads(content).get("layers", [])} - state["layers"].keys()
                if missing:
                    raise Failure("a registry wants layers before the manifest")
                digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
                state["manifests"][digest] = content.decode()
                state["images"][given["--image-tag"]] = digest
                return {}
            case ["ecr", "initiate-layer-upload"]:
                return {"uploadId": "one"}
            case ["ecr", "upload-layer-part"]:
                part = call.path(given["--layer-part-blob"]).read_bytes()
                if (given["--part-first-byte"], given["--part-last-byte"]) != ("0", str(len(part) - 1)):
                    raise Failure("the part has other bytes than it says")
                state["layers"][f"sha256:{hashlib.sha256(part).hexdigest()}"] = part.decode()
                return {}
            case ["ecr", "complete-layer-upload"]:
                if given["--layer-digests"] not in state["layers"]:
                    raise Failure("the layer has another digest")
                return {}
            case ["kms", "sign"]:
                message = call.path(given["--message"]).read_bytes()
                signature = self._key.sign(message, ec.ECDSA(hashes.SHA256()))
                return {"Signature": base64.b64encode(signature).decode()}
            case ["s3api", "put-object"]:
                return self._put_object(call)
            case ["s3api", "head-object"]:
                there = state["objects"][given["--key"]]
                checksum = base64.b64encode(hashlib.sha256(there["body"].encode("latin1")).digest()).decode()
                return {"Metadata": {"revision": there["revision"]}, "ChecksumSHA256": checksum}
            case ["ssm", "put-parameter"]:
                state["parameters"][given["--name"]] = given["--value"]
                return {}
        raise Failure("the stand-in knows no " + " ".join(call.arguments))

    def _put_object(self, call: Call) -> Any:
        objects, given = self._state["objects"], call.given
        body = call.path(given["--body"]).read_bytes()
        if base64.b64encode(hashlib.sha256(body).digest()).decode() != given["--checksum-sha256"]:
            raise Failure("An error occurred (BadDigest)")
        if given["--if-none-match"] != "*" or given["--key"] in objects:
            raise Failure("An error occurred (PreconditionFailed) when calling the PutObject operation")
        revision = given["--metadata"].removeprefix("revision=")
        objects[given["--key"]] = {"body": body.decode("latin1"), "revision": revision}
        return {}

    def _docker(self, call: Call) -> None:
        state, given, arguments = self._state, call.given, call.arguments
        match arguments[0]:
            case "login":
                state["logins"].append(f"{arguments[-1]} {call.entered.strip()}")
            case "build":
                dockerfile = call.path(given["--file"])
                if not dockerfile.exists():
                    raise Failure(f"no {given['--file']}")
                state["built"] = dockerfile.read_text() + str(arguments)
            case "push":
                manifest = json.dumps({"schemaVersion": 2, "content": state["built"]})
                digest = f"sha256:{hashlib.sha256(manifest.encode()).hexdigest()}"
                state["manifests"][digest] = manifest
                state["images"][arguments[-1].rpartition(":")[2]] = digest
            case "save":
                call.path(given["--output"]).write_text("an image")
            case "run":
                (volume,) = [each for each in arguments if each.startswith("--volume=")]
                folder = call.path(volume.removeprefix("--volume=").partition(":")[0])
                if not (folder / "image.tar").exists():
                    raise Failure("no image to list")
                (folder / "sbom.json").write_text('{"bomFormat": "CycloneDX"}')

    @staticmethod
    def _maven(call: Call) -> None:
        if "package" in call.arguments:
            target = call.path("target")
            target.mkdir(exist_ok=True)
            (target / "features-1.0.jar").write_text("a jar of " + call.path("pom.xml").read_text())
            (target / "original-features-1.0.jar").write_text("a jar without its dependencies")
            (target / "sbom.json").write_text('{"bomFormat": "CycloneDX"}')


class _Server(socketserver.TCPServer):
    world: World


class _Handler(socketserver.StreamRequestHandler):
    """One call of a program: folder, name, what is entered, number of arguments, arguments, each ended by NUL."""

    def handle(self) -> None:
        assert isinstance(self.server, _Server)
        fields = self._fields()
        folder, name, entered, count = (next(fields) for _ in range(4))
        call = Call(Path(folder), name, entered, [next(fields) for _ in range(int(count))])
        try:
            code, said = 0, self.server.world.answer(call)
        except (Failure, KeyError, OSError) as failure:
            code, said = 1, f"{name}: {failure}"
        self.wfile.write(f"{code}\n{said}\n".encode())

    def _fields(self) -> Iterator[str]:
        field = bytearray()
        while byte := self.rfile.read(1):
            if byte == b"\0":
                yield field.decode()
                field.clear()
            else:
                field += byte


_CLIENT = """#!/bin/bash
exec 3<>/dev/tcp/127.0.0.1/{port}
entered=
[[ " $* " == *" --password-stdin "* ]] && IFS= read -r -d "" entered
printf '%s\\0' "$PWD" "${{0##*/}}" "$entered" "$#" "$@" >&3
IFS= read -r code <&3
if [ "$code" = 0 ]; then exec cat <&3; fi
cat <&3 >&2
exit 1
"""


def resources(template: Template) -> dict[str, str]:
    """The type of each resource by its logical id."""
    return {id: resource["Type"] for id, resource in template.to_json()["Resources"].items()}


def _stages(template: Template) -> list[tuple[str, Any, Any]]:
    """Name, action and CodeBuild project of each stage after the source."""
    projects = template.find_resources("AWS::CodeBuild::Project")
    (pipeline,) = template.find_resources("AWS::CodePipeline::Pipeline").values()
    return [
        (stage["Name"], action, projects[action["Configuration"]["ProjectName"]["Ref"]]["Properties"])
        for stage in pipeline["Properties"]["Stages"][1:]
        for action in stage["Actions"]
    ]


def _text(value: Any) -> str:
    """A value of the template as it may be in an account."""
    match value:
        case str():
            return value
        case {"Fn::Join": [delimiter, items]}:
            return str(delimiter).join(map(_text, items))
        case {"Ref": "AWS::URLSuffix"}:
            return "amazonaws.com"
        case {"Ref": name}:
            return str(name).lower()
        case {"Fn::GetAtt": [name, _]}:
            return str(name).lower()
        case {"Fn::Select": [position, {"Fn::Split": [":", {"Fn::GetAtt": [_, "Arn"]}]}]}:
            return ["arn", "aws", "ecr", "eu-west-1", "111111111111"][int(position)]
        case {"Fn::Sub": text}:
            return re.sub(r"\$\{AWS::(\w+)\}", "aws", text)
    raise AssertionError(f"cannot read {value}")

"""Plays a synthesized pipeline on this machine: its stages in order, with stand-ins for ``aws``, ``docker`` and Maven.

The stand-ins keep what they were told in a folder: commands, images by tag, their layers, objects, parameters. Only
signatures are real.
"""

import base64
import json
import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aws_cdk.assertions import Template
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

import mlplatform_constructs

TOOLS = Path(str(mlplatform_constructs.__file__)).parent / "handlers" / "artifact_pipeline"
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


class World:
    """A folder that plays AWS and a machine with Docker."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._programs = folder / "bin"
        self._programs.mkdir(parents=True)
        self.state = folder / "state.json"
        self._key = ec.generate_private_key(ec.SECP256R1())
        secret = self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        self.change(commands=[], images={}, manifests={}, layers={}, findings={}, scans=["COMPLETE"], key=secret)
        self.change(objects={}, parameters={})
        for name in ("aws", "docker", "mvn"):
            program = self._programs / name
            program.write_text(f"#!{sys.executable} -IS\n{_STAND_IN}", encoding="utf-8")
            program.chmod(program.stat().st_mode | stat.S_IXUSR)

    def read(self) -> dict[str, Any]:
        state: dict[str, Any] = json.loads(self.state.read_text(encoding="utf-8"))
        return state

    def change(self, **values: Any) -> None:
        before = self.read() if self.state.exists() else {}
        self.state.write_text(json.dumps({**before, **values}), encoding="utf-8")

    def commands(self, start: str) -> list[str]:
        """Those that ran and begin so."""
        return [command for command in self.read()["commands"] if command.startswith(start)]

    def verify(self, signature: str, content: str) -> None:
        """Check a signature of the key in KMS.

        :raises InvalidSignature: where it is none.
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
            "PATH": f"{self._programs}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(self.folder),
            "STATE": str(self.state),
            "TOOLS": str(TOOLS),
            **variables,
        }
        shell = ["bash", "-c", command.replace("/tmp/tools", f"{work}/tools")]
        return subprocess.run(shell, cwd=place, env=environment, capture_output=True, text=True, check=False)


def resources(template: Template) -> Any:
    """All resources, without the checksums of assets, which every change of a script changes."""
    return json.loads(re.sub(r"[0-9a-f]{64}[.]zip", "asset.zip", json.dumps(template.to_json()["Resources"])))


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


_STAND_IN = """
import base64, hashlib, json, os, sys, zipfile
from pathlib import Path

name, arguments = Path(sys.argv[0]).name, sys.argv[1:]
state = json.loads(Path(os.environ["STATE"]).read_text())
state["commands"].append(" ".join([name, *arguments]))
given = dict(zip(arguments, arguments[1:]))

def save():
    Path(os.environ["STATE"]).write_text(json.dumps(state))

def fail(said):
    save()
    sys.exit(said)

def answer(value):
    save()
    print(value if isinstance(value, str) else json.dumps(value))

def image(selector):
    kind, _, value = given[selector].partition("=")
    if kind == "imageDigest":
        return value
    if value not in state["images"]:
        fail("An error occurred (ImageNotFoundException): no such image")
    return state["images"][value]

def aws(service, verb):
    if (service, verb) == ("s3", "cp"):
        with zipfile.ZipFile(arguments[-1], "w") as archive:
            for file in Path(os.environ["TOOLS"]).glob("*.py"):
                archive.write(file, file.name)
        answer("")
    elif verb == "get-login-password":
        answer("password")
    elif verb == "describe-images":
        answer({"imageDetails": [{"imageDigest": image("--image-ids")}]})
    elif verb == "describe-image-scan-findings":
        status = state["scans"].pop(0) if len(state["scans"]) > 1 else state["scans"][0]
        if status == "NONE":
            fail("An error occurred (ScanNotFoundException): not yet")
        found = [{"name": name, "severity": severity} for name, severity in state["findings"].items()]
        answer({"imageScanStatus": {"status": status, "description": ""}, "imageScanFindings": {"findings": found}})
    elif verb == "scan-sbom":
        bill = json.loads(Path(given["--sbom"].removeprefix("file://")).read_text())
        found = [{"id": name, "ratings": [{"severity": "none"}, {"severity": severity.lower()}]}
                 for name, severity in state["findings"].items()]
        answer({"sbom": {**bill, "vulnerabilities": found}})
    elif verb == "batch-get-image":
        media_type = "application/vnd.oci.image.manifest.v1+json"
        answer({"images": [{"imageManifest": state["manifests"][image("--image-ids")],
                            "imageManifestMediaType": media_type}]})
    elif verb == "put-image":
        manifest = Path(given["--image-manifest"].removeprefix("file://")).read_bytes()
        digest = "sha256:" + hashlib.sha256(manifest).hexdigest()
        for part in json.loads(manifest).get("layers", []):
            assert part["digest"] in state["layers"], "a registry wants layers before the manifest"
        state["manifests"][digest] = manifest.decode()
        state["images"][given["--image-tag"]] = digest
        answer({})
    elif verb == "initiate-layer-upload":
        answer({"uploadId": "one"})
    elif verb == "upload-layer-part":
        part = Path(given["--layer-part-blob"].removeprefix("fileb://")).read_bytes()
        assert (given["--part-first-byte"], given["--part-last-byte"]) == ("0", str(len(part) - 1))
        state["layers"]["sha256:" + hashlib.sha256(part).hexdigest()] = part.decode()
        answer({})
    elif verb == "complete-layer-upload":
        assert given["--layer-digests"] in state["layers"]
        answer({})
    elif (service, verb) == ("kms", "sign"):
        import site
        site.main()  # packages, which the other commands start faster without
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec

        message = Path(given["--message"].removeprefix("fileb://")).read_bytes()
        key = serialization.load_pem_private_key(state["key"].encode(), None)
        answer({"Signature": base64.b64encode(key.sign(message, ec.ECDSA(hashes.SHA256()))).decode()})
    elif verb == "put-object":
        body = Path(given["--body"]).read_bytes()
        if base64.b64encode(hashlib.sha256(body).digest()).decode() != given["--checksum-sha256"]:
            fail("An error occurred (BadDigest)")
        if given["--if-none-match"] != "*" or given["--key"] in state["objects"]:
            fail("An error occurred (PreconditionFailed) when calling the PutObject operation")
        revision = given["--metadata"].removeprefix("revision=")
        state["objects"][given["--key"]] = {"body": body.decode("latin1"), "revision": revision}
        answer({})
    elif verb == "head-object":
        found = state["objects"][given["--key"]]
        checksum = base64.b64encode(hashlib.sha256(found["body"].encode("latin1")).digest()).decode()
        answer({"Metadata": {"revision": found["revision"]}, "ChecksumSHA256": checksum})
    elif verb == "put-parameter":
        state["parameters"][given["--name"]] = given["--value"]
        answer({})
    else:
        fail("the stand-in knows no " + " ".join(arguments))

def docker(verb):
    if verb == "login":
        state.setdefault("logins", []).append(arguments[-1] + " " + sys.stdin.read().strip())
    elif verb == "build":
        if not Path(given["--file"]).exists():
            fail("no " + given["--file"])
        content = Path(given["--file"]).read_text() + str(arguments)
        state["built"] = {"tag": given["--tag"], "content": content}
    elif verb == "push":
        manifest = json.dumps({"schemaVersion": 2, "content": state["built"]["content"]})
        digest = "sha256:" + hashlib.sha256(manifest.encode()).hexdigest()
        state.setdefault("manifests", {})[digest] = manifest
        state["images"][arguments[-1].rpartition(":")[2]] = digest
    elif verb == "save":
        Path(given["--output"]).write_text("an image")
    elif verb == "run":
        (volume,) = [each for each in arguments if each.startswith("--volume=")]
        folder = Path(volume.removeprefix("--volume=").partition(":")[0])
        assert (folder / "image.tar").exists()
        (folder / "sbom.json").write_text('{"bomFormat": "CycloneDX"}')
    save()

def mvn():
    if "package" in arguments:
        Path("target").mkdir(exist_ok=True)
        Path("target/features-1.0.jar").write_text("a jar of " + Path("pom.xml").read_text())
        Path("target/original-features-1.0.jar").write_text("a jar without its dependencies")
        Path("target/sbom.json").write_text('{"bomFormat": "CycloneDX"}')
    save()

{"aws": lambda: aws(*arguments[:2]), "docker": lambda: docker(arguments[0]), "mvn": mvn}[name]()
"""

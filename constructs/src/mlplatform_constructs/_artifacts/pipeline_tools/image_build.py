"""Builds an image, or takes the one that its revision has already, and lists what is in it."""

from __future__ import annotations

import json
import os
from pathlib import Path

from .commands import Stop, main, run, setting, show
from .images import digest_of
from .versions import revision_tag, version_of

OUTPUT = Path("release")


def build() -> None:
    """Write ``release/image.json`` and ``release/sbom.json``; the image is in its repository, under its revision."""
    uri, revision, tool = setting("REPOSITORY_URI"), setting("REVISION"), setting("SBOM_IMAGE")
    host, _, name = uri.partition("/")
    candidate = revision_tag(revision)
    version = version_of(Path(), revision)
    OUTPUT.mkdir()
    for registry in {host, tool.partition("/")[0], *json.loads(setting("BASE_REGISTRIES"))}:
        _log_in(registry)
    built = digest_of(name, candidate) is not None  # a revision is built once
    if built:
        show("docker", "pull", f"{uri}:{candidate}")
    else:
        _build(f"{uri}:{candidate}", revision, version)
    _list_contents(f"{uri}:{candidate}", tool)
    if not built:
        show("docker", "push", f"{uri}:{candidate}")
    digest = digest_of(name, candidate)
    if not digest:
        raise Stop(f"{uri}:{candidate}: does not exist after the push; run the pipeline again")
    image = {"repository": uri, "digest": digest, "reference": f"{uri}@{digest}", "version": version}
    (OUTPUT / "image.json").write_text(json.dumps({**image, "revision": revision}, indent=2), encoding="utf-8")
    print(f"built {version} from {revision}: {uri}@{digest}")


def _log_in(registry: str) -> None:
    region = registry.split(".")[3]  # 012345678901.dkr.ecr.eu-west-1.amazonaws.com
    password = run("aws", "ecr", "get-login-password", "--region", region)
    run("docker", "login", "--username", "AWS", "--password-stdin", registry, given=password)


def _build(image: str, revision: str, version: str) -> None:
    labels = {"org.opencontainers.image.revision": revision, "org.opencontainers.image.version": version}
    arguments = [f"--build-arg={name}={value}" for name, value in json.loads(setting("BUILD_ARGUMENTS")).items()]
    arguments += [f"--label={name}={value}" for name, value in labels.items()]
    os.environ["BUILDX_NO_DEFAULT_ATTESTATIONS"] = "1"  # an index of image and attestation would not be scanned
    show("docker", "build", *arguments, "--file", setting("DOCKERFILE"), "--tag", image, setting("CONTEXT"))


def _list_contents(image: str, tool: str) -> None:
    """The bill of materials, by a tool that sees the image and no network."""
    folder = OUTPUT.resolve()
    archive = folder / "image.tar"
    show("docker", "save", "--output", str(archive), image)
    isolated = [
        "--rm",
        "--env=SYFT_CHECK_FOR_APP_UPDATE=false",
        "--network=none",
        "--cap-drop=ALL",
        "--security-opt=no-new-privileges",
    ]
    mounted = f"--volume={folder}:/release"
    wanted = ["scan", "docker-archive:/release/image.tar", "--output", "cyclonedx-json=/release/sbom.json"]
    show("docker", "run", *isolated, "--user=0", mounted, tool, *wanted)
    archive.unlink()
    json.loads((folder / "sbom.json").read_text(encoding="utf-8"))


if __name__ == "__main__":
    main(build)

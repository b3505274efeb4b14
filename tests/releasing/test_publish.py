"""Publishing, against a real index on loopback."""

import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from delivery.errors import DeliveryError
from releasing import publish as publishing
from releasing import wheels
from releasing.package_index import PackageIndex
from releasing.publish import main, publish, releases
from tests.releasing.clean_environment import CleanEnvironment
from tests.releasing.local_index import TOKEN, USER, LocalIndex, local_index

SETTINGS = """
[build-system]
requires = ["hatchling==1.33.0"]
build-backend = "hatchling.build"
[project]
name = "acme-forecasts"
version = "{version}"
requires-python = ">=3.11"
description = "A package for tests."
readme = "README.md"
[tool.hatch.build.targets.wheel]
include = ["acme_forecasts.py"]
"""


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders with one release each: the first, the same number with other content, and the next."""
    return {
        name: build(tmp_path_factory.mktemp(name), version, content)
        for name, version, content in (("first", "1.0.0", 1), ("changed", "1.0.0", 2), ("next", "1.1.0", 2))
    }


def build(folder: Path, version: str, content: int) -> Path:
    project = folder / "project"
    project.mkdir()
    (project / "pyproject.toml").write_text(SETTINGS.format(version=version))
    (project / "README.md").write_text("# A package for tests\n")
    (project / "acme_forecasts.py").write_text(f"ANSWER = {content}\n")
    wheels.build(folder / "dist", root=folder, distributions=["project"])
    return folder / "dist"


@pytest.fixture
def index(tmp_path: Path) -> Iterator[LocalIndex]:
    (tmp_path / "index").mkdir()
    with local_index(tmp_path / "index") as running:
        yield running


@pytest.fixture
def opened(index: LocalIndex) -> PackageIndex:
    return PackageIndex.at(index.url, {"TWINE_USERNAME": USER, "TWINE_PASSWORD": TOKEN})


def test_a_version_is_published_and_can_be_installed(
    built: dict[str, Path], index: LocalIndex, opened: PackageIndex, tmp_path: Path
) -> None:
    assert publish(releases(built["first"]), opened) == ["acme-forecasts 1.0.0: published"]
    assert index.names == {"acme_forecasts-1.0.0-py3-none-any.whl", "acme_forecasts-1.0.0.tar.gz"}
    environment = CleanEnvironment(tmp_path / "venv")
    address = index.url.replace("//", f"//{USER}:{TOKEN}@")
    environment.install("--no-cache-dir", f"--index-url={address}/simple/", "acme-forecasts==1.0.0")
    assert environment.run("-c", "import acme_forecasts; print(acme_forecasts.ANSWER)").stdout == "1\n"


def test_a_second_time_nothing_is_sent(
    built: dict[str, Path], opened: PackageIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(releases(built["first"]), opened)
    monkeypatch.setattr(PackageIndex, "upload", lambda *_: pytest.fail("sent again"))
    assert publish(releases(built["first"]), opened) == ["acme-forecasts 1.0.0: already published"]


def test_a_version_never_gets_other_content(built: dict[str, Path], index: LocalIndex, opened: PackageIndex) -> None:
    publish(releases(built["first"]), opened)
    before = {path.name: path.read_bytes() for path in index.folder.iterdir()}
    with pytest.raises(DeliveryError) as refusal:
        publish(releases(built["changed"]), opened)
    assert str(refusal.value).splitlines() == [
        f"acme-forecasts 1.0.0: {name} is already there with other content; raise the version"
        for name in sorted(before)
    ]
    assert {path.name: path.read_bytes() for path in index.folder.iterdir()} == before


def test_the_next_version_is_published_in_addition(
    built: dict[str, Path], index: LocalIndex, opened: PackageIndex
) -> None:
    publish(releases(built["first"]), opened)
    assert publish(releases(built["next"]), opened) == ["acme-forecasts 1.1.0: published"]
    assert len(index.names) == 4


def test_a_half_that_is_there_is_completed(built: dict[str, Path], index: LocalIndex, opened: PackageIndex) -> None:
    (archive,) = built["first"].glob("*.tar.gz")
    shutil.copy(archive, index.folder)
    assert publish(releases(built["first"]), opened) == ["acme-forecasts 1.0.0: published"]
    assert len(index.names) == 2


def test_one_version_with_other_content_holds_back_all_others(
    built: dict[str, Path], index: LocalIndex, opened: PackageIndex
) -> None:
    publish(releases(built["first"]), opened)
    before = index.names
    with pytest.raises(DeliveryError, match="1.0.0: .* other content; raise the version"):
        publish([*releases(built["next"]), *releases(built["changed"])], opened)
    assert index.names == before


def test_an_index_without_our_kind_of_checksum_is_asked_for_the_files(built: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "index").mkdir()
    with local_index(tmp_path / "index", hash_algo="md5") as running:
        opened = PackageIndex.at(running.url, {"TWINE_USERNAME": USER, "TWINE_PASSWORD": TOKEN})
        publish(releases(built["first"]), opened)
        assert publish(releases(built["first"]), opened) == ["acme-forecasts 1.0.0: already published"]
        with pytest.raises(DeliveryError, match="other content; raise the version"):
            publish(releases(built["changed"]), opened)


def test_the_token_authenticates_and_is_on_no_command_line(
    built: dict[str, Path],
    index: LocalIndex,
    opened: PackageIndex,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    commands: list[list[str]] = []
    run = subprocess.run

    def recorded(command: list[str], **how: Any) -> subprocess.CompletedProcess[str]:
        commands.append(command)
        return run(command, **how)

    monkeypatch.setattr(subprocess, "run", recorded)
    publish(releases(built["first"]), opened)
    assert set(index.opened) == {(USER, TOKEN)}
    assert any("upload" in command for command in commands)
    assert TOKEN not in str(commands)
    assert TOKEN not in repr(opened)
    assert TOKEN not in "".join(capfd.readouterr())


def test_a_refused_upload_is_reported_with_the_message_of_the_index_without_the_token(
    built: dict[str, Path], index: LocalIndex
) -> None:
    stranger = PackageIndex(f"{index.url}/", f"{index.url}/simple/", USER, "wrong-token")
    with pytest.raises(DeliveryError, match="403|401") as refusal:
        stranger.upload(releases(built["first"])[0].files)
    assert "wrong-token" not in str(refusal.value)
    with pytest.raises(DeliveryError, match="/simple/acme-forecasts/: 40[13] .*; check the address and who may read"):
        publish(releases(built["first"]), stranger)
    assert not index.names


def test_an_index_that_shows_nothing_is_not_believed(
    built: dict[str, Path], opened: PackageIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PackageIndex, "upload", lambda *_: None)
    with pytest.raises(DeliveryError, match=r"acme-forecasts 1.0.0: sent, but .* shows \[\]; look there"):
        publish(releases(built["first"]), opened, arrival_seconds=0)


def test_code_artifact_is_opened_for_fifteen_minutes() -> None:
    session, stubber = stubbed()
    stubber.add_response(
        "get_repository_endpoint",
        {"repositoryEndpoint": "https://acme.example/pypi/python/"},
        {"domain": "acme", "domainOwner": "111111111111", "repository": "python", "format": "pypi"},
    )
    stubber.add_response(
        "get_authorization_token",
        {"authorizationToken": TOKEN},
        {"domain": "acme", "domainOwner": "111111111111", "durationSeconds": 900},
    )
    with stubber:
        index = PackageIndex.code_artifact(domain="acme", repository="python", owner="111111111111", session=session)
    expected = ("https://acme.example/pypi/python/", "https://acme.example/pypi/python/simple/", "aws", TOKEN)
    assert (index.url, index.simple_url, index.username, index.password) == expected


def test_what_aws_refuses_is_reported_with_a_fix() -> None:
    session, stubber = stubbed()
    stubber.add_client_error("get_repository_endpoint", "ResourceNotFoundException", "Domain not found")
    with stubber, pytest.raises(DeliveryError, match="acme/python: .*Domain not found; deploy the stack Packages"):
        PackageIndex.code_artifact(domain="acme", repository="python", session=session)


def test_a_missing_region_is_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    with pytest.raises(DeliveryError, match="acme/python: in no region; name it by --region or AWS_DEFAULT_REGION"):
        PackageIndex.code_artifact(domain="acme", repository="python")


def stubbed() -> tuple[Any, Stubber]:
    real = boto3.Session(aws_access_key_id="none", aws_secret_access_key="none", region_name="eu-west-1")
    client = real.client("codeartifact")

    class Session:
        def client(self, service: str, region_name: str | None = None) -> Any:
            assert service == "codeartifact"
            return client

    return Session(), Stubber(client)


@pytest.mark.parametrize(
    ("names", "refusal"),
    [
        ([], "no packages; `make wheel` builds them"),
        (["notes.txt"], "notes.txt: neither a wheel nor a source archive; remove it"),
        (["acme_forecasts-1.0.0-py3-none-any.whl"], "acme-forecasts 1.0.0 needs one wheel and one source archive"),
        (["acme_forecasts-1.0.0.dev1.tar.gz"], "version 1.0.0.dev1 is for development; publish .* such as 1.0.0"),
        (["acme_forecasts-1.0.0+mine.tar.gz"], r"version 1.0.0\+mine is for development"),
    ],
)
def test_refuses_what_is_not_ready(tmp_path: Path, names: list[str], refusal: str) -> None:
    for name in names:
        (tmp_path / name).touch()
    with pytest.raises(DeliveryError, match=refusal):
        releases(tmp_path)


def test_refuses_what_an_index_would_refuse(built: dict[str, Path], tmp_path: Path) -> None:
    folder = shutil.copytree(built["first"], tmp_path / "dist")
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("acme_forecasts.py", "")
    with pytest.raises(DeliveryError, match=f"{folder}: not fit for an index\n.*"):
        releases(folder)


def test_the_command_publishes_and_says_so(
    built: dict[str, Path], index: LocalIndex, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TWINE_USERNAME", USER)
    monkeypatch.setenv("TWINE_PASSWORD", TOKEN)
    arguments = ["--repository-url", index.url]
    assert main([str(built["first"]), *arguments]) == 0
    assert main([str(built["first"]), *arguments]) == 0
    assert main([str(built["changed"]), *arguments]) == 1
    told = capsys.readouterr()
    assert told.out == "acme-forecasts 1.0.0: published\nacme-forecasts 1.0.0: already published\n"
    assert "raise the version" in told.err


def test_the_command_wants_one_index(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ([], ["--domain", "acme"], ["--domain", "a", "--repository", "b", "--repository-url", "c"]):
        with pytest.raises(SystemExit) as end:
            main([str(tmp_path), *arguments])
        assert end.value.code == 2
    assert "name --domain and --repository, or --repository-url" in capsys.readouterr().err


def test_no_token_is_asked_for_a_folder_that_is_not_ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publishing.PackageIndex, "code_artifact", lambda **_: pytest.fail("asked"))
    assert main([str(tmp_path), "--domain", "acme", "--repository", "python"]) == 1

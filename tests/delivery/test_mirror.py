"""What the mirror decides, with stand-ins for registries and for the program that asks them."""

import base64
import json
import stat
from pathlib import Path
from typing import Any

import pytest

from charts.catalog import Catalog
from charts.kit.release import FILE, Release
from config.image_registries import EcrRegistry, image_registries
from config.loader import load_accounts
from delivery.mirror import __main__ as command
from delivery.mirror import crane as crane_module
from delivery.mirror import retries
from delivery.mirror.chart_layout import write_layout
from delivery.mirror.chart_repository import ChartRepository
from delivery.mirror.crane import Crane, built
from delivery.mirror.credentials import write_credentials
from delivery.mirror.errors import MirrorError, TransientError
from delivery.mirror.mirror import bring, differences
from delivery.mirror.record import record
from tests.delivery.chart_archives import chart_archive, served

ONE, TWO = f"sha256:{'1' * 64}", f"sha256:{'2' * 64}"
ECR = "012345678901.dkr.ecr.eu-west-1.amazonaws.com"


class StandIn:
    """An image with these digests: in its list, upstream, in the mirror, and in the mirror after a copy."""

    listed_in, name, tag, path = "charts/area/app/release.toml", "images.app", "1", "r.io/app"

    def __init__(
        self, *, recorded: str | None = None, source: str | None = ONE, held: str | None = None, arrives: str = ONE
    ) -> None:
        self.recorded, self._source, self.held, self._arrives = recorded, source, held, arrives
        self.lost: list[str] = []
        self.copies: list[str] = []
        self.refusals: list[Exception] = []
        self.file = Path()

    def upstream(self) -> str | None:
        return self._source

    def mirrored(self, registry: str) -> str | None:
        return self.held

    def copy(self, registry: str, digest: str) -> None:
        if self.refusals:
            raise self.refusals.pop(0)
        self.copies.append(digest)
        self.held = self._arrives

    def missing_parts(self, registry: str) -> list[str]:
        return self.lost


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that were made, in seconds; none takes time."""
    found: list[float] = []
    monkeypatch.setattr(retries.time, "sleep", found.append)
    return found


def program(folder: Path, script: str) -> Crane:
    path = folder / "crane"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return Crane(path, credentials=folder)


def test_what_is_not_in_the_mirror_is_copied_by_its_digest() -> None:
    image = StandIn(recorded=ONE)
    assert bring(image, "mirror") == "copied"
    assert image.copies == [ONE]


@pytest.mark.parametrize("recorded", [ONE, None])
def test_what_is_in_the_mirror_is_not_copied(recorded: str | None) -> None:
    image = StandIn(recorded=recorded, held=ONE)
    assert bring(image, "mirror") == "there"
    assert image.copies == []


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (StandIn(recorded=ONE, source=TWO), "upstream moved the tag 1: recorded is .*1, upstream has .*2; ask the"),
        (StandIn(source=TWO, held=ONE), "upstream moved the tag 1: the mirror has .*1, upstream has .*2"),
        (
            StandIn(recorded=ONE, held=TWO),
            "mirror/r.io/app:1: has digest .*2, charts/area/app/release.toml records .*1; tags in the",
        ),
        (StandIn(source=None), r"release.toml: \[images.app\]: 1 does not exist upstream"),
    ],
)
def test_a_tag_that_means_two_things_stops_before_anything_is_copied(image: StandIn, said: str) -> None:
    with pytest.raises(MirrorError, match=said):
        bring(image, "mirror")
    assert image.copies == []


def test_what_arrives_with_another_digest_is_reported() -> None:
    with pytest.raises(MirrorError, match=f"mirror/r.io/app:1: has digest {TWO} after a copy of {ONE}; delete it"):
        bring(StandIn(arrives=TWO), "mirror")


def test_what_arrives_in_part_is_reported() -> None:
    image = StandIn()
    image.lost = [TWO]
    with pytest.raises(
        MirrorError, match=f"mirror/r.io/app:1: incomplete, without {TWO}; delete it there and run again"
    ):
        bring(image, "mirror")


def test_throttled_requests_are_retried_with_increasing_delays(waits: list[float]) -> None:
    image = StandIn()
    image.refusals = [TransientError("429"), TransientError("503"), TransientError("429")]
    assert bring(image, "mirror") == "copied"
    assert [round(wait / 5) for wait in waits] in ([1, 2, 3], [1, 2, 4], [1, 2, 5])


def test_retries_end(waits: list[float]) -> None:
    image = StandIn()
    image.refusals = [TransientError(f"429, the {count}.") for count in range(retries.ATTEMPTS)]
    with pytest.raises(TransientError, match=f"429, the {retries.ATTEMPTS - 1}"):
        bring(image, "mirror")
    assert len(waits) == retries.ATTEMPTS - 1


def test_a_permanent_error_is_not_retried(waits: list[float]) -> None:
    image = StandIn()
    image.refusals = [MirrorError("denied")]
    with pytest.raises(MirrorError, match="denied"):
        bring(image, "mirror")
    assert waits == []


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (StandIn(recorded=ONE, held=ONE), []),
        (StandIn(recorded=ONE, held=None), ["does not exist; run without --check"]),
        (StandIn(recorded=ONE, held=TWO), [f"has digest {TWO}, expected {ONE}"]),
        (StandIn(recorded=ONE, source=TWO, held=ONE), ["upstream moved the tag"]),
        (StandIn(held=ONE), ["no digest recorded; run with --record"]),
        (StandIn(source=None, held=TWO), ["no digest recorded", "does not exist upstream"]),
    ],
)
def test_differences_are_told_and_nothing_is_changed(image: StandIn, said: list[str]) -> None:
    lines = list(differences(image, "mirror"))
    assert len(lines) == len(said)
    assert all(words in line for words, line in zip(said, lines, strict=True))
    assert image.copies == []


def test_without_a_mirror_the_list_is_compared_with_upstream() -> None:
    assert list(differences(StandIn(recorded=ONE, held=TWO), None)) == []


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("Error: GET https://r.io/v2/: TOOMANYREQUESTS: You have reached your pull rate limit", TransientError),
        ("Error: HEAD https://r.io/v2/a: unexpected status code 429 Too Many Requests", TransientError),
        ("Error: PUT https://r.io/v2/a: unexpected status code 503 Service Unavailable", TransientError),
        ("Error: Get https://r.io/v2/: dial tcp 10.0.0.1:443: i/o timeout", TransientError),
        ("Error: POST https://r.io/v2/a/blobs/uploads/: DENIED: not authorized", MirrorError),
    ],
)
def test_transient_errors_are_distinguished_from_permanent_ones(tmp_path: Path, said: str, kind: type) -> None:
    with pytest.raises(MirrorError) as caught:
        program(tmp_path, f"echo '{said}' >&2; exit 1").copy("r.io/a@1", "mirror/a:1")
    assert type(caught.value) is kind
    assert str(caught.value) == f"crane copy mirror/a:1: {said}"


def test_a_repository_that_does_not_exist_is_reported_with_what_to_do(tmp_path: Path) -> None:
    client = program(tmp_path, "echo 'Error: NAME_UNKNOWN: The repository does not exist in the registry' >&2; exit 1")
    with pytest.raises(MirrorError, match="NAME_UNKNOWN: The repository .*; create the repository first$"):
        client.copy("r.io/a@1", "mirror/a:1")


@pytest.mark.parametrize("said", ["MANIFEST_UNKNOWN: Requested image not found", "NAME_UNKNOWN: repository unknown"])
def test_an_absent_image_has_no_digest(tmp_path: Path, said: str) -> None:
    assert program(tmp_path, f"echo 'Error: {said}' >&2; exit 1").digest("r.io/a:1") is None


def test_without_go_the_command_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crane_module.shutil, "which", lambda _: None)
    with pytest.raises(MirrorError, match="Go is not installed; install Go, or pass an executable with --crane"):
        built(tmp_path)


@pytest.mark.promise("pinned-images")
def test_digests_are_recorded_next_to_versions_and_nothing_else_changes(tmp_path: Path) -> None:
    path = tmp_path / FILE
    text = '# A comment.\n\n[images.a]\nimage = "r.io/a"  # ours\ntag = "1"\n\n[charts.b]\nrepository = "https://b"\n'
    path.write_text(text)
    assert record(path, {"images.a": ONE, "charts.b": TWO}) == ["images.a", "charts.b"]
    assert path.read_text() == text.replace('"1"\n', f'"1"\ndigest = "{ONE}"\n').replace(
        '"https://b"\n', f'"https://b"\ndigest = "{TWO}"\n'
    )
    assert record(path, {"images.a": ONE, "charts.b": TWO}) == []


def test_every_entry_of_every_component_takes_a_digest(tmp_path: Path) -> None:
    path = tmp_path / FILE
    for component in Catalog.load().components.values():
        original = (component.folder / FILE).read_text(encoding="utf-8")
        path.write_text("\n".join(line for line in original.splitlines() if not line.startswith("digest")))
        names = [f"images.{image.name}" for image in component.release.images]
        record(path, dict.fromkeys([*names, *(f"charts.{chart.name}" for chart in component.release.charts)], ONE))
        written = Release.load(path)
        assert {entry.digest for entry in (*written.images, *written.charts)} <= {ONE}, component.name


class Tokens:
    """A client of ECR that hands out one token, and remembers for which region it was asked."""

    def __init__(self) -> None:
        self.regions: list[str] = []

    def __call__(self, service: str, region: str) -> "Tokens":
        assert service == "ecr"
        self.regions.append(region)
        return self

    def get_authorization_token(self) -> dict[str, Any]:
        token = base64.b64encode(b"AWS:password").decode()
        return {"authorizationData": [{"authorizationToken": token}]}


def test_ecr_is_logged_in_to_once_a_region_and_other_logins_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    kept = {"auths": {"docker.io": {"auth": "bWU6bXk="}}, "credHelpers": {ECR: "ecr-login", "r.io": "pass"}}
    (mine / "config.json").write_text(json.dumps(kept))
    monkeypatch.setenv("DOCKER_CONFIG", str(mine))
    target, tokens = tmp_path / "target", Tokens()
    target.mkdir()
    write_credentials(target, [f"{ECR}/mirror", f"{ECR}/other", "harbor.example.com/mirror"], client=tokens)
    written = json.loads((target / "config.json").read_text())
    assert base64.b64decode(written["auths"][ECR]["auth"]) == b"AWS:password"
    assert written["auths"]["docker.io"] == {"auth": "bWU6bXk="}
    assert written["credHelpers"] == {"r.io": "pass"}
    assert tokens.regions == ["eu-west-1"]
    assert stat.S_IMODE((target / "config.json").stat().st_mode) == 0o600


def test_an_address_of_ecr_is_read() -> None:
    registry = EcrRegistry.parse(f"{ECR}/team/mirror")
    assert registry == EcrRegistry(ECR, "012345678901", "eu-west-1", "team/mirror")
    assert registry.repository("docker.io/a") == "team/mirror/docker.io/a"
    assert EcrRegistry.parse("harbor.example.com/mirror") is None


def test_each_registry_knows_the_accounts_that_take_images_from_it(tmp_path: Path) -> None:
    zones = '[network]\ncidr = "10.0.0.0/16"\navailability_zones = ["eu-west-1a", "eu-west-1b"]\n'
    for name, account in (("one", "1" * 12), ("two", "2" * 12), ("three", "3" * 12)):
        registry = f'image_registry = "{ECR}/mirror"\n' if name != "three" else ""
        (tmp_path / f"{name}.toml").write_text(f'account = "{account}"\nregion = "eu-west-1"\n{registry}{zones}')
    assert image_registries(load_accounts(folder=tmp_path)) == {f"{ECR}/mirror": ("1" * 12, "2" * 12)}


def test_an_archive_that_is_not_what_its_repository_lists_is_refused() -> None:
    with (
        served({"a": chart_archive("a", "1.0.0")}, listed={"a": ONE}) as (url, _),
        pytest.raises(MirrorError, match=f"a.tgz: has digest sha256:.*, expected {ONE}; do not use it"),
    ):
        ChartRepository(url).download("a", "1.0.0", ONE)


def test_a_chart_that_is_not_listed_does_not_exist() -> None:
    with served({"a": chart_archive("a", "1.0.0")}) as (url, _):
        assert ChartRepository(url).find("a", "1.0.1") is None
        assert ChartRepository(url).find("b", "1.0.0") is None


def test_an_archive_without_a_chart_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MirrorError, match="archive of a chart: cannot be read"):
        write_layout(tmp_path, b"not an archive")


def test_an_artifact_is_the_same_bytes_each_time(tmp_path: Path) -> None:
    archive = chart_archive("a", "1.0.0")
    first, second = (write_layout(tmp_path / name, archive) / "index.json" for name in ("one", "two"))
    assert first.read_bytes() == second.read_bytes()


def test_the_command_has_nothing_to_do_where_no_account_names_a_registry(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "load_accounts", dict)
    assert command.main([]) == 0
    assert "no account file names an image_registry; nothing to do" in capsys.readouterr().out


@pytest.fixture
def listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """The one entry of lists that the command reads and writes."""
    entry = StandIn()
    folder = tmp_path / "area" / "app"
    folder.mkdir(parents=True)
    text = 'source = "s"\nlicence = "MIT"\n[images.app]\nimage = "r.io/app"\ntag = "1"\n'
    (folder / FILE).write_text(text)
    monkeypatch.setattr(command.Catalog, "load", lambda: Catalog([Catalog._component(tmp_path, folder / FILE)]))
    entry.file = folder / FILE
    monkeypatch.setattr(command, "_items", lambda crane: [entry])
    monkeypatch.setattr(command, "load_accounts", dict)
    return entry


def run(*arguments: str) -> int:
    return command.main([*arguments, "--crane", "crane"])


def test_the_command_records_once(listed: StandIn, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--record") == 0
    assert capsys.readouterr().out == f"charts/area/app/release.toml: [images.app]: {ONE}\n"
    assert f'tag = "1"\ndigest = "{ONE}"' in listed.file.read_text()
    assert listed.copies == []


def test_the_command_records_nothing_that_moved(listed: StandIn, capsys: pytest.CaptureFixture[str]) -> None:
    listed.recorded, listed._source = ONE, TWO
    before = listed.file.read_text()
    assert run("--record") == 1
    assert "upstream moved the tag 1" in capsys.readouterr().err
    assert listed.file.read_text() == before


def test_the_command_checks_and_then_fills_a_registry(listed: StandIn, capsys: pytest.CaptureFixture[str]) -> None:
    listed.recorded = ONE
    assert run("--check", "--registry", "harbor.example.com/m") == 1
    assert capsys.readouterr().err == "harbor.example.com/m/r.io/app:1: does not exist; run without --check\n"
    assert run("--registry", "harbor.example.com/m") == 0
    assert capsys.readouterr().out == "harbor.example.com/m/r.io/app:1: copied\n"
    assert run("--check", "--registry", "harbor.example.com/m") == 0


def test_the_command_goes_on_after_a_mistake(
    listed: StandIn, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = StandIn(source=None)
    monkeypatch.setattr(command, "_items", lambda crane: [gone, listed])
    assert run("--registry", "harbor.example.com/m") == 1
    told = capsys.readouterr()
    assert "does not exist upstream" in told.err
    assert "copied; its digest is not recorded, run with --record" in told.out

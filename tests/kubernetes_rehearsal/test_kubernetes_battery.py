"""The same valid and invalid objects for the stand-in and for kube-apiserver, which must respond identically."""

from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from kubernetes_rehearsal.standin import rules
from tests.kubernetes_rehearsal.kubernetes_apis import APIS, FOLDER, Programs, accepted, cluster

CASES: list[dict[str, Any]] = yaml.safe_load((FOLDER / "kubernetes_battery.yaml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module", params=APIS)
def programs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Programs]:
    with cluster(request.param) as access:
        yield Programs(access, tmp_path_factory.mktemp("battery"))


def test_valid_objects_are_accepted_and_invalid_ones_refused_with_the_same_message(
    programs: Programs, subtests: pytest.Subtests
) -> None:
    good = accepted()
    definitions = [one for one in good if one["kind"] == "CustomResourceDefinition"]
    for objects in ([one for one in good if one["kind"] != "Run"], [one for one in good if one["kind"] == "Run"]):
        said = programs.kubectl("apply", given=objects)
        assert said.status == 0, said.text
        waited = programs.kubectl("wait", "--for=condition=Established", "--timeout=30s", given=definitions)
        assert waited.status == 0, waited.text
    for case in CASES:
        with subtests.test(case["case"]):
            _check(case, programs)


def _check(case: dict[str, Any], programs: Programs) -> None:
    if "after" in case:
        before = programs.kubectl("apply", given=[case["after"]])
        assert before.status == 0, before.text
    said = programs.kubectl(*case.get("with", "apply").split(), given=[case["manifest"]])
    if "refused" in case:
        assert said.status != 0, f"accepted: {said.text}"
        assert case["refused"] in said.text
    else:
        assert said.status == 0, said.text


def test_every_case_is_distinguished_by_its_name() -> None:
    names = [case["case"] for case in CASES]
    assert sorted(set(names)) == sorted(names)


def test_cases_have_no_misspelt_parts() -> None:
    known = {"case", "manifest", "after", "with", "refused"}
    assert not [case["case"] for case in CASES if not {"case", "manifest"} <= case.keys() <= known]


def test_the_accepted_objects_are_of_every_kind_with_rules() -> None:
    assert rules.kinds() <= {one["kind"] for one in accepted()}

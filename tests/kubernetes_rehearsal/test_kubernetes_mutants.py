"""The stand-in responds to thousands of broken objects like kube-apiserver, except for listed differences."""

import os
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from kubernetes_rehearsal.standin.cluster import Cluster
from kubernetes_rehearsal.standin.errors import ApiError
from kubernetes_rehearsal.standin.kinds import ResourceType
from kubernetes_rehearsal.standin.options import Options
from tests.kubernetes_rehearsal.kubernetes_apis import MINOR, accepted, client, cluster, needs_kube_apiserver
from tests.kubernetes_rehearsal.kubernetes_mutants import (
    ACCEPTED,
    RECORD,
    Object,
    ask,
    changes,
    create,
    creations,
    title,
    verdict,
)

RECORDED: dict[str, str] = yaml.safe_load(RECORD.read_text(encoding="utf-8"))
EVERY = 1 if os.environ.get("KUBERNETES_MUTANTS") == "all" else 7  # one in so many, unless all are asked for
SCHEMA = "spec.versions.0.schema.openAPIV3Schema.properties.spec.properties"
# What the stand-in does not do as the server does, and why.
KNOWN = {
    "spec.failurePolicy as ''": "an empty text is read as none",
    f"{SCHEMA}.model.maxLength as 3000000000": "the cost of validation rules is not estimated",
    f"{SCHEMA}.workers.minimum as 1.5": "the server rounds a bound of whole numbers before it compares the default",
    **{
        f"spec.{part}.0.expression as {text!r}": "expressions of admission policies are not compiled"
        for part in ("validations", "variables")
        for text in ("Not Valid!", "-x")
    },
    "spec.deadline as ['a']": "the server lets a list pass where a text may be null",
    "spec.ports with its first item twice": "the server fails on its node ports before it checks the object",
    "spec.resources.requests.storage as 7": "a claim shrinks as long as nothing has reported its size",
}


def _sample(found: Object) -> Iterator[tuple[str, Object, str]]:
    """Mutants with the recorded verdict."""
    both = [*creations(found), *changes(found)]
    assert len(both) == len(RECORDED[title(found)]), f"{title(found)}: record anew, see kubernetes_mutants.py"
    for number, ((what, mutant), letter) in enumerate(zip(both, RECORDED[title(found)], strict=True)):
        if number % EVERY == len(title(found)) % EVERY and what.partition(": ")[2] not in KNOWN:
            yield what, mutant, letter


@pytest.fixture(scope="module")
def stand_in() -> Cluster:
    """A cluster with every accepted object."""
    made = Cluster(MINOR)
    for found in accepted():
        made.create(_type(made, found), found["metadata"].get("namespace", ""), found, Options(strict=True))
    return made


@pytest.mark.parametrize("found", accepted(), ids=title)
def test_the_stand_in_gives_the_recorded_verdict(stand_in: Cluster, found: Object) -> None:
    differences = []
    for what, mutant, letter in _sample(found):
        said, why = _ask(stand_in, found, what, mutant)
        if said != letter:
            differences.append(f"{what}: kube-apiserver {letter}, stand-in {said} {why}")
    assert differences == []


@needs_kube_apiserver
def test_kube_apiserver_still_gives_the_recorded_verdicts() -> None:
    differences = []
    with cluster("kube-apiserver") as access:
        asked = client(access)
        for found in accepted():
            create(asked, found)
            for what, mutant, letter in _sample(found):
                said = ask(asked, found, what, mutant)
                if said != letter:
                    differences.append(f"{title(found)}: {what}: recorded {letter}, now {said}")
    assert differences == []


def test_most_of_the_record_is_refusals() -> None:
    verdicts = "".join(RECORDED.values())
    assert len(verdicts) > 14_000
    assert verdicts.count(ACCEPTED) < len(verdicts) / 3


def _ask(asked: Cluster, found: Object, what: str, mutant: Any) -> tuple[str, str]:
    kind, namespace = _type(asked, found), found["metadata"].get("namespace", "")
    options = Options(strict=True, dry_run=True)
    try:
        if what.startswith("created"):
            asked.create(kind, namespace, mutant, options)
        else:
            asked.update(kind, namespace, found["metadata"]["name"], mutant, options)
    except ApiError as error:
        return verdict(error.reason), error.message[:200]
    return ACCEPTED, ""


def _type(asked: Cluster, found: Object) -> ResourceType:
    return next(kind for kind in asked.types if (kind.api_version, kind.kind) == (found["apiVersion"], found["kind"]))

"""Judges stages of deployment pipelines: where their source is from, and where they wait for a person."""

from collections.abc import Iterator
from typing import Any

from delivery.gate.findings import Finding, Verdict, finding
from delivery.gate.templates import Resource, Side
from delivery.gate.values import text_of

_PIPELINE = "AWS::CodePipeline::Pipeline"
_BRANCH = "BranchName"


def judge(before: Side, after: Side) -> Iterator[Finding]:
    """A finding for each approval that no stage waits for any more, and for each source that is another one.

    https://docs.aws.amazon.com/codepipeline/latest/userguide/approvals.html
    """
    for new in (one for one in after.resources() if one.type == _PIPELINE and one.key in before.by_key):
        old = before.by_key[new.key]
        for name in sorted(_approvals(old) - _approvals(new)):
            if name.partition("/")[0] in _stages(new):
                why = "the stage no longer waits for a person"
                yield finding(new, Verdict.WIDENING, f"{name}: approval removed", why, stops=True)
        sources = _sources(old)
        for name, source in _sources(new).items():
            if sources and source not in sources.values():
                why = "everyone who can push there decides what runs in every account"
                yield finding(new, Verdict.WIDENING, f"{name}: source is {source}", why, stops=True)


def _stages(pipeline: Resource) -> dict[str, list[dict[str, Any]]]:
    """Actions by the name of their stage."""
    stages = pipeline.properties.get("Stages", [])
    return {
        text_of(stage.get("Name", "")): [one for one in stage.get("Actions", []) if isinstance(one, dict)]
        for stage in stages
        if isinstance(stage, dict)
    }


def _actions(pipeline: Resource, category: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for stage, actions in _stages(pipeline).items():
        for action in actions:
            if action.get("ActionTypeId", {}).get("Category") == category:
                yield f"{stage}/{text_of(action.get('Name', ''))}", action


def _approvals(pipeline: Resource) -> set[str]:
    return {name for name, _ in _actions(pipeline, "Approval")}


def _sources(pipeline: Resource) -> dict[str, str]:
    """Repository and branch of each source action, or all of its configuration where it has no branch."""
    found: dict[str, str] = {}
    for name, action in _actions(pipeline, "Source"):
        given = action.get("Configuration", {})
        parts = [given[key] for key in ("ConnectionArn", "FullRepositoryId", "RepositoryName", _BRANCH) if key in given]
        found[name] = " ".join(text_of(part) for part in parts) if _BRANCH in given else text_of(given)
    return found

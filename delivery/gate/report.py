"""The report of the gate's findings."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from delivery.gate.approved import Decision, snippet
from delivery.gate.findings import Finding, Verdict
from delivery.gate.judgement import Judgement
from delivery.gate.resources import FOLLOWS

_ORDER = list(Verdict)


def report(account: str, judgement: Judgement, decision: Decision) -> str:
    """The changes of each stack, the worst first, and the approvals for those that are stopped."""
    parts: list[str] = []
    stopped = set(decision.stopped)
    reasons = dict(decision.approved)
    for stack, findings in groupby(judgement.findings, lambda one: one.stack):
        found = _by_weight(findings)
        following = [one for one in found if one.what == FOLLOWS and not one.stops]
        lines = [
            line for one in found if one not in following for line in _lines(one, one in stopped, reasons.get(one))
        ]
        parts.append("\n".join([f"{stack}:", *(f"  {line}" for line in (*lines, *_followers(following)))]))
    if judgement.new:
        names = ", ".join(f"{name} ({number} resources)" for name, number in judgement.new.items())
        parts.append(f"new stacks, not deployed yet: {names}")
    if judgement.forgotten:
        names = ", ".join(judgement.forgotten)
        parts.append(f"no longer part of the account, and unchanged until they are destroyed: {names}")
    if not parts:
        parts.append("the deployment changes nothing")
    parts += decision.remarks
    if decision.stopped:
        may = [one for one in decision.stopped if one.verdict != Verdict.FAILING]
        snippets = dict.fromkeys(snippet(account, one) for one in may)
        if snippets:
            parts.append("To approve, add to config/approvals.toml (docs/changes.md):\n\n" + "\n\n".join(snippets))
    parts.append(_summary(account, judgement, decision))
    return "\n\n".join(parts)


def _by_weight(findings: Iterable[Finding]) -> list[Finding]:
    return sorted(findings, key=lambda one: (-_ORDER.index(one.verdict), one))


def _followers(findings: Sequence[Finding]) -> Iterator[str]:
    """One line for stateless resources that are replaced only because others are."""
    if findings:
        types = Counter(one.type.removeprefix("AWS::") for one in findings)
        words = ", ".join(f"{number} {type}" for type, number in types.items())
        yield f"     {Verdict.REPLACING:<12} {len(findings)} that follow: {words}"


def _lines(one: Finding, is_stopped: bool, approved: str | None) -> Iterator[str]:
    mark = "STOP" if is_stopped else "    "
    head = f"{mark} {one.verdict:<12} {one.path} ({one.type})"
    if one.verdict == Verdict.SAFE:
        yield f"{head}: {one.what}"
        return
    yield head
    yield f"{' ' * 18}{one.what}"
    if one.why:
        yield f"{' ' * 18}because: {one.why}"
    if approved:
        yield f"{' ' * 18}approved: {approved}"


def _summary(account: str, judgement: Judgement, decision: Decision) -> str:
    counts = Counter(one.verdict for one in judgement.findings)
    words = ", ".join(f"{counts[verdict]} {verdict}" for verdict in reversed(_ORDER) if counts[verdict])
    end = f"; {len(decision.stopped)} stopped" if decision.stopped else "; nothing is stopped"
    return f"{account}: {words or 'no changes'}{end}"

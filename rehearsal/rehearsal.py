"""The rehearsal itself, step by step. The first step that fails ends it."""

import contextlib
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from delivery import teardown
from delivery.destroy.protection import without_protection
from rehearsal import leftovers, report, update
from rehearsal.assembly import Assembly, size
from rehearsal.cdk import Cdk, Synthesis
from rehearsal.embedded_aws import EmbeddedAws
from rehearsal.errors import RehearsalError
from rehearsal.leftovers import Leftovers, State
from rehearsal.paths import CACHE
from rehearsal.progress import Narrator
from rehearsal.run import Run, exclusive_run


def rehearse(app: Sequence[str], *, keep: bool = False, port: int | None = None, cache: Path = CACHE) -> None:
    """Deploy, deploy again, update, compare and destroy an app in an embedded AWS.

    :param app: command that writes a cloud assembly into the folder that is added to it.
    :param keep: do not destroy; wait for an interrupt with everything up. After a failure, too.
    :param port: where the embedded AWS listens. Default: any free port.
    :param cache: folder that one rehearsal at a time uses.
    :raises RehearsalError: at the first thing that fails. Nothing is left running then.
    """
    started = time.monotonic()
    with exclusive_run(cache) as run, EmbeddedAws(run, port=port) as aws:
        try:
            _steps(app, aws, run, keep=keep)
        except RehearsalError as error:
            if keep:
                print(f"rehearsal: {error}", flush=True)
                _stay_up(aws, run)
            raise
        passed = "all steps but destroy" if keep else "all steps"
        print(f"\n{passed} passed in {time.monotonic() - started:.0f} s", flush=True)
        if keep:
            _stay_up(aws, run)


def _steps(app: Sequence[str], aws: EmbeddedAws, run: Run, *, keep: bool) -> None:
    first = _synthesize(app, run)
    aws.wait_until_healthy()
    cdk = Cdk(aws, run)
    cdk.bootstrap(first)
    empty = aws.state()

    # A second synthesis, as a second `cdk deploy` would make one; it costs no time beside the first deployment.
    with Synthesis(app, folder=run.temporary / "assembly", log=run.log("synth-again")) as again:
        deployed = cdk.deploy(first)
        _deploy_again(cdk, aws, again.assembly())
    last, updated = _update(cdk, aws, run, first)
    compared = cdk.diff(last)
    compared.say("no difference", compared.elapsed())
    if keep:
        _print_report(first, aws.state(), report.Timing(deployed.seconds, updated, {}), None)
        return
    plan = teardown.plan(last.stacks)
    destroyed = cdk.destroy(_unprotect(cdk, run, last, plan.goes), plan.goes)
    names = {stack.name: plan.stays[stack.id] for stack in last.stacks if stack.id in plan.stays}
    left = _leave_nothing(empty, aws.state(), names)
    run.record(cdk.seconds)
    _print_report(first, aws.state(), report.Timing(deployed.seconds, updated, destroyed.seconds), left)


def _synthesize(app: Sequence[str], run: Run) -> Assembly:
    narrator = Narrator("synth")
    with Synthesis(app, folder=run.assembly, log=run.log("synth")) as synthesis:
        assembly = synthesis.assembly()
    if not assembly.stacks:
        raise RehearsalError("synthesis made no stack; there is nothing to rehearse")
    resources = sum(map(size, assembly.stacks))
    where = ", ".join(assembly.regions())
    what = f"{_number(len(assembly.stacks), 'stack')}, {_number(resources, 'resource')} in {where}"
    narrator.say(what, narrator.elapsed())
    return assembly


def _number(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _deploy_again(cdk: Cdk, aws: EmbeddedAws, assembly: Assembly) -> None:
    """:raises RehearsalError: where a second deployment of the same sources changes a stack."""
    before = {tuple(stack) for stack in aws.state()["stacks"]}
    again = cdk.deploy(assembly, step="again")
    changed = sorted({tuple(stack) for stack in aws.state()["stacks"]} ^ before)
    if changed:
        names = ", ".join(sorted({name for _, name, _, _ in changed}))
        raise RehearsalError(
            f"{names}: changed by a second deployment of the same sources; "
            "synthesis must write the same template every time"
        )
    again.say(f"{_number(len(assembly.stacks), 'stack')} unchanged", again.elapsed())


def _update(cdk: Cdk, aws: EmbeddedAws, run: Run, deployed: Assembly) -> tuple[Assembly, Mapping[str, float]]:
    """Update a workload in place, then fail to, and see that the cluster is as it was before that.

    :return: what is deployed now, and the seconds that the update took by stack id.
    """
    request = update.find(deployed)
    if not request:
        Narrator("update").say("nothing to update: no stack has a workload in a cluster")
        return deployed, {}
    updated = deployed.with_templates({request.stack.id: request.updated()}, folder=run.temporary / "updated")
    seconds = _update_in_place(cdk, aws, request, updated)
    refused = request.refused(request.updated())
    broken = deployed.with_templates({request.stack.id: refused}, folder=run.temporary / "refused")
    _roll_back(cdk, aws, request, broken)
    return updated, seconds


def _update_in_place(cdk: Cdk, aws: EmbeddedAws, request: update.Request, assembly: Assembly) -> Mapping[str, float]:
    """:raises RehearsalError: where anything but the one object changes, or that is replaced."""
    before = aws.objects()
    updated = cdk.update(assembly, request.stack.id)
    changed = update.differences(before, after := aws.objects())
    if changed != {request.name: "changed"}:
        raise RehearsalError(
            f"{request.stack.id}: a change of one field of {request.name} must change it in place and nothing else; "
            f"it came to: {_listed(changed)}"
        )
    others = sum(map(len, after.values())) - 1
    updated.say(f"{request.name} in place, {others} others as before", updated.elapsed())
    return updated.seconds


def _roll_back(cdk: Cdk, aws: EmbeddedAws, request: update.Request, assembly: Assembly) -> None:
    """:raises RehearsalError: where the update does not fail, is not taken back, or leaves a trace in the cluster."""
    before = aws.objects()
    narrator = Narrator("rollback")
    try:
        cdk.update(assembly, request.stack.id, step="rollback")
    except RehearsalError as refusal:
        if "field is immutable" not in str(refusal):
            raise
    else:
        raise RehearsalError(f"{request.stack.id}: a change of the selector of {request.name} was not refused")
    status = next(status for _, name, status, _ in aws.state()["stacks"] if name == request.stack.name)
    left = update.differences(before, aws.objects())
    if status != "UPDATE_ROLLBACK_COMPLETE" or left:
        raise RehearsalError(f"{request.stack.id}: {status} after an update that failed, with: {_listed(left)}")
    narrator.say(f"{request.stack.id} as before an update that was refused", narrator.elapsed())


def _listed(changes: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {what}" for name, what in changes.items()) or "no change"


def _unprotect(cdk: Cdk, run: Run, deployed: Assembly, goes: Sequence[str]) -> Assembly:
    """Switch off what protects resources from deletion, as AWS asks of everybody who wants to delete them.

    :return: what is deployed now.
    """
    changed = without_protection({stack.id: stack.template for stack in deployed.stacks if stack.id in goes})
    if not changed:
        return deployed
    last = deployed.with_templates(changed, folder=run.temporary / "unprotected")
    unprotected = cdk.update(last, *changed, step="unprotect")
    unprotected.say(f"{_number(len(changed), 'stack')} may be deleted now", unprotected.elapsed())
    return last


def _leave_nothing(empty: State, after: State, stays: Mapping[str, str]) -> Leftovers:
    """:param stays: names of the stacks that hold up what is kept, with the reason of each.

    :raises RehearsalError: where something is left that no template keeps on purpose, or a stack went that holds it up.
    """
    left = leftovers.find(empty, after, frozenset(stays))
    if left.lost:
        things = _number(len(left.lost), "thing")
        raise RehearsalError("\n  ".join([f"{things} left after everything was destroyed:", *left.lost]))
    if left.missing:
        raise RehearsalError(f"{', '.join(left.missing)}: gone, though what is kept lies there")
    narrator = Narrator("leftovers")
    for name, why in stays.items():
        narrator.say(f"{name} stays: {why}")
    kept = f", {len(left.kept)} kept on purpose" if left.kept else ""
    narrator.say(f"none among {len(after['resources'])} resources{kept}")
    return left


def _print_report(assembly: Assembly, state: State, timing: report.Timing, left: Leftovers | None) -> None:
    print(f"\n{report.table(assembly, state, timing)}\n\n{report.remarks(state, left)}", flush=True)


def _stay_up(aws: EmbeddedAws, run: Run) -> None:
    """Wait for an interrupt."""
    regions = Assembly(run.assembly).regions() if (run.assembly / "manifest.json").exists() else []
    settings = aws.environment(regions[0] if regions else "us-east-1")
    exports = "\n".join(f"  export {name}={value}" for name, value in settings.items())
    print(
        f"\nIt stays up at {aws.url}, with logs in {run.folder}. In another terminal:\n{exports}\n"
        "  aws cloudformation describe-stacks\n"
        "An interrupt (Ctrl-C) here ends it.",
        flush=True,
    )
    with contextlib.suppress(KeyboardInterrupt):
        signal.pause()

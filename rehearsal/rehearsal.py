"""The steps of the rehearsal. The first failure ends it."""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from delivery import teardown
from delivery.destroy.protection import without_protection
from rehearsal import leftovers, permissions, report, update
from rehearsal.assembly import Assembly, size
from rehearsal.cdk import PLATFORM, Cdk, Synthesis
from rehearsal.embedded_aws import EmbeddedAws
from rehearsal.errors import RehearsalError
from rehearsal.exercise import Exercise, listed
from rehearsal.leftovers import Leftovers, State
from rehearsal.paths import CACHE
from rehearsal.progress import Narrator
from rehearsal.proofs import Proofs
from rehearsal.run import Run, exclusive_run


def rehearse(
    app: Sequence[str],
    *,
    keep: bool = False,
    port: int | None = None,
    cache: Path = CACHE,
    stacks: Sequence[str] = (),
) -> None:
    """Deploy, deploy again, update, compare and destroy an app in the AWS emulator.

    :param app: command that writes a cloud assembly into the folder in its last argument, which is added here.
    :param keep: do not destroy; keep everything running until an interrupt, even after a failure.
    :param port: port of the emulator. Default: any free port.
    :param cache: folder that one rehearsal at a time uses.
    :param stacks: ids of the stacks to rehearse, with those that they depend on. Default: every stack.
    :raises RehearsalError: at the first failure. No process is left running then.
    """
    started = time.monotonic()
    with exclusive_run(cache) as run, EmbeddedAws(run, port=port) as aws:
        try:
            _decided(lambda: _steps(app, aws, run, keep=keep, stacks=stacks), aws, run)
        except RehearsalError as error:
            if keep:
                print(f"rehearsal: {error}", flush=True)
                _stay_up(aws, run)
            raise
        passed = "all steps but destroy" if keep else "all steps"
        print(f"\n{passed} passed in {time.monotonic() - started:.0f} s", flush=True)
        if keep:
            _stay_up(aws, run)


def rehearse_changes(
    apps: Sequence[Sequence[str]], *, port: int | None = None, cache: Path = CACHE, stacks: Sequence[str] = ()
) -> None:
    """Deploy the first app, update it to each following one in order, and destroy the last one.

    :param apps: commands as in :func:`rehearse`. Stacks of one app must be in the next one, too.
    :param port: port of the emulator. Default: any free port.
    :param cache: folder that one rehearsal at a time uses.
    :param stacks: ids of the stacks to rehearse, with those that they depend on. Default: every stack.
    :raises RehearsalError: at the first failure. No process is left running then.
    """
    started = time.monotonic()
    with exclusive_run(cache) as run, EmbeddedAws(run, port=port) as aws:
        _decided(lambda: _changes(apps, aws, run, stacks=stacks), aws, run)
        print(f"\n{_number(len(apps), 'option')} passed in {time.monotonic() - started:.0f} s", flush=True)


def _changes(apps: Sequence[Sequence[str]], aws: EmbeddedAws, run: Run, *, stacks: Sequence[str]) -> None:
    assembly = _synthesize(apps[0], run, stacks)
    aws.wait_until_healthy()
    Narrator("clusters").say(report.clusters(aws.state()))
    cdk = Cdk(aws, run)
    cdk.bootstrap(assembly)
    empty = aws.state()
    for number, app in enumerate(apps[1:], 1):
        # The next option is synthesized while this one is deployed.
        with Synthesis(app, folder=run.folder / f"assembly-{number}", log=run.log(f"synth-{number}")) as following:
            _deploy_option(cdk, assembly)
            assembly = following.assembly(stacks)
    _deploy_option(cdk, assembly)
    _destroy(cdk, aws, run, assembly, empty)


def _deploy_option(cdk: Cdk, assembly: Assembly) -> None:
    deployed = cdk.deploy(assembly)
    deployed.say(f"{_number(len(assembly.stacks), 'stack')} deployed or updated", deployed.elapsed())


def _decided(steps: Callable[[], None], aws: EmbeddedAws, run: Run) -> None:
    """Run the steps. Every denied call fails the rehearsal; if a step fails, denials are reported first."""
    try:
        steps()
    except RehearsalError as error:
        denials = list(permissions.denials(aws, run.assembly))
        raise RehearsalError("\n  ".join([*denials, str(error)]) if denials else str(error)) from None
    if denials := list(permissions.denials(aws, run.assembly)):
        raise RehearsalError("\n  ".join(["permissions:", *denials]))


def _steps(app: Sequence[str], aws: EmbeddedAws, run: Run, *, keep: bool, stacks: Sequence[str]) -> None:
    first = _synthesize(app, run, stacks)
    aws.wait_until_healthy()
    Narrator("clusters").say(report.clusters(aws.state()))
    cdk = Cdk(aws, run)
    cdk.bootstrap(first)
    empty = aws.state()

    # A second synthesis, as in a second `cdk deploy`; it runs concurrently with the first deployment.
    with Synthesis(app, folder=run.temporary / "assembly", log=run.log("synth-again")) as again:
        deployed = cdk.deploy(first)
        _deploy_again(cdk, aws, again.assembly(stacks))
    proved = _prove(aws)
    if PLATFORM in app:  # other applications define no events
        _exercise(first, aws)
    last, updated = _update(cdk, aws, run, first)
    compared = cdk.diff(last)
    compared.say("no difference", compared.elapsed())
    if keep:
        decided = permissions.summary(aws, first, run.calls, exercised=PLATFORM in app)
        _print_report(first, aws.state(), report.Timing(deployed.seconds, updated, {}), None, proved, decided)
        return
    destroyed, left = _destroy(cdk, aws, run, last, empty)
    run.record(cdk.seconds)
    decided = permissions.summary(aws, first, run.calls, exercised=PLATFORM in app)
    timing = report.Timing(deployed.seconds, updated, destroyed.seconds)
    _print_report(first, aws.state(), timing, left, proved, decided)


def _synthesize(app: Sequence[str], run: Run, stacks: Sequence[str]) -> Assembly:
    narrator = Narrator("synth")
    with Synthesis(app, folder=run.assembly, log=run.log("synth")) as synthesis:
        assembly = synthesis.assembly(stacks)
    if not assembly.stacks:
        raise RehearsalError("synthesis created no stack, so there is nothing to rehearse")
    resources = sum(map(size, assembly.stacks))
    where = ", ".join(assembly.regions())
    what = f"{_number(len(assembly.stacks), 'stack')}, {_number(resources, 'resource')} in {where}"
    narrator.say(what, narrator.elapsed())
    return assembly


def _number(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _deploy_again(cdk: Cdk, aws: EmbeddedAws, assembly: Assembly) -> None:
    """:raises RehearsalError: if a second deployment of the same sources changes a stack."""
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


def _prove(aws: EmbeddedAws) -> Proofs:
    """Wait for the workloads of clusters with real nodes, and check their logs.

    :raises RehearsalError: with every finding.
    """
    narrator = Narrator("proofs")
    proofs = Proofs.of(aws.proofs())
    if proofs.findings:
        faults = _number(len(proofs.findings), "fault")
        load, processors = os.getloadavg()[0], os.cpu_count()
        where = f"real nodes, at a load average of {load:.0f} on {processors} processors"
        raise RehearsalError("\n  ".join([f"{faults} in workloads on {where}:", *proofs.findings]))
    if proofs.running or proofs.stored_only or proofs.idle:
        narrator.say(
            f"{_number(len(proofs.running), 'workload')} ran, {len(proofs.stored_only)} stored only, "
            f"{len(proofs.idle)} without pods, {len(proofs.callers)} called AWS",
            narrator.elapsed(),
        )
    return proofs


def _exercise(assembly: Assembly, aws: EmbeddedAws) -> None:
    """Trigger everything once that waits for events."""
    narrator = Narrator("exercise")
    exercise = Exercise(assembly, aws, aws.state())
    exercise.run()
    narrator.say(", ".join(listed(exercise.done)) or "nothing waits for events", narrator.elapsed())


def _update(cdk: Cdk, aws: EmbeddedAws, run: Run, deployed: Assembly) -> tuple[Assembly, Mapping[str, float]]:
    """Update a workload in place, then let an update fail, and check that the cluster is rolled back.

    :return: the deployed assembly, and the duration of the update in seconds by stack id.
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
    """:raises RehearsalError: if another object changes, or the workload is replaced."""
    before = aws.objects()
    updated = cdk.update(assembly, request.stack.id)
    changed = update.differences(before, after := aws.objects())
    if changed != {request.name: "changed"}:
        raise RehearsalError(
            f"{request.stack.id}: a change of one field of {request.name} must change only that object, in place; "
            f"changed are: {_listed(changed)}"
        )
    others = sum(map(len, after.values())) - 1
    updated.say(f"{request.name} in place, {others} others unchanged", updated.elapsed())
    return updated.seconds


def _roll_back(cdk: Cdk, aws: EmbeddedAws, request: update.Request, assembly: Assembly) -> None:
    """:raises RehearsalError: if the update does not fail, is not rolled back, or leaves a change in the cluster."""
    before = aws.objects()
    narrator = Narrator("rollback")
    try:
        cdk.update(assembly, request.stack.id, step="rollback")
    except RehearsalError as refusal:
        if "field is immutable" not in " ".join(str(refusal).split()):  # the CLI wraps long lines
            raise
    else:
        raise RehearsalError(f"{request.stack.id}: a change of the selector of {request.name} was not refused")
    status = next(status for _, name, status, _ in aws.state()["stacks"] if name == request.stack.name)
    left = update.differences(before, aws.objects())
    if status != "UPDATE_ROLLBACK_COMPLETE" or left:
        raise RehearsalError(f"{request.stack.id}: {status} after a failed update, with: {_listed(left)}")
    narrator.say(f"{request.stack.id} unchanged after a refused update", narrator.elapsed())


def _listed(changes: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {what}" for name, what in changes.items()) or "no change"


def _destroy(cdk: Cdk, aws: EmbeddedAws, run: Run, last: Assembly, empty: State) -> tuple[Narrator, Leftovers]:
    """Destroy all stacks except those that retained resources need.

    :raises RehearsalError: if something remains that no template retains.
    """
    plan = teardown.plan(last.stacks)
    destroyed = cdk.destroy(_unprotect(cdk, run, last, plan.goes), plan.goes)
    names = {stack.name: plan.stays[stack.id] for stack in last.stacks if stack.id in plan.stays}
    return destroyed, _leave_nothing(empty, aws.state(), names)


def _unprotect(cdk: Cdk, run: Run, deployed: Assembly, goes: Sequence[str]) -> Assembly:
    """Switch off deletion protection, which AWS requires before a deletion.

    :return: the deployed assembly.
    """
    changed = without_protection({stack.id: stack.template for stack in deployed.stacks if stack.id in goes})
    if not changed:
        return deployed
    last = deployed.with_templates(changed, folder=run.temporary / "unprotected")
    unprotected = cdk.update(last, *changed, step="unprotect")
    unprotected.say(f"{_number(len(changed), 'stack')} unprotected", unprotected.elapsed())
    return last


def _leave_nothing(empty: State, after: State, stays: Mapping[str, str]) -> Leftovers:
    """:param stays: names of the stacks that retained resources need, each with the reason.

    :raises RehearsalError: if something remains that no template retains, or a stack in ``stays`` was destroyed.
    """
    left = leftovers.find(empty, after, frozenset(stays))
    if left.lost:
        things = _number(len(left.lost), "thing")
        raise RehearsalError("\n  ".join([f"{things} left after everything was destroyed:", *left.lost]))
    if left.missing:
        raise RehearsalError(f"{', '.join(left.missing)}: destroyed, although retained resources need it")
    narrator = Narrator("leftovers")
    for name, why in stays.items():
        narrator.say(f"{name} stays: {why}")
    kept = f", {len(left.kept)} retained" if left.kept else ""
    narrator.say(f"none among {len(after['resources'])} resources{kept}")
    return left


def _print_report(
    assembly: Assembly,
    state: State,
    timing: report.Timing,
    left: Leftovers | None,
    proofs: Proofs,
    decided: permissions.Summary,
) -> None:
    remarks = report.remarks(state, left, proofs, list(decided.lines()))
    print(f"\n{report.table(assembly, state, timing)}\n\n{remarks}", flush=True)


def _stay_up(aws: EmbeddedAws, run: Run) -> None:
    """Wait for an interrupt."""
    regions = Assembly(run.assembly).regions() if (run.assembly / "manifest.json").exists() else []
    settings = aws.environment(regions[0] if regions else "us-east-1")
    exports = "\n".join(f"  export {name}={value}" for name, value in settings.items())
    print(
        f"\nThe emulator is running at {aws.url}, with logs in {run.folder}. In another terminal:\n{exports}\n"
        "  aws cloudformation describe-stacks\n"
        "Press Ctrl-C here to stop it.",
        flush=True,
    )
    with contextlib.suppress(KeyboardInterrupt):
        signal.pause()

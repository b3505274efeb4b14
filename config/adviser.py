"""The ``[adviser]`` section: advice on jobs before they start."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from config.identity import ADVISER_SCOPE, Cognito
from config.people import Name
from config.section import Section, key

Bucket = Literal["collected_data", "features", "predictions", "metrics", "artifacts"]
Prefix = Annotated[str, Field(pattern=r"^([A-Za-z0-9][A-Za-z0-9_.=/-]*)?\*$", max_length=512)]


class Adviser(Section):
    """An API for programs and notebooks that examines data in S3 and estimates time and cost of a job on it.

    Machines of ``identity.cognito.machines`` with the scope 'adviser' have access.
    """

    inputs: Annotated[dict[Bucket, tuple[Prefix, ...]], Field(min_length=1)] = key(
        "Data that it may examine: prefixes that end with '*', by bucket of the platform.",
        default={"collected_data": ("*",), "features": ("offline/*",)},
    )
    output_prefix: Annotated[
        str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.=-]*(/[A-Za-z0-9_.=-]+)*$", max_length=256)
    ] = key(
        "Prefix of the artifacts bucket below which the preparation job writes, without '/' at either end.",
        default="prepared",
    )
    large_gib: Annotated[float, Field(gt=0, le=1e6)] = key(
        "Size in GiB from which on the adviser proposes to compress, convert or partition.", default=10.0
    )
    requests_per_second: Annotated[int, Field(ge=1, le=1000)] = key("Limit of all clients together.", default=10)
    jobs: dict[
        Name,
        Annotated[str, Field(pattern=r"^arn:aws[a-z-]*:states:[a-z0-9-]+:\d{12}:stateMachine:[A-Za-z0-9_-]{1,80}$")],
    ] = key(
        "State machines that clients may start, follow and cancel, by the name of the job. Default: the preparation "
        "job only, 'prepare'.",
        default_factory=dict,
    )


def problems_of_adviser(
    adviser: Adviser | None, cognito: Cognito | None, account: str | None, region: str | None
) -> Iterator[str]:
    """The settings with which an adviser, or a machine that calls it, cannot work, one line each."""
    machines = (
        [name for name, machine in cognito.machines.items() if ADVISER_SCOPE in machine.scopes] if cognito else []
    )
    if adviser is None:
        if machines:
            yield f"required, because machine {machines[0]} has the scope {ADVISER_SCOPE!r}; add the section"
        return
    if not machines:
        yield (
            f"no client could use it; add a machine with scopes = [{ADVISER_SCOPE!r}] to identity.cognito.machines, "
            "or remove the section"
        )
    if "prepare" in adviser.jobs:
        yield "jobs.prepare: is the name of the preparation job; choose another"
    for name, arn in adviser.jobs.items():
        if region and account and arn.split(":")[3:5] != [region, account]:
            yield f"jobs.{name}: must be a state machine of {account} in {region}, got {arn}"

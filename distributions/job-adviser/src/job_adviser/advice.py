"""The advice on a job: facts about its input, an estimate for each backend, and proposals."""

import datetime
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from job_adviser.dataset import Dataset
from job_adviser.estimate import GIB, Estimate, Estimator, Job
from job_adviser.prices import OLD_DAYS
from job_adviser.proposals import Proposal, Thresholds, proposals


@dataclass(frozen=True)
class Advice:
    """What the adviser says of a job.

    :param fastest: backend with the shortest expected time in all.
    :param cheapest: backend with the lowest expected cost of those in AWS.
    """

    dataset: Dataset
    estimates: tuple[Estimate, ...]
    proposals: tuple[Proposal, ...]
    fastest: str
    cheapest: str
    prices_compared: datetime.date
    prices_region: str
    warnings: tuple[str, ...]

    def document(self) -> dict[str, Any]:
        """As JSON."""
        data = self.dataset
        return {
            "input": {
                "uri": data.uri,
                "objects": data.objects,
                "bytes": data.bytes,
                "expanded_bytes": round(data.expanded_bytes),
                "largest": {"key": data.largest_key, "bytes": data.largest_bytes},
                "small_objects": data.small_objects,
                "kinds": [
                    {"kind": str(kind), "objects": count, "bytes": size}
                    for kind, (count, size) in sorted(data.kinds.items(), key=lambda item: -item[1][1])
                ],
                "partitions": dict(data.partitions),
                "readers": data.splits,
                "relative_error": data.error,
                "at_least": data.at_least,
                "problems": [each.problem for each in data.probes if each.problem],
                "columns": next((list(each.columns) for each in data.probes if each.columns), []),
            },
            "estimates": [asdict(each) for each in self.estimates],
            "proposals": [asdict(each) for each in self.proposals],
            "fastest": self.fastest,
            "cheapest": self.cheapest,
            "prices": {"compared": self.prices_compared.isoformat(), "region": self.prices_region},
            "warnings": list(self.warnings),
        }

    def text(self) -> str:
        """For a terminal."""
        data = self.dataset
        about = "at least " if data.at_least else "about " if data.error else ""
        lines = [f"{data.uri}: {about}{data.objects} objects, {data.bytes / GIB:.2f} GiB, mostly {data.kind}"]
        for each in self.estimates:
            where = f"{each.instances} x {each.instance}" if each.instance else ""
            lines.append(
                f"  {each.title:<14} {minutes(each.prepare.expected):>8} to prepare, {minutes(each.run.expected):>8} "
                f"({minutes(each.run.low)} to {minutes(each.run.high)}) to run, ${each.cost.expected:.2f} "
                f"(${each.cost.low:.2f} to ${each.cost.high:.2f})  {where}".rstrip()
            )
            lines += [f"    {note}" for note in each.notes]
        for proposal in self.proposals:
            lines.append(
                f"  {proposal.action}: {proposal.why}; saves {minutes(proposal.saves_seconds.expected)} and "
                f"${proposal.saves_dollars.expected:.2f} a run, takes {minutes(proposal.takes_seconds.expected)} and "
                f"${proposal.costs.expected:.2f} once"
            )
        return "\n".join([*lines, *(f"  {warning}" for warning in self.warnings)])


def minutes(seconds: float) -> str:
    """A time in words."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def advise(
    dataset: Dataset,
    job: Job | None = None,
    *,
    estimator: Estimator | None = None,
    thresholds: Thresholds | None = None,
    only: Sequence[str] | None = None,
    today: datetime.date | None = None,
    region: str = "",
) -> Advice:
    """Advice on a job with examined data.

    :param only: names of backends. Default: all.
    :param region: Region in which the job would run; other prices than its own are reported. Default: unknown.
    :raises InvalidRequest: for an unknown backend.
    """
    job, estimator = job or Job(), estimator or Estimator()
    estimates = estimator.all(dataset, job, only)
    in_aws = [each for each in estimates if each.instance] or list(estimates)
    return Advice(
        dataset=dataset,
        estimates=estimates,
        proposals=proposals(dataset, job, estimator, thresholds),
        fastest=min(estimates, key=lambda each: each.total.expected).backend,
        cheapest=min(in_aws, key=lambda each: each.cost.expected).backend,
        prices_compared=estimator.prices.compared,
        prices_region=estimator.prices.region,
        warnings=tuple(_warnings(dataset, estimator, today or datetime.datetime.now(datetime.UTC).date(), region)),
    )


def _warnings(dataset: Dataset, estimator: Estimator, today: datetime.date, region: str) -> list[str]:
    found = [each.problem for each in dataset.probes if each.problem]
    if dataset.archived_objects:
        found.append(f"{dataset.archived_objects} of {dataset.objects} objects are archived; restore them first")
    if dataset.at_least:
        found.append("not all objects were listed; name an S3 Inventory for numbers of the whole prefix")
    age = estimator.prices.age_days(today)
    if age > OLD_DAYS:
        found.append(f"the prices were compared {age} days ago; renew them with python -m job_adviser.prices")
    if region and region != estimator.prices.region:
        found.append(
            f"the prices are those of {estimator.prices.region}, not of {region}; compare backends by them, and take "
            "the costs of a bill from the AWS Pricing Calculator"
        )
    return found

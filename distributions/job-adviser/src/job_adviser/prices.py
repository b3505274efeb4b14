"""The dated table of prices, and mixes of ways to pay.

``python -m job_adviser.prices FILE`` writes the table with the on-demand prices of today.
"""

import datetime
import json
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import boto3

from job_adviser.errors import InvalidRequest
from job_adviser.ranges import Range

WAYS = ("on_demand", "savings_plan", "spot")
OLD_DAYS = 180
"""Age after which every advice says that the prices are old."""


@dataclass(frozen=True)
class Instance:
    """An instance type with its prices in dollars an hour.

    :param emr: what EMR adds.
    :param sagemaker: price of the same type with ``ml.`` in front, which SageMaker bills instead.
    """

    name: str
    vcpus: int
    memory_gib: float
    network_mbps: float
    on_demand: float
    savings_plan: float
    spot: float
    emr: float
    sagemaker: float
    gpus: int = 0


@dataclass(frozen=True)
class Mix:
    """Shares of instance hours by the way that they are paid; their sum is 1."""

    on_demand: float = 1.0
    savings_plan: float = 0.0
    spot: float = 0.0

    def __post_init__(self) -> None:
        shares = [getattr(self, way) for way in WAYS]
        if any(not 0 <= share <= 1 for share in shares) or abs(sum(shares) - 1) > 1e-6:
            raise InvalidRequest(
                f"mix: shares must be 0 to 1 with the sum 1, got {dict(zip(WAYS, shares, strict=True))}"
            )


@dataclass(frozen=True)
class Prices:
    """A table of prices of one region.

    :param compared: the day of the comparison with the sources.
    """

    compared: datetime.date
    region: str
    sources: Mapping[str, str]
    instances: Mapping[str, Instance]
    storage_gib_month: float
    function_gib_second: float
    spread: Mapping[str, float]

    @classmethod
    def load(cls, path: Path | None = None) -> "Prices":
        """Read a table. Default: the one of this package.

        :raises InvalidRequest: if a price is missing or not a number above 0.
        """
        text = path.read_text(encoding="utf-8") if path else _packaged("prices.toml")
        found = tomllib.loads(text)
        instances = {}
        for name, row in found["instances"].items():
            try:
                instances[name] = Instance(name=name, **row)
            except TypeError as error:
                raise InvalidRequest(f"prices: instances.{name}: {error}") from None
            for price in (*WAYS, "emr", "sagemaker"):
                value = row[price]
                if not isinstance(value, (int, float)) or value <= 0:
                    raise InvalidRequest(f"prices: instances.{name}.{price}: must be a number above 0, got {value!r}")
        return cls(
            compared=found["compared"],
            region=found["region"],
            sources=found["sources"],
            instances=instances,
            storage_gib_month=found["storage"]["standard_gib_month"],
            function_gib_second=found["functions"]["gib_second"],
            spread=found["spread"],
        )

    def instance(self, name: str) -> Instance:
        """:raises InvalidRequest: for a type without prices."""
        if name not in self.instances:
            raise InvalidRequest(f"instance: {name!r} has no price; the table has {', '.join(self.instances)}")
        return self.instances[name]

    def hourly(self, name: str, mix: Mix) -> Range:
        """Price of an hour of an EC2 instance in a mix."""
        instance = self.instance(name)
        low = expected = high = 0.0
        for way in WAYS:
            price = getattr(mix, way) * getattr(instance, way)
            low += price / self.spread[way]
            expected += price
            high += min(price * self.spread[way], getattr(mix, way) * max(instance.on_demand, getattr(instance, way)))
        return Range(low, expected, high)

    def saving(self, name: str, mix: Mix) -> float:
        """Share that EC2 instances in a mix save of the price of SageMaker's instances of the same type."""
        return 1 - self.hourly(name, mix).expected / self.instance(name).sagemaker

    def age_days(self, today: datetime.date) -> int:
        return (today - self.compared).days


def _packaged(name: str) -> str:
    return (files("job_adviser") / "data" / name).read_text(encoding="utf-8")


def current(client: Any, region: str, names: Sequence[str]) -> dict[str, float]:
    """On-demand prices of today.

    :param client: a boto3 client of ``pricing``, which exists in few regions, such as us-east-1.
    :raises InvalidRequest: for a type that the region does not have.
    """
    found = {}
    for name in names:
        wanted = {
            "regionCode": region,
            "instanceType": name,
            "operatingSystem": "Linux",
            "preInstalledSw": "NA",
            "tenancy": "Shared",
            "capacitystatus": "Used",
        }
        filters = [{"Type": "TERM_MATCH", "Field": field, "Value": value} for field, value in wanted.items()]
        listed = client.get_products(ServiceCode="AmazonEC2", Filters=filters)["PriceList"]
        prices = [
            float(dimension["pricePerUnit"]["USD"])
            for product in map(json.loads, listed)
            for term in product["terms"]["OnDemand"].values()
            for dimension in term["priceDimensions"].values()
        ]
        if not prices:
            raise InvalidRequest(f"{name}: has no on-demand price in {region}; correct the type or the region")
        found[name] = max(prices)
    return found


def renewed(text: str, prices: Mapping[str, float], today: datetime.date) -> str:
    """A table's text with other on-demand prices and the day of today."""
    lines, name = [], ""
    for line in text.splitlines():
        if line.startswith("[instances."):
            name = line.split('"')[1]
        elif line.startswith("["):
            name = ""
        if name in prices and line.startswith("on_demand = "):
            line = f"on_demand = {prices[name]:g}"
        if line.startswith("compared = "):
            line = f"compared = {today.isoformat()}"
        lines.append(line)
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str]) -> int:
    """Write a renewed table to a file."""
    if len(arguments) != 1:
        print("usage: python -m job_adviser.prices FILE", file=sys.stderr)
        return 2
    table = Prices.load()
    client = boto3.client("pricing", region_name="us-east-1")
    found = current(client, table.region, list(table.instances))
    today = datetime.datetime.now(datetime.UTC).date()
    Path(arguments[0]).write_text(renewed(_packaged("prices.toml"), found, today), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

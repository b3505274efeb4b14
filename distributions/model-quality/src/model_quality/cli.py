"""The command ``model-quality``."""

import argparse
import sys
import time
from collections.abc import Sequence

from model_quality.exporter import serve
from model_quality.records import read_predictions, read_sample
from model_quality.report import MINIMUM, compare
from model_quality.store import InputError, store_at

_PLACE = "s3://bucket/prefix or a path"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    :return: 0, or 1 with one line on the standard error for input that cannot be used.
    """
    options = _parser().parse_args(arguments)
    try:
        if options.command == "serve":
            serve(store_at(options.reports), host=options.host, port=options.port).serve_forever()
        else:
            _compare(options)
    except InputError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0
    return 0


def _compare(options: argparse.Namespace) -> None:
    now = time.time()
    report = compare(
        read_sample(store_at(options.training)),
        read_predictions(
            store_at(options.predictions),
            since=now - options.hours * 3600,
            labels=store_at(options.labels) if options.labels else None,
        ),
        namespace=options.namespace,
        model=options.model,
        version=options.version,
        time=now,
        accuracy_at_training=options.accuracy_at_training,
        sla_seconds=options.sla_seconds,
        tolerance=options.tolerance,
        minimum=options.minimum,
    )
    store_at(options.reports).write(report.name, report.to_json())
    print(report.to_json(), end="")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="model-quality", description="Drift and accuracy of served models.")
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("compare", help="compare predictions with the training sample, and write a report")
    one.add_argument("--namespace", required=True, help="of the team")
    one.add_argument("--model", required=True)
    one.add_argument("--version", required=True)
    one.add_argument("--training", required=True, help=f"JSON lines of the training sample: {_PLACE}")
    one.add_argument("--predictions", required=True, help=f"JSON lines of logged predictions: {_PLACE}")
    one.add_argument("--labels", help=f"JSON lines of true outcomes by id: {_PLACE}. Default: those in the predictions")
    one.add_argument("--reports", required=True, help=f"where reports are kept: {_PLACE}")
    one.add_argument("--hours", type=float, default=24, help="predictions of this time count. Default: 24")
    one.add_argument("--accuracy-at-training", type=float, help="share of right predictions at training")
    one.add_argument("--sla-seconds", type=float, help="agreed 95th percentile of the time of inference")
    one.add_argument("--tolerance", type=float, default=0, help="distance at which a number is right. Default: 0")
    one.add_argument("--minimum", type=int, default=MINIMUM, help=f"fewest predictions to measure. Default: {MINIMUM}")
    two = commands.add_parser("serve", help="serve the newest reports as metrics")
    two.add_argument("--reports", required=True, help=f"where reports are kept: {_PLACE}")
    two.add_argument("--host", default="0.0.0.0")
    two.add_argument("--port", type=int, default=9102)
    return parser

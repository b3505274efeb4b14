"""``batch-serving``: one run, new or interrupted."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import boto3
from botocore.exceptions import BotoCoreError

from batch_serving.database import Database, Login
from batch_serving.errors import BatchError
from batch_serving.predictor import repository_predictor
from batch_serving.run import Run, Sink
from batch_serving.store import Address, Store
from batch_serving.table import Table
from model_repository import Repository, RepositoryError


def main(arguments: Sequence[str] | None = None) -> int:
    """Status 0: complete; 1: refused, the reason is on the error output; 2: not understood.

    :param arguments: Default: those that the program was started with.
    """
    given = _parser().parse_args(arguments)
    try:
        summary = _run(given).complete()
    except (BatchError, RepositoryError) as error:
        print(error, file=sys.stderr)
        return 1
    except BotoCoreError as error:
        print(f"AWS: {error}; check credentials and region", file=sys.stderr)
        return 1
    print(f"{given.run}: {summary.rows} predictions of {summary.model} {summary.version} in {summary.parts} parts")
    return 0


def _run(given: argparse.Namespace) -> Run:
    session = boto3.Session()
    repository = Repository(given.models)
    return Run(
        store=Store(session.client("s3")),
        data=Address.parse("--data", given.data),
        predictions=Address.parse("--predictions", given.predictions),
        name=given.run,
        model=given.model,
        newest=lambda: int(repository.get(given.model, given.version)["version"]),
        load=partial(repository_predictor, repository, given.model),
        sinks=list(_sinks(given, session)),
        id_field=given.id_field,
        rows_per_part=given.rows_per_part,
    )


def _sinks(given: argparse.Namespace, session: boto3.Session) -> Iterator[Sink]:
    if given.table:
        yield Table(given.table, session.client("dynamodb"))
    if given.database:
        login = Login.of_secret(given.database, session.client("secretsmanager"), authority=given.database_authority)
        yield Database(login, given.database_table)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="batch-serving", description="Apply a model version to a data set in S3.")
    parser.add_argument("--models", required=True, metavar="BUCKET", help="bucket of the model repository")
    parser.add_argument("--model", required=True, help="name of the model")
    parser.add_argument("--version", type=int, help="version number (default: the latest when the run begins)")
    parser.add_argument("--data", required=True, help="s3:// address of a file or folder of JSON lines")
    parser.add_argument("--predictions", required=True, help="s3:// address of the folder of all runs")
    parser.add_argument("--run", required=True, help="name of the run; the same name continues it")
    parser.add_argument("--table", help="DynamoDB table that gets the predictions, too")
    parser.add_argument("--database", metavar="SECRET", help="secret of a MySQL database that gets them, too")
    parser.add_argument("--database-table", default="predictions", help="table in it (default: predictions)")
    parser.add_argument(
        "--database-authority", type=Path, metavar="FILE", help="who signed its certificate (default: the system's)"
    )
    parser.add_argument("--id-field", default="id", help="field that identifies a record (default: id)")
    parser.add_argument("--rows-per-part", type=int, default=1000, help="rows written together (default: 1000)")
    return parser

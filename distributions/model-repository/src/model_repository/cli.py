"""The command line: one line for each mistake, never a traceback."""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from model_repository.compare import compare
from model_repository.errors import RepositoryError
from model_repository.package import Package
from model_repository.repository import Listed, Repository
from model_repository.self_test import DEFAULT_SECONDS, run_self_test
from model_repository.xml_export import to_xml


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Status 0: done; 1: refused, the reason is on the error output; 2: not understood.

    :param arguments: Default: those that the program was started with.
    """
    given = _parser().parse_args(arguments)
    try:
        print(given.run(given))
    except RepositoryError as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        print(f"{error.filename or 'system'}: {error.strerror or error}; correct that and try again", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m model_repository", description="Model versions in S3.")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    bucket = argparse.ArgumentParser(add_help=False)
    bucket.add_argument("--bucket", required=True, help="name of the repository's bucket")
    model = argparse.ArgumentParser(add_help=False)
    model.add_argument("model", help="name of the model")
    version = argparse.ArgumentParser(add_help=False)
    version.add_argument("number", nargs="?", type=int, help="version number (default: the latest)")
    limit = argparse.ArgumentParser(add_help=False)
    limit.add_argument("--seconds", type=float, default=DEFAULT_SECONDS, help="time limit of the self-test")

    publish = commands.add_parser("publish", parents=[bucket, model, limit], help="store a package as a new version")
    publish.add_argument("folder", type=Path, help="the package")
    publish.add_argument("--number", type=int, help="version number (default: the next one)")
    publish.add_argument("--without-self-test", action="store_true", help="do not run the sample first")
    publish.set_defaults(run=_publish)

    versions = commands.add_parser("list", parents=[bucket], help="list all models, or all versions of one")
    versions.add_argument("model", nargs="?", help="name of the model (default: list the models)")
    versions.set_defaults(run=_list)

    show = commands.add_parser("show", parents=[bucket, model, version], help="print a version's document as JSON")
    show.set_defaults(run=_show)

    differ = commands.add_parser("compare", parents=[bucket, model], help="print the differences between two versions")
    differ.add_argument("first", type=int, help="version number")
    differ.add_argument("second", type=int, help="version number")
    differ.set_defaults(run=_compare)

    fetch = commands.add_parser("fetch", parents=[bucket, model, version, limit], help="download a version")
    fetch.add_argument("--to", type=Path, required=True, help="the folder to create")
    fetch.add_argument("--self-test", action="store_true", help="run the sample of the downloaded version")
    fetch.set_defaults(run=_fetch)

    check = commands.add_parser("check", parents=[limit], help="check a package on this machine, and run its sample")
    check.add_argument("folder", type=Path, help="the package")
    check.set_defaults(run=_check)

    export = commands.add_parser(
        "export-xml", parents=[bucket, model, version], help="print a version's document as XML"
    )
    export.set_defaults(run=_export_xml)

    withdraw = commands.add_parser("withdraw", parents=[bucket, model], help="withdraw a version permanently")
    withdraw.add_argument("number", type=int, help="version number")
    withdraw.add_argument("--reason", required=True, help="the reason that readers of the version see")
    withdraw.set_defaults(run=_withdraw)
    return parser


def _publish(given: argparse.Namespace) -> str:
    repository = Repository(given.bucket)
    package = Package.read(given.folder)
    done = repository.publish(
        package,
        model=given.model,
        number=given.number,
        self_test=not given.without_self_test,
        seconds=given.seconds,
    )
    what = "published" if done.created else f"is this package already, published at {done.document['created_at']}"
    return f"{given.model} {done.document['version']}: {what}: {repository.uri(done.document)}"


def _list(given: argparse.Namespace) -> str:
    repository = Repository(given.bucket)
    if given.model is None:
        return "\n".join(repository.models()) or "no model"
    return "\n".join(_line(given.model, entry) for entry in repository.versions(given.model)) or "no version"


def _line(model: str, entry: Listed) -> str:
    head = f"{model} {entry.number}: {entry.state}"
    if entry.document is None:
        return f"{head}: {entry.problem}"
    if entry.state == "withdrawn":
        return f"{head} at {entry.document['withdrawn_at']}: {entry.document['reason']}"
    metrics = ", ".join(f"{name} {value}" for name, value in sorted(entry.document["metadata"]["metrics"].items()))
    return f"{head} at {entry.document['created_at']}" + (f": {metrics}" if metrics else "")


def _show(given: argparse.Namespace) -> str:
    return json.dumps(Repository(given.bucket).get(given.model, given.number), indent=2)


def _compare(given: argparse.Namespace) -> str:
    repository = Repository(given.bucket)
    first, second = (repository.get(given.model, number) for number in (given.first, given.second))
    return "\n".join(map(str, compare(first, second))) or "no difference"


def _fetch(given: argparse.Namespace) -> str:
    repository = Repository(given.bucket)
    document = repository.fetch(
        given.model, given.number, to=given.to, self_test=given.self_test, seconds=given.seconds
    )
    return f"{given.model} {document['version']}: in {given.to}, every checksum compared"


def _check(given: argparse.Namespace) -> str:
    package = Package.read(given.folder)
    report = asdict(run_self_test(package, seconds=given.seconds))
    return (
        f"{given.folder}: {len(package.files)} files; {report['records']} records of the sample predicted as promised, "
        f"{report['milliseconds_per_record']} ms each"
    )


def _export_xml(given: argparse.Namespace) -> str:
    return to_xml(Repository(given.bucket).get(given.model, given.number)).rstrip("\n")


def _withdraw(given: argparse.Namespace) -> str:
    document = Repository(given.bucket).withdraw(given.model, given.number, reason=given.reason)
    return f"{given.model} {given.number}: withdrawn at {document['withdrawn_at']}: {document['reason']}"

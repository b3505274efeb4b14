"""``delivery.toml``: where the pipeline lives, what starts it, and in which order accounts get a change."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from config.loader import ACCOUNTS, account_names, load
from config.section import AccountId, Mistake, Region, Section, key

DELIVERY = Path(__file__).parent / "delivery.toml"
REHEARSAL = "local"

TOOLS = "tools"
"""Name of the stage that holds what accounts take from: registries and packages."""
PUBLICATION = "Publication"
"""Name of the stage that publishes the library, the last of all."""
PIPELINE_STAGES = ("Source", "Build", "UpdatePipeline", "Assets", TOOLS, PUBLICATION)
"""Stages of the pipeline besides its waves."""

MOST_WAVES = 40
"""CodePipeline takes 50 stages: 6 of them are not waves, and CDK Pipelines splits a
stage of more than 50 actions. https://docs.aws.amazon.com/codepipeline/latest/userguide/limits.html"""

LONGEST_BAKE_MINUTES = 420
"""CodePipeline waits 8 hours for CodeBuild; an hour is left for the installation around the bake."""

Email = Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+\.[^@\s]+$")]


def _has_a_file(name: str, info: ValidationInfo) -> str:
    if not info.context:  # made by the code, not read from the file
        return name
    known = info.context["accounts"]
    if name == REHEARSAL:
        raise Mistake(f"{name!r} is the rehearsal's account, not AWS; remove it")
    if name not in known:
        there = ", ".join(each for each in known if each != REHEARSAL) or "none"
        raise Mistake(f"no account file {name!r}; there are: {there}")
    return name


class Source(Section):
    """The repository whose branch the pipeline follows."""

    connection_arn: Annotated[
        str,
        Field(
            pattern=r"^arn:aws[a-z-]*:(codeconnections|codestar-connections):[a-z0-9-]+:\d{12}:connection/[A-Za-z0-9_-]+$"
        ),
    ] = key("ARN of the CodeConnections connection to the host of the repository. Create and confirm it manually.")
    repository: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)+$")] = key(
        "Repository as 'owner/name', in groups 'group/subgroup/name'."
    )
    branch: Annotated[str, Field(pattern=r"^[A-Za-z0-9_./-]+$")] = key(
        "Branch whose commits are delivered.", default="main"
    )


class Packages(Section):
    """The repository of Python packages that other teams install the construct library from."""

    domain: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,48}[a-z0-9]$")] = key(
        "Name of the CodeArtifact domain, one in the account and region."
    )
    reader_accounts: tuple[AccountId, ...] = key(
        "Ids of accounts that may install from it, besides the tools account.", default=()
    )


class Wave(Section):
    """Accounts that are deployed concurrently, after the previous wave has passed."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9-]{0,39}$")] = key("Name of the pipeline's stage.")
    accounts: Annotated[tuple[Annotated[str, AfterValidator(_has_a_file)], ...], Field(min_length=1)] = key(
        "Names of account files, in `config/accounts/`. An account is in one wave only; 'local' is the rehearsal's."
    )
    approval: bool = key(
        "Whether each account needs a manual approval after the gate and before its deployment. "
        "The approver needs the permission codepipeline:PutApprovalResult for the stage.",
        default=False,
    )
    bake_minutes: Annotated[int, Field(ge=0, le=LONGEST_BAKE_MINUTES)] = key(
        "Minutes after the deployment of an account in which no alarm may go off before the next wave begins. "
        "0 skips this check.",
        default=0,
    )
    alarms: tuple[Annotated[str, Field(min_length=1, max_length=255)], ...] = key(
        "Names of additional CloudWatch alarms, metric or composite, to watch in the region of each account of the "
        "wave.",
        default=(),
    )


class Delivery(Section):
    """The delivery pipeline. Without this file, no pipeline exists, and accounts are deployed manually."""

    account: AccountId = key("Id of the tools account, which contains the pipeline: twelve digits in quotes.")
    region: Region = key("Region of the pipeline.")
    source: Source = key("What starts the pipeline.")
    notification_email: Email | None = key(
        "Email address that receives failures and requests for approval, after confirming the subscription. "
        "Default: none; subscribe to the topic in the outputs of the stack.",
        default=None,
    )
    log_days: Literal[30, 60, 90, 180, 365] = key(
        "Days that the pipeline's artifacts and the logs of its builds are kept.", default=90
    )
    packages: Packages | None = key(
        "Where the construct library is published once every account runs it. Default: it is not published.",
        default=None,
    )
    execution_policies: Annotated[
        tuple[Annotated[str, Field(pattern=r"^arn:aws[a-z-]*:iam::(aws|\d{12}):policy/[A-Za-z0-9_+=,.@/-]+$")], ...],
        Field(min_length=1),
    ] = key(
        "ARNs of the policies of the role with which CloudFormation deploys in every account; `make bootstrap` prints "
        "them. A narrower policy must allow everything that the stacks create, including roles and keys.",
        default=("arn:aws:iam::aws:policy/AdministratorAccess",),
    )
    permissions_boundary: Annotated[str, Field(pattern=r"^[A-Za-z0-9_+=,.@-]{1,128}$")] | None = key(
        "Name of a policy in every account that is the permissions boundary of that role. Default: none.",
        default=None,
    )
    waves: Annotated[tuple[Wave, ...], Field(min_length=1, max_length=MOST_WAVES)] = key(
        "Waves in their order. The first should be an account that may break."
    )

    @property
    def accounts(self) -> tuple[str, ...]:
        """Names of all account files that the pipeline deploys, in order."""
        return tuple(name for wave in self.waves for name in wave.accounts)

    @field_validator("waves")
    @classmethod
    def _each_wave_and_account_once(cls, waves: tuple[Wave, ...]) -> tuple[Wave, ...]:
        if problems := list(_problems_of(waves)):
            raise Mistake(*problems)
        return waves


def load_delivery(path: Path = DELIVERY, accounts: Path = ACCOUNTS) -> Delivery:
    """Read and check the file, and that there is an account file for every account that it names.

    :param accounts: folder of the account files.
    :raises ConfigError: with every mistake, one line each.
    """
    return load(path, Delivery, context={"accounts": account_names(accounts)})


def _problems_of(waves: tuple[Wave, ...]) -> Iterator[str]:
    for name, count in Counter(wave.name for wave in waves).items():
        if count > 1:
            yield f"{count} waves are called {name!r}; choose another name"
    for name, count in Counter(name for wave in waves for name in wave.accounts).items():
        if count > 1:
            yield f"account {name!r} is named {count} times; an account is in one wave only"
    for name in (name for wave in waves for name in (wave.name, *wave.accounts) if name in PIPELINE_STAGES):
        yield f"{name!r} is a stage of the pipeline itself; choose another name"

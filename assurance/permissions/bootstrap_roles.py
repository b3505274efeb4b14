"""The roles that ``cdk bootstrap`` creates in every account and region, as far as other identities can reach them.

https://docs.aws.amazon.com/cdk/v2/guide/bootstrapping-env.html, and the template that ``cdk bootstrap --show-template``
prints. Their qualifier is the default one.
"""

from collections.abc import Iterator

from assurance.permissions.physical import Place
from assurance.permissions.roles import Role
from delivery.gate.policies import Names, Statement

_QUALIFIER = "hnb659fds"


def bootstrap_role(kind: str, place: Place) -> str:
    """ARN of one of the roles: ``deploy``, ``file-publishing``, ``image-publishing``, ``lookup``, ``cfn-exec``."""
    name = f"cdk-{_QUALIFIER}-{kind}-role-{place.account}-{place.region}"
    return f"arn:aws:iam::{place.account}:role/{name}"


def bootstrap_roles(place: Place, trusted: str) -> Iterator[Role]:
    """The roles of an account and region.

    :param trusted: the tools account, or the account itself if no other account deploys it.
    """
    accounts = tuple(dict.fromkeys((place.account, trusted)))
    execution = bootstrap_role("cfn-exec", place)
    yield _role("deploy", place, accounts, [
        _allow("cloudformation:*", "*"),
        _allow("iam:PassRole", execution),
    ])  # fmt: skip
    yield _role("lookup", place, accounts, [
        _allow("*:Describe*", "*"), _allow("*:Get*", "*"), _allow("*:List*", "*"), _deny("kms:Decrypt", "*"),
    ])  # fmt: skip
    assets = f"arn:aws:s3:::cdk-{_QUALIFIER}-assets-{place.account}-{place.region}"
    yield _role("file-publishing", place, accounts, [_allow("s3:*", f"{assets}*")])
    images = f"cdk-{_QUALIFIER}-container-assets-{place.account}-{place.region}"
    repository = f"arn:aws:ecr:{place.region}:{place.account}:repository/{images}"
    yield _role("image-publishing", place, accounts, [_allow("ecr:*", repository)])
    trust = _trust(Names(("Service:cloudformation.amazonaws.com",)))
    yield Role(execution, "bootstrap/cfn-exec", place.account, place.region, (_allow("*", "*"),), (trust,))


def _role(kind: str, place: Place, accounts: tuple[str, ...], statements: list[Statement]) -> Role:
    trust = _trust(Names(tuple(f"AWS:arn:aws:iam::{account}:root" for account in accounts)))
    return Role(
        bootstrap_role(kind, place), f"bootstrap/{kind}", place.account, place.region, tuple(statements), (trust,)
    )


def _trust(principals: Names) -> Statement:
    return Statement(True, Names(("sts:AssumeRole",), any_case=True), Names(("*",)), principals, ())


def _allow(action: str, resource: str) -> Statement:
    return Statement(True, Names((action,), any_case=True), Names((resource,)), None, ())


def _deny(action: str, resource: str) -> Statement:
    return Statement(False, Names((action,), any_case=True), Names((resource,)), None, ())

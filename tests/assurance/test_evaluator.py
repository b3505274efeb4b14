"""Decisions of one request, each as IAM's documentation describes it."""

from dataclasses import replace

import pytest

from assurance.permissions.conditions import UnknownOperatorError, holds, resource_like
from assurance.permissions.evaluator import Caller, Request, UndecidableError, decide
from delivery.gate.policies import Statement, statements
from delivery.gate.values import Surroundings, canonical

ACCOUNT, OTHER = "111111111111", "222222222222"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/Reader"
BUCKET = "arn:aws:s3:::models"
KEY = f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/1"


def policy(*bodies: dict[str, object]) -> tuple[Statement, ...]:
    return tuple(statements(canonical({"Statement": list(bodies)}, Surroundings({}))))


def allow(action: str, resource: str, **more: object) -> dict[str, object]:
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def request(action: str, resource: str, *bodies: dict[str, object], account: str = ACCOUNT, **context: str) -> Request:
    caller = Caller(ROLE.replace(ACCOUNT, account), account, policy(*bodies))
    return Request(caller, action, resource, "eu-west-1", {key.replace("__", ":"): one for key, one in context.items()})


def test_without_a_statement_everything_is_refused() -> None:
    assert not decide(request("s3:GetObject", f"{BUCKET}/a"), None, ACCOUNT)


def test_a_denial_anywhere_wins() -> None:
    asked = request("s3:GetObject", f"{BUCKET}/a", allow("s3:*", "*"))
    assert decide(asked, None, ACCOUNT)
    denial = {"Effect": "Deny", "Principal": "*", "Action": "s3:GetObject", "Resource": f"{BUCKET}/*"}
    assert not decide(asked, policy(denial), ACCOUNT)


def test_a_bucket_policy_that_names_a_role_of_its_account_is_enough() -> None:
    named = allow("s3:GetObject", f"{BUCKET}/*", Principal={"AWS": ROLE})
    assert decide(request("s3:GetObject", f"{BUCKET}/a"), policy(named), ACCOUNT)


def test_a_bucket_policy_that_names_the_account_leaves_it_to_the_role() -> None:
    named = allow("s3:GetObject", f"{BUCKET}/*", Principal={"AWS": f"arn:aws:iam::{ACCOUNT}:root"})
    assert not decide(request("s3:GetObject", f"{BUCKET}/a"), policy(named), ACCOUNT)
    own = allow("s3:GetObject", f"{BUCKET}/*")
    assert decide(request("s3:GetObject", f"{BUCKET}/a", own), policy(named), ACCOUNT)


def test_across_accounts_both_sides_must_allow() -> None:
    own, named = (
        allow("s3:GetObject", f"{BUCKET}/*"),
        allow("s3:GetObject", f"{BUCKET}/*", Principal={"AWS": f"arn:aws:iam::{OTHER}:root"}),
    )
    stranger = request("s3:GetObject", f"{BUCKET}/a", own, account=OTHER)
    assert not decide(stranger, None, ACCOUNT)
    assert decide(stranger, policy(named), ACCOUNT)
    assert not decide(request("s3:GetObject", f"{BUCKET}/a", account=OTHER), policy(named), ACCOUNT)


def test_a_key_must_allow_its_account_before_a_role_can_use_it() -> None:
    asked = request("kms:Decrypt", KEY, allow("kms:Decrypt", KEY))
    root = allow("kms:*", "*", Principal={"AWS": f"arn:aws:iam::{ACCOUNT}:root"})
    assert decide(asked, policy(root), ACCOUNT)
    assert not decide(asked, policy(), ACCOUNT)
    assert not decide(asked, None, ACCOUNT)


def test_a_role_is_assumed_only_by_principals_of_its_trust_policy() -> None:
    trust = policy(allow("sts:AssumeRole", "*", Principal={"Service": "lambda.amazonaws.com"}))
    function, instance = (Caller(f"{name}.amazonaws.com", ACCOUNT) for name in ("lambda", "ec2"))
    assert decide(Request(function, "sts:AssumeRole", ROLE, "eu-west-1"), trust, ACCOUNT)
    assert not decide(Request(instance, "sts:AssumeRole", ROLE, "eu-west-1"), trust, ACCOUNT)
    assert not decide(request("sts:AssumeRole", ROLE, allow("sts:AssumeRole", "*")), trust, ACCOUNT)


@pytest.mark.parametrize(
    ("provider", "subject", "allowed"),
    [
        ("one", "system:serviceaccount:churn:model-server", True),
        ("one", "system:serviceaccount:churn:other", False),
        ("other", "system:serviceaccount:churn:model-server", False),
    ],
)
def test_a_token_gets_a_role_by_the_trust_in_its_issuer_and_subject(provider: str, subject: str, allowed: bool) -> None:
    arn = f"arn:aws:iam::{ACCOUNT}:oidc-provider/"
    trust = policy(
        {
            "Effect": "Allow",
            "Principal": {"Federated": f"{arn}one"},
            "Action": "sts:AssumeRoleWithWebIdentity",
            "Condition": {"StringEquals": {"one:sub": "system:serviceaccount:churn:model-server"}},
        }
    )
    caller = Caller(f"{arn}{provider}", ACCOUNT)
    asked = Request(caller, "sts:AssumeRoleWithWebIdentity", ROLE, "eu-west-1", {"one:sub": subject})
    assert bool(decide(asked, trust, ACCOUNT)) is allowed


def test_a_token_is_no_principal_of_an_account() -> None:
    provider = f"arn:aws:iam::{ACCOUNT}:oidc-provider/one"
    asked = Request(Caller(provider, ACCOUNT), "sts:AssumeRoleWithWebIdentity", ROLE, "eu-west-1")
    trust = {"Effect": "Allow", "Principal": {"AWS": provider}, "Action": "sts:AssumeRoleWithWebIdentity"}
    assert not decide(asked, policy(trust), ACCOUNT)


def test_a_boundary_limits_what_a_role_is_allowed() -> None:
    asked = request("s3:GetObject", f"{BUCKET}/a", allow("s3:*", "*"))
    bounded = Caller(ROLE, ACCOUNT, asked.caller.statements, policy(allow("ec2:*", "*")))
    assert not decide(Request(bounded, asked.action, asked.resource, "eu-west-1"), None, ACCOUNT)


def test_policy_variables_stand_for_keys_of_the_request() -> None:
    home = allow("s3:GetObject", f"{BUCKET}/${{aws:PrincipalTag/team}}/*")
    tagged = Request(
        Caller(ROLE, ACCOUNT, policy(home)),
        "s3:GetObject",
        f"{BUCKET}/a/x",
        "eu-west-1",
        {"aws:PrincipalTag/team": "a"},
    )
    assert decide(tagged, None, ACCOUNT)
    assert not decide(request("s3:GetObject", f"{BUCKET}/a/x", home), None, ACCOUNT)


@pytest.mark.parametrize(
    ("condition", "context", "expected"),
    [
        (("StringEquals", "k", ("a",)), {"k": "a"}, True),
        (("StringEquals", "k", ("a",)), {}, False),
        (("StringNotEquals", "k", ("a",)), {}, True),
        (("StringNotEquals", "k", ("a", "b")), {"k": "b"}, False),
        (("StringEqualsIfExists", "k", ("a",)), {}, True),
        (("StringEqualsIfExists", "k", ("a",)), {"k": "b"}, False),
        (("Null", "k", ("true",)), {}, True),
        (("Null", "k", ("false",)), {}, False),
        (("ForAllValues:StringEquals", "k", ("a",)), {}, True),
        (("ForAnyValue:StringEquals", "k", ("a",)), {}, False),
        (("ForAnyValue:StringEquals", "k", ("a",)), {"k": ("b", "a")}, True),
        (("ForAllValues:StringEquals", "k", ("a",)), {"k": ("b", "a")}, False),
        (("ArnLike", "k", ("arn:aws:s3:*:1:x/*",)), {"k": "arn:aws:s3:r:1:x/y"}, True),
        (("ArnLike", "k", ("arn:aws:s3:*:x/*",)), {"k": "arn:aws:s3:r:1:x/y"}, False),
        (("NumericLessThan", "k", ("300",)), {"k": "299"}, True),
        (("Bool", "k", ("true",)), {"k": "TRUE"}, True),
        (("IpAddress", "k", ("10.0.0.0/8",)), {"k": "10.1.2.3"}, True),
        (("NotIpAddress", "k", ("10.0.0.0/8",)), {"k": "10.1.2.3"}, False),
        (("NotIpAddress", "k", ("10.0.0.0/8",)), {}, True),
        (("ForAllValues:StringNotEquals", "k", ("a",)), {}, True),
        (("ForAllValues:StringNotEquals", "k", ("a",)), {"k": ("b", "a")}, False),
        (("ForAnyValue:StringNotEquals", "k", ("a",)), {}, False),
        (("ForAnyValue:StringLike", "k", ("a*",)), {"k": ("b", "ax")}, True),
        (("Null", "k", ("true", "false")), {}, True),
        (("Null", "k", ("true",)), {"k": "a"}, False),
        (("BoolIfExists", "k", ("false",)), {}, True),
        (("Bool", "k", ("false",)), {}, False),
        (("StringNotLike", "k", ("a*",)), {}, True),
        (("StringLike", "k", ("A*",)), {"k": "abc"}, False),
        (("StringEqualsIgnoreCase", "k", ("A",)), {"k": "a"}, True),
        (("ArnEquals", "k", ("arn:aws:iam::1:role/*",)), {"k": "arn:aws:iam::1:role/x"}, True),
        (("ArnLike", "k", ("arn:aws:*",)), {"k": "arn:aws:s3:::a"}, False),
        (("NumericLessThan", "k", ("300",)), {"k": "many"}, False),
        (("DateLessThanEquals", "k", ("2026-01-01T00:00:00Z",)), {"k": "2026-01-01T01:00:00+01:00"}, True),
        (("DateGreaterThan", "k", ("2026-01-01",)), {"k": "1767225601"}, True),
        (("StringLike", "k", ("${o}/*",)), {"k": "a/x", "o": "a"}, True),
        (("StringLike", "k", ("${o}/*",)), {"k": "b/x", "o": "*"}, False),
        (("StringEquals", "k", ("${o}",)), {"k": "*", "o": "*"}, True),
        (("StringEquals", "k", ("${o, 'none'}",)), {"k": "none"}, True),
        (("StringLike", "k", ("a${*}",)), {"k": "ab"}, False),
        (("StringLike", "k", ("a${*}",)), {"k": "a*"}, True),
    ],
)
def test_conditions(condition: tuple[str, str, tuple[str, ...]], context: dict[str, str], expected: bool) -> None:
    assert holds(condition, context) == expected


def test_an_operator_that_iam_does_not_have_is_an_error_and_not_a_refusal() -> None:
    with pytest.raises(UnknownOperatorError, match="StringMatches: IAM has no such condition operator"):
        holds(("StringMatches", "k", ("a",)), {"k": "a"})


@pytest.mark.parametrize(
    ("pattern", "resource", "expected"),
    [
        ("*", "*", True),
        ("arn:aws:sqs:*:*:jobs", "arn:aws:sqs:eu-west-1:1:jobs", True),
        ("arn:aws:sqs:*:jobs", "arn:aws:sqs:eu-west-1:1:jobs", False),
        ("arn:aws:sqs", "arn:aws:sqs:eu-west-1:1:jobs", True),
        ("arn:aws:s3:::a*", "arn:aws:s3:::ab/c:d", True),
        ("arn:aws:logs:*:1:log-group:a:*", "arn:aws:logs:r:1:log-group:a:log-stream:b", True),
        ("arn:aws:iam::1:role/A", "arn:aws:iam::1:role/a", False),
    ],
)
def test_a_wildcard_of_a_resource_ends_with_its_part_of_the_arn(pattern: str, resource: str, expected: bool) -> None:
    assert resource_like(resource, pattern) == expected


def test_not_action_is_about_all_others() -> None:
    but = {"Effect": "Allow", "NotAction": ["iam:*", "sts:*"], "Resource": "*"}
    assert decide(request("s3:GetObject", f"{BUCKET}/a", but), None, ACCOUNT)
    assert not decide(request("iam:CreateUser", "*", but), None, ACCOUNT)
    assert not decide(request("IAM:createuser", "*", but), None, ACCOUNT)


def test_not_resource_is_about_all_others() -> None:
    but = {"Effect": "Deny", "Action": "s3:*", "NotResource": f"{BUCKET}/*"}
    asked = (allow("s3:*", "*"), but)
    assert decide(request("s3:GetObject", f"{BUCKET}/a", *asked), None, ACCOUNT)
    assert not decide(request("s3:GetObject", "arn:aws:s3:::others/a", *asked), None, ACCOUNT)


def test_a_resource_with_a_variable_that_the_request_lacks_is_none() -> None:
    but = {"Effect": "Allow", "Action": "s3:*", "NotResource": f"{BUCKET}/${{aws:PrincipalTag/team}}/*"}
    assert not decide(request("s3:GetObject", f"{BUCKET}/a/x", but), None, ACCOUNT)


def test_a_denial_of_everybody_is_about_services_too() -> None:
    allowed = {"Effect": "Allow", "Principal": {"Service": "s3.amazonaws.com"}, "Action": "sns:Publish"}
    denial = {"Effect": "Deny", "Principal": "*", "Action": "sns:Publish", "Resource": "*"}
    asked = Request(Caller("s3.amazonaws.com", ACCOUNT), "sns:Publish", f"arn:aws:sns:r:{ACCOUNT}:t", "r")
    assert decide(asked, policy(allowed), ACCOUNT)
    assert not decide(asked, policy(allowed, denial), ACCOUNT)


def test_a_service_has_no_account_of_a_customer() -> None:
    """A statement for callers of the account leaves services out, and a denial of all others meets them."""
    service = Request(Caller("logs.amazonaws.com", ACCOUNT), "kms:Decrypt", KEY, "eu-west-1")
    own = {"StringEquals": {"aws:PrincipalAccount": ACCOUNT}}
    assert not decide(service, policy(allow("kms:*", "*", Principal="*", Condition=own)), ACCOUNT)
    caller = {"StringEquals": {"kms:CallerAccount": ACCOUNT}}
    assert not decide(service, policy(allow("kms:*", "*", Principal="*", Condition=caller)), ACCOUNT)
    assert decide(request("kms:Decrypt", KEY), policy(allow("kms:*", "*", Principal="*", Condition=caller)), ACCOUNT)


def test_the_account_of_the_resource_is_known() -> None:
    mine = {"StringEquals": {"aws:ResourceAccount": ACCOUNT}}
    own = allow("s3:GetObject", "*", Condition=mine)
    assert decide(request("s3:GetObject", f"{BUCKET}/a", own), None, ACCOUNT)
    everybody = policy(allow("s3:GetObject", "*", Principal="*"))
    assert not decide(request("s3:GetObject", f"{BUCKET}/a", own), everybody[:0], OTHER)
    assert not decide(request("s3:GetObject", f"{BUCKET}/a", own), everybody, OTHER)


def test_a_denial_of_a_boundary_counts() -> None:
    bounds = policy(allow("*", "*"), {"Effect": "Deny", "Action": "s3:*", "Resource": "*"})
    asked = request("s3:GetObject", f"{BUCKET}/a", allow("s3:*", "*"))
    bounded = Caller(ROLE, ACCOUNT, asked.caller.statements, bounds)
    decision = decide(Request(bounded, asked.action, asked.resource, "eu-west-1"), None, ACCOUNT)
    assert not decision
    assert "boundary" in decision.why


def test_a_principal_is_no_pattern() -> None:
    """IAM takes ``*`` alone: a wildcard in an ARN of a principal names no principal."""
    named = allow("s3:GetObject", f"{BUCKET}/*", Principal={"AWS": f"arn:aws:iam::{ACCOUNT}:role/*"})
    assert not decide(request("s3:GetObject", f"{BUCKET}/a"), policy(named), ACCOUNT)


def test_everybody_of_a_resource_needs_no_right_in_its_account_and_one_in_others() -> None:
    everybody = policy(allow("s3:GetObject", f"{BUCKET}/*", Principal="*"))
    assert decide(request("s3:GetObject", f"{BUCKET}/a"), everybody, ACCOUNT)
    assert not decide(request("s3:GetObject", f"{BUCKET}/a", account=OTHER), everybody, ACCOUNT)


def test_an_endpoint_must_let_a_request_pass_and_grants_nothing() -> None:
    only_own = policy(allow("s3:*", f"{BUCKET}/*", Principal="*"))
    own = request("s3:GetObject", f"{BUCKET}/a", allow("s3:*", "*"))
    other = request("s3:GetObject", "arn:aws:s3:::others/a", allow("s3:*", "*"))
    without = request("s3:GetObject", f"{BUCKET}/a")
    for asked, expected in ((own, True), (other, False), (without, False)):
        assert bool(decide(replace(asked, endpoints=(only_own,)), None, ACCOUNT)) == expected
    closed = policy(allow("*", "*", Principal="*"), {"Effect": "Deny", "Principal": "*", "Action": "s3:*"})
    assert "denied by the endpoint" in decide(replace(own, endpoints=(closed,)), None, ACCOUNT).why


def test_a_statement_for_all_but_some_principals_is_not_decided() -> None:
    but = {"Effect": "Deny", "NotPrincipal": {"AWS": ROLE}, "Action": "s3:*", "Resource": "*"}
    with pytest.raises(UndecidableError, match="aws:PrincipalArn in its place"):
        decide(request("s3:GetObject", f"{BUCKET}/a", allow("s3:*", "*")), policy(but), ACCOUNT)

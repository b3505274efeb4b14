"""What the gate calls safe allows nothing new: checked against every request of a small world.

The comparison works on patterns and never looks at a single request. Here single requests are looked at: whatever the
statements, rules or bindings, if nothing is said to be wider, nothing is allowed after that was not allowed before.
"""

import itertools
import re
from collections.abc import Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from delivery.gate import rbac
from delivery.gate.network_access import Rule
from delivery.gate.policies import matches, overlap, statements, widened

ACTIONS = ("s3:Get", "s3:Put", "iam:Pass")
RESOURCES = ("one/a", "one/b", "two/a")
TEAMS = (None, "churn", "fraud")

text = st.text("ab*?", max_size=4)
action = st.sampled_from([*ACTIONS, "*", "s3:*", "S3:GET", "s3:?et"])
resource = st.sampled_from([*RESOURCES, "*", "one/*", "*/a"])
condition = st.sampled_from(
    [
        {},
        {"StringEquals": {"team": ["churn"]}},
        {"StringEquals": {"team": ["churn", "fraud"]}},
        {"StringLike": {"team": ["*u*"]}},
        {"StringNotEquals": {"team": ["churn"]}},
    ]
)
statement = st.builds(
    lambda effect, a, b, actions, resources, condition: {
        "Effect": effect,
        a: actions,
        b: resources,
        **({"Condition": condition} if condition else {}),
    },
    st.sampled_from(["Allow", "Allow", "Deny"]),
    st.sampled_from(["Action", "Action", "NotAction"]),
    st.sampled_from(["Resource", "Resource", "NotResource"]),
    st.lists(action, min_size=1, max_size=2),
    st.lists(resource, min_size=1, max_size=2),
    condition,
)
policy = st.lists(statement, max_size=3)


def is_like(pattern: str, name: str) -> bool:
    """A pattern of IAM: `*` for anything, `?` for one character."""
    return bool(re.fullmatch("".join({"*": ".*", "?": "."}.get(sign) or re.escape(sign) for sign in pattern), name))


def applies(statement: dict[str, Any], action: str, resource: str, team: str | None) -> bool:
    """Whether the statement applies to a request, according to IAM's documentation."""
    for key, name in (("Action", action.lower()), ("Resource", resource)):
        fold = str.lower if key == "Action" else str
        if key in statement and not any(is_like(fold(one), name) for one in statement[key]):
            return False
        if f"Not{key}" in statement and any(is_like(fold(one), name) for one in statement[f"Not{key}"]):
            return False
    for operator, keys in statement.get("Condition", {}).items():
        values = keys["team"]
        held = {
            "StringEquals": team in values,
            "StringLike": team is not None and any(is_like(one, team) for one in values),
            "StringNotEquals": team not in values,
        }
        if not held[operator]:
            return False
    return True


def allows(policy: Sequence[dict[str, Any]], *request: Any) -> bool:
    effects = {one["Effect"] for one in policy if applies(one, *request)}
    return "Allow" in effects and "Deny" not in effects


@settings(max_examples=600, deadline=None)
@given(policy, policy)
def test_a_policy_that_is_not_wider_allows_no_request_that_the_old_one_did_not(before: Any, after: Any) -> None:
    found = widened(statements({"Statement": before}), statements({"Statement": after}))
    if not found:
        for request in itertools.product(ACTIONS, RESOURCES, TEAMS):
            assert not allows(after, *request) or allows(before, *request)


@settings(max_examples=100, deadline=None)
@given(policy)
def test_a_policy_is_not_wider_than_itself_in_any_order(before: Any) -> None:
    assert widened(statements({"Statement": before}), statements({"Statement": before[::-1]})) == []


@settings(max_examples=500, deadline=None)
@given(text, text, st.text("ab", max_size=4))
def test_a_pattern_covers_another_only_where_it_matches_all_of_its_names(one: str, other: str, name: str) -> None:
    if matches(one, other) and is_like(other, name):
        assert is_like(one, name)
    if is_like(one, name) and is_like(other, name):
        assert overlap(one, other)


VERBS = ("get", "delete")
KINDS = ("pods", "pods/log", "secrets")
PLACES = ("a", "b")
NAMES = ("x", "y")
rule = st.builds(
    lambda verbs, kinds, names: {
        "apiGroups": [""],
        "resources": kinds,
        "verbs": verbs,
        **({"resourceNames": names} if names else {}),
    },
    st.lists(st.sampled_from([*VERBS, "*"]), min_size=1, max_size=2),
    st.lists(st.sampled_from([*KINDS, "*", "*/log"]), min_size=1, max_size=2),
    st.lists(st.sampled_from(NAMES), max_size=2),
)
grants = st.lists(st.tuples(st.lists(rule, max_size=2), st.sampled_from([None, *PLACES])), max_size=3)


def objects(grants: Any) -> list[dict[str, Any]]:
    """A role and a binding to one user for each grant; a place makes it a binding of that namespace."""
    found: list[dict[str, Any]] = []
    for number, (rules, place) in enumerate(grants):
        found.append({"kind": "ClusterRole", "metadata": {"name": f"r{number}"}, "rules": rules})
        metadata = {"name": f"b{number}"} | ({"namespace": place} if place else {})
        found.append(
            {
                "kind": "RoleBinding" if place else "ClusterRoleBinding",
                "metadata": metadata,
                "roleRef": {"kind": "ClusterRole", "name": f"r{number}"},
                "subjects": [{"kind": "User", "name": "ana"}],
            }
        )
    return found


def permits(grants: Any, verb: str, kind: str, name: str, namespace: str) -> bool:
    """Whether Kubernetes authorizes the user, according to its documentation."""
    for rules, place in grants:
        for one in rules:
            part = kind.partition("/")[2]
            kinds = {"*", kind} | ({f"*/{part}"} if part else set())
            if (
                place in (None, namespace)
                and {verb, "*"} & set(one["verbs"])
                and kinds & set(one["resources"])
                and name in one.get("resourceNames", [name])
            ):
                return True
    return False


@settings(max_examples=400, deadline=None)
@given(grants, grants)
def test_permissions_that_are_not_wider_allow_nothing_new(before: Any, after: Any) -> None:
    old, new = rbac.permissions(objects(before)), rbac.permissions(objects(after))
    if not rbac.widened(old.get("User ana", ()), new.get("User ana", ())):
        for request in itertools.product(VERBS, KINDS, NAMES, PLACES):
            assert not permits(after, *request) or permits(before, *request)


ports = st.tuples(st.integers(0, 5), st.integers(0, 5)).map(lambda two: (min(two), max(two)))
peer = st.sampled_from(["10.0.0.0/8", "10.1.0.0/16", "0.0.0.0/0", "::/0", "fd00::/8", "«prod-Network/Group»"])
traffic = st.builds(Rule, st.just("ingress"), st.sampled_from(["tcp", "udp", "-1"]), ports, peer)
ADDRESSES = {
    "10.2.0.1": ("10.0.0.0/8", "0.0.0.0/0"),
    "10.1.0.1": ("10.0.0.0/8", "10.1.0.0/16", "0.0.0.0/0"),
    "8.8.8.8": ("0.0.0.0/0",),
    "fd00::1": ("fd00::/8", "::/0"),
}


def passes(rule: Rule, protocol: str, port: int, address: str) -> bool:
    assert not isinstance(rule.ports, str)
    at = rule.protocol == "-1" or (rule.protocol == protocol and rule.ports[0] <= port <= rule.ports[1])
    return at and rule.peer in ADDRESSES[address]


@settings(max_examples=300, deadline=None)
@given(traffic, traffic)
def test_a_rule_covers_another_only_where_all_of_its_traffic_passes(one: Rule, other: Rule) -> None:
    if one.covers(other):
        for packet in itertools.product(("tcp", "udp"), range(6), ADDRESSES):
            assert not passes(other, *packet) or passes(one, *packet)

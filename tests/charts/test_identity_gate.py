"""The objects of the identity gate: who is admitted, by what, and what a careless setting is refused for."""

import json
from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion

from charts.catalog import Catalog
from charts.kit import istio
from charts.kit.identity_gate import Machines, People, SigningKeys, TokenIssuer, identity_gate

ISSUER = "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Example01"
KEYS = SigningKeys.at(f"{ISSUER}/.well-known/jwks.json")
PUBLIC = {"kty": "RSA", "kid": "key-1", "n": "AQAB", "e": "AQAB"}
MACHINES = [Machines(scope="mlplatform/pipelines", paths=["/pipeline/*"])]


def gate(**changes: Any) -> list[dict[str, Any]]:
    settings: dict[str, Any] = {
        "hosts": ["kubeflow.ml.example.com"],
        "issuer": TokenIssuer(url=ISSUER, keys=KEYS),
        "people": People(clients=["people-client"]),
        "machines": MACHINES,
    }
    return identity_gate("platform", **{**settings, **changes})


def test_the_objects_of_the_gate(snapshot_json: SnapshotAssertion) -> None:
    assert gate() == snapshot_json


def test_the_gate_is_of_kinds_that_istio_defines() -> None:
    definitions = Catalog.load().definitions("edge/istio")
    known = {
        (f"{found['spec']['group']}/{version['name']}", found["spec"]["names"]["kind"])
        for found in definitions
        for version in found["spec"]["versions"]
    }
    objects = [*gate(), istio.gateway("platform", "istio-system", hosts=["kubeflow.ml.example.com"])]
    assert {(found["apiVersion"], found["kind"]) for found in objects} <= known


@pytest.mark.promise("identity-in-mesh", "verified-identity")
def test_every_request_needs_a_name_a_known_client_and_an_access_token() -> None:
    authentication, allow, *_ = gate(machines=())
    (rule,) = allow["spec"]["rules"]
    assert {each["key"]: each["values"] for each in rule["when"]} == {
        "request.auth.claims[token_use]": ["access"],
        "request.auth.claims[client_id]": ["people-client"],
        "request.auth.claims[email]": ["*"],
        "request.headers[x-amzn-oidc-accesstoken]": ["*"],
    }
    assert authentication["spec"]["jwtRules"][0]["forwardOriginalToken"] is True  # the gateway removes it later
    assert rule["from"] == [{"source": {"requestPrincipals": [f"{ISSUER}/*"]}}]


def test_without_machines_a_bearer_token_is_the_business_of_workloads() -> None:
    (authentication, _, deny, _) = gate(machines=())
    assert [rule["fromHeaders"] for rule in authentication["spec"]["jwtRules"]] == [
        [{"name": "x-amzn-oidc-accesstoken"}]
    ]
    assert "authorization" not in json.dumps(deny)


def test_keys_can_stand_in_the_object_itself() -> None:
    keys = SigningKeys.inline(json.dumps({"keys": [PUBLIC]}))
    authentication, *_ = gate(issuer=TokenIssuer(url=ISSUER, keys=keys))
    for rule in authentication["spec"]["jwtRules"]:
        assert json.loads(rule["jwks"]) == {"keys": [PUBLIC]}
        assert "jwksUri" not in rule


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"hosts": []}, "platform: hosts is empty"),
        ({"hosts": ["*"]}, r"host '\*' must be one name"),
        ({"hosts": ["a.example.com:443"]}, "host 'a.example.com:443' must be one name without a port"),
        ({"people": People(clients=[])}, "people.clients is empty"),
        ({"people": People(clients=["c"], token_header="x_token")}, "header 'x_token' must be in lower case"),
        ({"people": People(clients=["c"], token_header="authorization")}, "people and machines share the header"),
        ({"user_header": "Kubeflow-Userid"}, "header 'Kubeflow-Userid' must be in lower case"),
        ({"machines": [Machines(scope="s", paths=[])]}, "scope 's' opens no path"),
        ({"machines": [Machines(scope="s", paths=["/*"])]}, r"path '/\*' must start with / and name one part"),
        ({"machines": [Machines(scope="s", paths=["pipeline"])]}, "path 'pipeline' must start with /"),
    ],
)
def test_a_gate_that_would_admit_too_much_or_nothing_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        gate(**changes)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ([], "the set has no keys"),
        ([{"kty": "oct", "kid": "shared", "k": "c2VjcmV0"}], "key shared is not a public RSA or EC key"),
        ([{**PUBLIC, "d": "AQAB"}], "key key-1 is not a public RSA or EC key"),
    ],
)
def test_keys_that_let_others_sign_are_refused(keys: list[dict[str, str]], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        SigningKeys.inline(json.dumps({"keys": keys}))


def test_keys_are_not_fetched_without_tls() -> None:
    with pytest.raises(ValueError, match="the URL must start with https://, got 'http://keys.example.org'"):
        SigningKeys.at("http://keys.example.org")


def test_keys_of_a_service_of_the_cluster_need_no_tls_and_others_do() -> None:
    assert SigningKeys.of_service("http://dex.auth.svc.cluster.local:5556/keys").rule == "jwksUri"
    with pytest.raises(ValueError, match="must be http://<service>.<namespace>.svc.cluster.local"):
        SigningKeys.of_service("http://dex.example.org/keys")


def test_a_provider_of_openid_connect_passes_tokens_as_bearers_for_an_audience() -> None:
    people = People(clients=["kubeflow"], token_header="authorization", token_prefix="Bearer ", client_claim="aud")
    authentication, allow, _, patches = gate(people=people, machines=())
    (rule,) = authentication["spec"]["jwtRules"]
    assert rule["fromHeaders"] == [{"name": "authorization", "prefix": "Bearer "}]
    needed = {each["key"]: each["values"] for each in allow["spec"]["rules"][0]["when"]}
    assert needed["request.auth.claims[aud]"] == ["kubeflow"]
    assert needed["request.headers[authorization]"] == ["Bearer *"]
    removed = patches["spec"]["configPatches"][-1]["patch"]["value"]
    assert removed == {"request_headers_to_remove": ["authorization"]}

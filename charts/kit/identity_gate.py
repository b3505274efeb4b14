"""The identity gate: a gateway of the mesh that admits only requests with a verified token, and says whose they are."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from charts.kit.istio import (
    GATEWAY_NAMESPACE,
    GATEWAY_PODS,
    authorization_policy,
    envoy_filter,
    http_filter,
    removed_headers,
)
from charts.kit.objects import Manifest, metadata
from mlplatform_constructs import ConfigurationError

USER_HEADER = "kubeflow-userid"
"""Header in which Kubeflow's services expect the address of the person who calls."""
GROUPS_HEADER = "kubeflow-groups"
"""Header in which they would take groups of that person. The gate never writes it and refuses requests with it."""
PERSON_TOKEN_HEADER = "x-amzn-oidc-accesstoken"
"""Header in which an Application Load Balancer passes on the access token of a person that it signed in.

https://docs.aws.amazon.com/elasticloadbalancing/latest/application/listener-authenticate-users.html#user-claims-encoding
"""

_JWT_FILTER = "envoy.filters.http.jwt_authn"
_CLAIMS = "payload"  # where Istio has Envoy keep the claims of a verified token
_BEARER = "Bearer "


@dataclass(frozen=True)
class SigningKeys:
    """The public keys of an issuer of tokens. Create them by :meth:`inline` or :meth:`at`."""

    rule: str
    value: str

    @classmethod
    def inline(cls, jwks: str) -> Self:
        """Keys as a JSON Web Key Set, for networks without internet access. Deploy them again when they rotate.

        :raises ConfigurationError: for a set without keys, or with a key that is not a public RSA or EC key.
        """
        if jwks.lstrip().startswith("{"):  # else a value that is known at deployment only
            _check_keys(jwks)
        return cls("jwks", jwks)

    @classmethod
    def at(cls, url: str) -> Self:
        """Keys that istiod fetches from an address, again every 20 minutes.

        :raises ConfigurationError: for an address without TLS: who answers there decides who everybody is.
        """
        if not url.startswith(("https://", "${")):
            raise ConfigurationError(f"signing keys: the URL must start with https://, got {url!r}")
        return cls("jwksUri", url)

    @classmethod
    def of_service(cls, url: str) -> Self:
        """Keys that istiod fetches from a Service of the cluster, without TLS. Allow no other callers of that Service.

        :raises ConfigurationError: for an address outside the cluster.
        """
        if not re.match(r"http://[-a-z0-9.]+\.svc\.cluster\.local(:\d+)?/", url):
            raise ConfigurationError(
                f"signing keys: the URL must be http://<service>.<namespace>.svc.cluster.local, got {url!r}"
            )
        return cls("jwksUri", url)


@dataclass(frozen=True, kw_only=True)
class TokenIssuer:
    """Whose tokens count. A token needs a time at which it expires.

    :param url: claim ``iss``, exactly; of a user pool ``https://cognito-idp.<region>.amazonaws.com/<pool id>``.
    :param claims: claims that every token must have, with the values that each may have. Default: ``token_use`` is
        ``access``, as in access tokens of Cognito.
        https://docs.aws.amazon.com/cognito/latest/developerguide/amazon-cognito-user-pools-using-the-access-token.html
    """

    url: str
    keys: SigningKeys
    claims: Mapping[str, Sequence[str]] = field(default_factory=lambda: {"token_use": ("access",)})


@dataclass(frozen=True, kw_only=True)
class People:
    """Requests of people, whom the load balancer has signed in.

    :param clients: ids of the issuer's clients that people sign in by; tokens for any other client do not count.
    :param token_header: where the load balancer passes the token on.
    :param token_prefix: what stands before the token in that header.
    :param name_claim: claim that names the person.
    :param client_claim: claim that names the client. Default: that of access tokens of Cognito; ``aud`` in tokens of
        OpenID Connect.
    """

    clients: Sequence[str]
    token_header: str = PERSON_TOKEN_HEADER
    token_prefix: str = ""
    name_claim: str = "email"
    client_claim: str = "client_id"


@dataclass(frozen=True, kw_only=True)
class Machines:
    """Requests of programs, with a token as ``Authorization: Bearer``. A program is named by the id of its client.

    :param scope: scope that the token must have, in full.
    :param paths: what it opens: paths, or prefixes that end in ``*``.
    """

    scope: str
    paths: Sequence[str]


def identity_gate(
    name: str,
    *,
    hosts: Sequence[str],
    issuer: TokenIssuer,
    people: People,
    machines: Sequence[Machines] = (),
    user_header: str = USER_HEADER,
    namespace: str = GATEWAY_NAMESPACE,
    pods: Mapping[str, str] = GATEWAY_PODS,
) -> list[dict[str, Any]]:
    """The objects that make a gateway verify who calls: without one good token a request ends there.

    Behind the gate, ``user_header`` is the caller's verified name and nothing else: what a client sends under that name
    is dropped. The token itself is not passed on. A workload behind the gate must admit only the gateway's service
    account (:func:`charts.kit.istio.admits`), because pods can write that header, too.

    The mesh must normalize paths and refuse header names with underscores, which some frameworks read as hyphens; the
    platform's own mesh does both.

    :param name: of the objects.
    :param hosts: names under which people and programs call, without ports.
    :param namespace: of the gateway's pods.
    :param pods: labels of the gateway's pods.
    :raises ConfigurationError: for a gate that would admit too many callers, or none.
    """
    _check(name, hosts, people, machines, user_header)
    token_headers = [people.token_header, *(["authorization"] if machines else [])]
    return [
        _authentication(name, namespace, pods, issuer, people, bool(machines), user_header),
        authorization_policy(
            name,
            namespace,
            _rule(
                issuer,
                hosts,
                [(people.client_claim, people.clients), (people.name_claim, ["*"])],
                {**_header(people.token_header), "values": [f"{people.token_prefix}*"]},
            ),
            *(
                # Envoy has taken the verified token of a program away by now, and would have left that of a person.
                _rule(
                    issuer,
                    hosts,
                    [("scope", [each.scope])],
                    {**_header(people.token_header), "notValues": ["*"]},
                    each.paths,
                )
                for each in machines
            ),
            pods=pods,
        ),
        authorization_policy(
            f"{name}-one-identity",
            namespace,
            {"when": [{**_header(GROUPS_HEADER), "values": ["*"]}]},
            *([{"when": _both_tokens(people.token_header)}] if machines else []),
            pods=pods,
            action="DENY",
        ),
        envoy_filter(
            name,
            namespace,
            http_filter(_one_token(token_headers), before=_JWT_FILTER),
            http_filter(_whole_claims(people.name_claim), after=_JWT_FILTER),
            removed_headers(people.token_header),
            pods=pods,
        ),
    ]


def _authentication(
    name: str,
    namespace: str,
    pods: Mapping[str, str],
    issuer: TokenIssuer,
    people: People,
    machines: bool,
    user_header: str,
) -> dict[str, Any]:
    def rule(header: Manifest, name_claim: str, *, keep: bool = False) -> dict[str, Any]:
        return {
            "issuer": issuer.url,
            issuer.keys.rule: issuer.keys.value,
            "fromHeaders": [dict(header)],
            "forwardOriginalToken": keep,
            "outputClaimToHeaders": [{"header": user_header, "claim": name_claim}],
        }

    # Policies tell people by this header; it is removed on the way to the workload.
    prefix = {"prefix": people.token_prefix} if people.token_prefix else {}
    rules = [rule({"name": people.token_header, **prefix}, people.name_claim, keep=True)]
    if machines:
        rules.append(rule({"name": "authorization", "prefix": _BEARER}, "client_id"))
    return {
        "apiVersion": "security.istio.io/v1",
        "kind": "RequestAuthentication",
        "metadata": metadata(name, namespace),
        "spec": {"selector": {"matchLabels": dict(pods)}, "jwtRules": rules},
    }


def _rule(
    issuer: TokenIssuer,
    hosts: Sequence[str],
    claims: Iterable[tuple[str, Sequence[str]]],
    header: Manifest,
    paths: Sequence[str] = (),
) -> dict[str, Any]:
    """Requests with a token of the issuer that has the claims, and with or without a header."""
    operation: dict[str, Any] = {"hosts": [form for host in hosts for form in (host, f"{host}:*")]}
    if paths:
        operation["paths"] = list(paths)
    needed = [*issuer.claims.items(), *claims]
    return {
        "from": [{"source": {"requestPrincipals": [f"{issuer.url}/*"]}}],
        "to": [{"operation": operation}],
        "when": [
            *({"key": f"request.auth.claims[{claim}]", "values": list(values)} for claim, values in needed),
            dict(header),
        ],
    }


def _header(name: str) -> dict[str, Any]:
    return {"key": f"request.headers[{name}]"}


def _both_tokens(person: str) -> list[dict[str, Any]]:
    """A person's token, and with it an unverified one of a program."""
    return [{**_header(person), "values": ["*"]}, {**_header("authorization"), "values": [f"{_BEARER}*"]}]


def _one_token(headers: Sequence[str]) -> dict[str, Any]:
    """An Envoy filter that refuses a request with several tokens of one kind.

    Envoy would verify each and write the name of each. Policies look at each value of a header alone; a matcher gets
    all values with commas between.
    """

    def several(header: str) -> dict[str, Any]:
        value = {
            "name": header,
            "typed_config": {
                "@type": "type.googleapis.com/envoy.type.matcher.v3.HttpRequestHeaderMatchInput",
                "header_name": header,
            },
        }
        return {
            "predicate": {"single_predicate": {"input": value, "value_match": {"contains": ","}}},
            "on_match": _decision("more-than-one-token", "DENY"),
        }

    matchers = {"matchers": [several(header) for header in headers]}
    return _rbac("one_token", matcher={"matcher_list": matchers, "on_no_match": _decision("one-token", "ALLOW")})


def _decision(name: str, action: str) -> dict[str, Any]:
    decided = {"@type": "type.googleapis.com/envoy.config.rbac.v3.Action", "name": name, "action": action}
    return {"action": {"name": name, "typed_config": decided}}


def _whole_claims(name_claim: str) -> dict[str, Any]:
    """An Envoy filter for what Istio's policies cannot ask of a verified token: it expires, and names one person."""

    def claim(name: str, value: Manifest) -> dict[str, Any]:
        path = [{"key": _CLAIMS}, {"key": name}]
        return {"sourced_metadata": {"metadata_matcher": {"filter": _JWT_FILTER, "path": path, "value": dict(value)}}}

    there: Manifest = {"present_match": True}
    text: Manifest = {"string_match": {"safe_regex": {"regex": ".+"}}}
    endless = [claim("iss", there), {"not_id": claim("exp", there)}]
    nameless = [claim(name_claim, there), {"not_id": claim(name_claim, text)}]
    refused = {"permissions": [{"any": True}], "principals": [{"and_ids": {"ids": ids}} for ids in (endless, nameless)]}
    return _rbac("whole_claims", rules={"action": "DENY", "policies": {"claim-missing": refused}})


def _rbac(name: str, **decides: Any) -> dict[str, Any]:
    """https://www.envoyproxy.io/docs/envoy/latest/api-v3/extensions/filters/http/rbac/v3/rbac.proto"""
    kind = "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC"
    return {"name": f"mlplatform.{name}", "typed_config": {"@type": kind, **decides}}


def _check(name: str, hosts: Sequence[str], people: People, machines: Sequence[Machines], user_header: str) -> None:
    def refuse(what: str) -> None:
        raise ConfigurationError(f"identity gate {name}: {what}")

    if not hosts:
        refuse("hosts is empty; give the names under which people call")
    for host in hosts:
        if "*" in host or ":" in host:
            refuse(f"host {host!r} must be one name without a port; the gate adds the ports itself")
    if not people.clients:
        refuse("people.clients is empty; give the ids of the clients that people sign in by")
    for header in (people.token_header, user_header):
        if "_" in header or header != header.lower():
            refuse(f"header {header!r} must be in lower case, with hyphens and no underscores")
    if machines and people.token_header == "authorization":
        refuse("people and machines share the header 'authorization'; leave machines out")
    for each in machines:
        if not each.paths:
            refuse(f"scope {each.scope!r} opens no path; give at least one")
        for path in each.paths:
            if not path.startswith("/") or path in ("/*", "/"):
                refuse(f"scope {each.scope!r}: path {path!r} must start with / and name one part of the platform")


def _check_keys(jwks: str) -> None:
    keys = json.loads(jwks).get("keys") or []
    if not keys:
        raise ConfigurationError("signing keys: the set has no keys; give the issuer's public keys")
    for key in keys:
        if key.get("kty") not in ("RSA", "EC") or "d" in key:
            kid = key.get("kid", "without id")
            raise ConfigurationError(f"signing keys: key {kid} is not a public RSA or EC key; give public keys only")

"""A model of an Application Load Balancer that answers by the rules of a template, and a browser to ask it with.

It does what AWS documents of listener rules with authentication, for as much as the platform uses of it:
https://docs.aws.amazon.com/elasticloadbalancing/latest/application/listener-authenticate-users.html
https://docs.aws.amazon.com/elasticloadbalancing/latest/application/listener-verify-jwt.html

What it does not know is an error, never an answer.
"""

import base64
import json
import re
import secrets
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

COOKIE_BYTES = 4096
CALLBACK = "/oauth2/idpresponse"

Headers = dict[str, str]


@dataclass
class Request:
    """What a client asks of the load balancer, over TLS."""

    url: str
    method: str = "GET"
    headers: Headers = field(default_factory=dict)

    @property
    def host(self) -> str:
        return urlsplit(self.url).netloc

    @property
    def path(self) -> str:
        return urlsplit(self.url).path or "/"

    @property
    def query(self) -> dict[str, str]:
        return {name: values[0] for name, values in parse_qs(urlsplit(self.url).query).items()}


@dataclass
class Response:
    """What comes back. Headers are pairs, because a response sets several cookies."""

    status: int
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: str = ""

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)


Endpoint = Callable[[str, str, Headers, bytes | None], Response]
"""Calls a public address: method, URL, headers, body."""


class LoadBalancer:
    """The rules of one listener.

    :param rules: properties of ``AWS::ElasticLoadBalancingV2::ListenerRule``, references replaced.
    :param default: the listener's default actions.
    :param call: how it reaches the user pool's addresses.
    :param functions: behind a target group, by its reference.
    :param client_secret: of the user pool's client, which AWS gives to the load balancer.
    """

    def __init__(
        self,
        rules: list[dict[str, Any]],
        default: list[dict[str, Any]],
        *,
        call: Endpoint,
        functions: Mapping[str, Callable[[dict[str, Any], object], dict[str, Any]]],
        client_secret: str = "",
    ) -> None:
        self._rules = sorted(rules, key=lambda rule: int(rule["Priority"]))
        self._default = default
        self._call = call
        self._functions = functions
        self._client_secret = client_secret
        self._signing_key = ec.generate_private_key(ec.SECP256R1())
        self._sessions: dict[str, dict[str, Any]] = {}
        self._asked: dict[str, str] = {}
        self.clock: Callable[[], float] = time.time
        self.received: list[Headers] = []
        """Headers of every request that was passed on to the targets."""

    def answer(self, request: Request) -> Response:
        """Take the first rule that fits."""
        for rule in self._rules:
            if all(self._fits(condition, request) for condition in rule["Conditions"]):
                return self._do(sorted(rule["Actions"], key=lambda action: action.get("Order", 1)), request)
        return self._do(self._default, request)

    def claims(self, signed: str) -> dict[str, Any]:
        """The claims of ``x-amzn-oidc-data``, if this load balancer signed them."""
        head, body, signature = signed.split(".")
        raw = _decode(signature)
        r, s = int.from_bytes(raw[:32]), int.from_bytes(raw[32:])
        self._signing_key.public_key().verify(
            encode_dss_signature(r, s), f"{head}.{body}".encode(), ec.ECDSA(hashes.SHA256())
        )
        claims: dict[str, Any] = json.loads(_decode(body))
        return claims

    def _fits(self, condition: Mapping[str, Any], request: Request) -> bool:
        match condition["Field"]:
            case "host-header":
                return _like(request.host, condition["HostHeaderConfig"]["Values"])
            case "path-pattern":
                wanted = condition["PathPatternConfig"]
                if "RegexValues" in wanted:
                    return any(re.search(pattern, request.path) for pattern in wanted["RegexValues"])
                return _like(request.path, wanted["Values"], case=True)
            case "http-header":
                wanted = condition["HttpHeaderConfig"]
                there = _lower(request.headers).get(wanted["HttpHeaderName"].lower())
                return there is not None and _like(there, wanted["Values"])
        raise AssertionError(f"cannot decide {condition}")

    def _do(self, actions: list[dict[str, Any]], request: Request) -> Response:
        passed_on = {name: value for name, value in request.headers.items() if name.lower() != "cookie"}
        for action in actions:
            match action["Type"]:
                case "fixed-response":
                    return Response(int(action["FixedResponseConfig"]["StatusCode"]))
                case "redirect":
                    return _redirect(action["RedirectConfig"], request)
                case "authenticate-cognito":
                    refusal = self._sign_in(action["AuthenticateCognitoConfig"], request, passed_on)
                case "jwt-validation":
                    refusal = self._check_token(action["JwtValidationConfig"], request)
                case "forward":
                    return self._forward(action["TargetGroupArn"], request, passed_on)
                case other:
                    raise AssertionError(f"cannot do {other}")
            if refusal:
                return refusal
        raise AssertionError("a rule must end somewhere")

    def _forward(self, group: str, request: Request, headers: Headers) -> Response:
        if group not in self._functions:
            self.received.append(_lower(headers))
            return Response(200, body="the platform")
        multi = {name: [value] for name, value in _lower(request.headers).items()}
        event = {"httpMethod": request.method, "path": request.path, "multiValueHeaders": multi, "body": ""}
        answer = self._functions[group](event, None)
        assert set(answer) >= {"statusCode", "multiValueHeaders", "body", "isBase64Encoded"}
        pairs = [(name, value) for name, values in answer["multiValueHeaders"].items() for value in values]
        return Response(answer["statusCode"], pairs, answer["body"])

    def _sign_in(self, config: Mapping[str, Any], request: Request, passed_on: Headers) -> Response | None:
        name = config["SessionCookieName"]
        if request.path == CALLBACK:
            return self._end_sign_in(config, request)
        for header in [each for each in passed_on if each.lower().startswith("x-amzn-oidc-")]:
            del passed_on[header]
        session = self._sessions.get(_joined(name, request.headers.get("Cookie", "")))
        if session and session["until"] > self.clock():
            passed_on["x-amzn-oidc-data"] = self._sign(session["claims"])
            passed_on["x-amzn-oidc-identity"] = session["claims"]["sub"]
            passed_on["x-amzn-oidc-accesstoken"] = session["access_token"]
            return None
        state = secrets.token_urlsafe(16)
        self._asked[state] = request.url
        query = {
            "client_id": config["UserPoolClientId"],
            "redirect_uri": f"https://{request.host}{CALLBACK}",
            "response_type": "code",
            "scope": config["Scope"],
            "state": state,
        }
        return Response(302, [("Location", f"https://{config['UserPoolDomain']}/oauth2/authorize?{urlencode(query)}")])

    def _end_sign_in(self, config: Mapping[str, Any], request: Request) -> Response:
        asked = self._asked.pop(request.query.get("state", ""), None)
        if asked is None:
            return Response(401)
        base = f"https://{config['UserPoolDomain']}"
        form = {
            "grant_type": "authorization_code",
            "code": request.query["code"],
            "redirect_uri": f"https://{request.host}{CALLBACK}",
            "client_id": config["UserPoolClientId"],
            "client_secret": self._client_secret,
        }
        tokens = self._call("POST", f"{base}/oauth2/token", _FORM, urlencode(form).encode())
        if tokens.status != 200:
            return Response(561, body=tokens.body)
        access = json.loads(tokens.body)["access_token"]
        claims = self._call("GET", f"{base}/oauth2/userInfo", {"Authorization": f"Bearer {access}"}, None)
        timeout = int(config["SessionTimeout"])
        session = secrets.token_urlsafe(6000)  # as long as tokens and claims are, and so two cookies
        self._sessions[session] = {
            "claims": json.loads(claims.body),
            "access_token": access,
            "until": self.clock() + timeout,
        }
        parts = [session[at : at + COOKIE_BYTES] for at in range(0, len(session), COOKIE_BYTES)]
        cookies = [
            (
                "Set-Cookie",
                f"{config['SessionCookieName']}-{number}={part}; Path=/; Max-Age={timeout}; Secure; HttpOnly",
            )
            for number, part in enumerate(parts)
        ]
        return Response(302, [("Location", asked), *cookies])

    def _check_token(self, config: Mapping[str, Any], request: Request) -> Response | None:
        token = request.headers["Authorization"].partition(" ")[2]
        keys = json.loads(self._call("GET", config["JwksEndpoint"], {}, None).body)["keys"]
        claims = verified(token, keys)
        now = self.clock()
        valid = (
            claims is not None
            and claims.get("iss") == config["Issuer"]
            and claims.get("exp", 0) > now
            and claims.get("nbf", 0) <= now
            and all(_has_claim(claims, wanted) for wanted in config["AdditionalClaims"])
        )
        return None if valid else Response(401)

    def _sign(self, claims: Mapping[str, Any]) -> str:
        head = {"alg": "ES256", "typ": "JWT"}
        text = f"{encoded(json.dumps(head).encode())}.{encoded(json.dumps(claims).encode())}"
        r, s = decode_dss_signature(self._signing_key.sign(text.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{text}.{encoded(r.to_bytes(32) + s.to_bytes(32))}"


class Browser:
    """Follows redirects, and keeps the cookies of each host until they expire."""

    def __init__(self, answer: Callable[[Request], Response]) -> None:
        self._answer = answer
        self.cookies: dict[str, dict[str, str]] = {}
        self.visited: list[str] = []

    def open(self, url: str) -> Response:
        """The page at ``url``, or its redirect target."""
        for _ in range(10):
            response = self.ask(Request(url))
            location = response.header("Location")
            if response.status not in (301, 302) or location is None:
                return response
            url = urllib.parse.urljoin(url, location)
        raise AssertionError(f"redirects go round: {self.visited[-4:]}")

    def ask(self, request: Request) -> Response:
        """One request, without following it."""
        self.visited.append(request.url)
        jar = self.cookies.setdefault(request.host, {})
        if jar:
            request.headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in jar.items())
        response = self._answer(request)
        for text in [value for name, value in response.headers if name.lower() == "set-cookie"]:
            pair, *attributes = [part.strip() for part in text.split(";")]
            name, _, value = pair.partition("=")
            if "Max-Age=0" in attributes:
                jar.pop(name, None)
            else:
                jar[name] = value
        return response


_FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def verified(token: str, keys: list[dict[str, str]]) -> dict[str, Any] | None:
    """The claims of a token that one of the keys signed by RS256, the one algorithm that AWS takes; else None."""
    try:
        head_text, body, signature = token.split(".")
        head = json.loads(_decode(head_text))
        (key,) = [each for each in keys if each["kid"] == head.get("kid")]
    except ValueError:
        return None
    if head.get("alg") != "RS256":
        return None
    numbers = rsa.RSAPublicNumbers(int.from_bytes(_decode(key["e"])), int.from_bytes(_decode(key["n"])))
    try:
        numbers.public_key().verify(
            _decode(signature), f"{head_text}.{body}".encode(), padding.PKCS1v15(), hashes.SHA256()
        )
    except InvalidSignature:
        return None
    claims: dict[str, Any] = json.loads(_decode(body))
    return claims


def call_emulator(address: str) -> Endpoint:
    """An endpoint that redirects any public address to ``address``, where only the path is relevant."""

    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_: Any) -> None:
            return None

    opener = urllib.request.build_opener(Stay)

    def call(method: str, url: str, headers: Headers, body: bytes | None) -> Response:
        parts = urlsplit(url)
        there = f"{address}{parts.path}?{parts.query}"
        try:
            with opener.open(urllib.request.Request(there, body, headers, method=method), timeout=30) as answer:
                return Response(answer.status, list(answer.headers.items()), answer.read().decode())
        except urllib.error.HTTPError as error:
            return Response(error.code, list(error.headers.items()), error.read().decode())

    return call


def encoded(value: bytes) -> str:
    """Base64 as tokens have it."""
    return base64.urlsafe_b64encode(value).decode().rstrip("=")


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _has_claim(claims: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    there = claims.get(wanted["Name"])
    match wanted["Format"]:
        case "single-string":
            return there in wanted["Values"]
        case "space-separated-values":
            assert len(wanted["Values"]) == 1, "whether one or all of several must be there, AWS does not say"
            return isinstance(there, str) and wanted["Values"][0] in there.split()
    raise AssertionError(f"cannot decide {wanted}")


def _joined(name: str, cookies: str) -> str:
    """The session of all its cookies, in order."""
    found = dict(re.findall(rf"{re.escape(name)}-(\d)=([^;]*)", cookies))
    return "".join(found[number] for number in sorted(found))


def _redirect(config: Mapping[str, str], request: Request) -> Response:
    host = config.get("Host", request.host)
    protocol = config.get("Protocol", "HTTPS").lower()
    query = urlsplit(request.url).query
    location = f"{protocol}://{host}{request.path}{f'?{query}' if query else ''}"
    return Response(int(config["StatusCode"].removeprefix("HTTP_")), [("Location", location)])


def _like(value: str, patterns: list[str], *, case: bool = False) -> bool:
    flags = re.NOFLAG if case else re.IGNORECASE
    return any(
        re.fullmatch(re.escape(pattern).replace(r"\*", ".*").replace(r"\?", "."), value, flags) for pattern in patterns
    )


def _lower(headers: Mapping[str, str]) -> Headers:
    return {name.lower(): value for name, value in headers.items()}

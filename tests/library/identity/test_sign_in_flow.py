"""The way from a browser, or a program, through the load balancer to the platform and back out, step by step.

The listener rules are those of the template. They are carried out by a model of the load balancer, against a local user
pool whose client has the properties of the template.
"""

import base64
import json
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import aws_cdk as cdk
import pytest
from aws_cdk.assertions import Template
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from mlplatform_constructs._edge.sign_out_handler.index import handler as sign_out
from stacks.app import new_app
from tests.load_balancer import Browser, LoadBalancer, Request, Response, call_emulator, encoded
from tests.sign_in import HOST, SIGN_IN, URL, load_balancer, user_pool

PASSWORD = "Correct-Horse-9-Battery"
ANA = "ana@example.com"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


class Platform:
    """A synthesized load balancer and user pool that answer."""

    def __init__(self, emulator: str, aws: Callable[[str], Any], outdir: str) -> None:
        stack = cdk.Stack(
            new_app(outdir=outdir), "Test", env=cdk.Environment(account="111111111111", region="eu-west-1")
        )
        self._synthesize(stack)
        self.template = Template.from_stack(stack)
        self.call = call_emulator(emulator)
        self._names: dict[str, Any] = {}
        self._make_user_pool(aws("cognito-idp"))
        self._read_rules()

    def _synthesize(self, stack: cdk.Stack) -> None:
        balancer = load_balancer(stack)
        users = user_pool(stack, scopes={"pipelines": "Use pipelines", "models": "Ask models"})
        users.add_machine("ci", scopes=["pipelines"])
        balancer.authenticate(users)
        balancer.admit_machines(users, scope="pipelines", paths=["/pipeline/*"])

    def _make_user_pool(self, cognito: Any) -> None:
        (pool,) = self.template.find_resources("AWS::Cognito::UserPool")
        self.pool_id = cognito.create_user_pool(PoolName="Users", UsernameAttributes=["email"])["UserPool"]["Id"]
        self.issuer = f"https://cognito-idp.eu-west-1.amazonaws.com/{self.pool_id}"
        self._names |= {pool: self.pool_id, f"{pool}.ProviderURL": self.issuer, f"{pool}.Arn": f"arn:{self.pool_id}"}
        for server in self.template.find_resources("AWS::Cognito::UserPoolResourceServer").values():
            cognito.create_resource_server(**self._plain(server["Properties"]))
        self.secrets = {}
        for id, client in self.template.find_resources("AWS::Cognito::UserPoolClient").items():
            made = cognito.create_user_pool_client(ClientName=id, **self._plain(client["Properties"]))
            self._names[id] = made["UserPoolClient"]["ClientId"]
            self.secrets[client["Properties"]["AllowedOAuthFlows"][0]] = (
                self._names[id],
                made["UserPoolClient"]["ClientSecret"],
            )
        attributes = [{"Name": "email", "Value": ANA}, {"Name": "email_verified", "Value": "true"}]
        cognito.admin_create_user(UserPoolId=self.pool_id, Username=ANA, UserAttributes=attributes)
        cognito.admin_set_user_password(UserPoolId=self.pool_id, Username=ANA, Password=PASSWORD, Permanent=True)

    def _read_rules(self) -> None:
        elb = "AWS::ElasticLoadBalancingV2"
        (domain,) = self.template.find_resources("AWS::Cognito::UserPoolDomain")
        self._names[domain] = SIGN_IN
        (group,) = self.template.find_resources(f"{elb}::TargetGroup", {"Properties": {"TargetType": "lambda"}})
        (function,) = self.template.find_resources(
            "AWS::Lambda::Function",
            {"Properties": {"Handler": "mlplatform_constructs._edge.sign_out_handler.index.handler"}},
        ).values()
        self.environment = self._plain(function["Properties"]["Environment"]["Variables"])
        (https,) = self.template.find_resources(f"{elb}::Listener", {"Properties": {"Port": 443}}).values()
        found = self.template.find_resources(f"{elb}::ListenerRule").values()
        self.load_balancer = LoadBalancer(
            [self._plain(rule["Properties"]) for rule in found],
            self._plain(https["Properties"]["DefaultActions"]),
            call=self.call,
            functions={group: sign_out},
            client_secret=self.secrets["code"][1],
        )

    def _plain(self, value: Any) -> Any:
        """A value of the template, with references replaced by test values."""
        match value:
            case {"Ref": str(name)}:
                return self._names.get(name, name)
            case {"Fn::GetAtt": [str(name), str(attribute)]}:
                return self._names.get(f"{name}.{attribute}", f"{name}.{attribute}")
            case {"Fn::Join": [str(separator), list(parts)]}:
                return separator.join(map(self._plain, parts))
            case dict():
                return {key: self._plain(item) for key, item in value.items()}
            case list():
                return [self._plain(item) for item in value]
        return value

    def answer(self, request: Request) -> Response:
        """What a browser gets from the names of the platform."""
        if request.host == SIGN_IN:
            return self.call(request.method, request.url, {}, None)
        return self.load_balancer.answer(request)

    def sign_in(self, browser: Browser, page: Response) -> str:
        """Submit the form of the current sign-in page; returns the redirect target."""
        asked = parse_qs(urlsplit(browser.visited[-1]).query)
        form = {name: values[0] for name, values in asked.items()} | {"username": ANA, "password": PASSWORD}
        assert "password" in page.body
        answer = self.call("POST", f"https://{SIGN_IN}/login", FORM, urlencode(form).encode())
        return answer.header("Location") or answer.body

    def token(self, flow: str = "client_credentials") -> str:
        """An access token of the machine."""
        id, secret = self.secrets[flow]
        form = {"grant_type": flow, "client_id": id, "client_secret": secret, "scope": "mlplatform/pipelines"}
        answer = self.call("POST", f"https://{SIGN_IN}/oauth2/token", FORM, urlencode(form).encode())
        token: str = json.loads(answer.body)["access_token"]
        return token


@pytest.fixture(scope="module")
def made(emulator: str, aws: Callable[[str], Any], tmp_path_factory: pytest.TempPathFactory) -> Platform:
    return Platform(emulator, aws, str(tmp_path_factory.mktemp("flow") / "cdk.out"))


@pytest.fixture
def platform(made: Platform, monkeypatch: pytest.MonkeyPatch) -> Iterator[Platform]:
    for name, value in made.environment.items():
        monkeypatch.setenv(name, value)
    made.load_balancer.received.clear()
    yield made
    made.load_balancer.clock = time.time


@pytest.fixture
def signed_in(platform: Platform) -> Browser:
    browser = Browser(platform.answer)
    browser.open(platform.sign_in(browser, browser.open(f"{URL}/")))
    return browser


@pytest.mark.promise("browser-sign-in", "verified-identity")
def test_a_person_signs_in_step_by_step(platform: Platform) -> None:
    browser = Browser(platform.answer)
    # 1. A request to the platform, whose name is an alias of the load balancer.
    # 2. No cookie: off to the user pool, with the way back and a state that cannot be guessed.
    page = browser.open(f"{URL}/notebooks?ns=churn")
    asked = {name: values[0] for name, values in parse_qs(urlsplit(browser.visited[1]).query).items()}
    assert browser.visited[1].startswith(f"https://{SIGN_IN}/oauth2/authorize?")
    assert asked["response_type"] == "code"
    assert asked["redirect_uri"] == f"{URL}/oauth2/idpresponse"
    assert asked["scope"] == "openid email"
    assert len(asked["state"]) >= 16
    # 3. Signed in: back to the load balancer, with a code.
    back = platform.sign_in(browser, page)
    assert back.startswith(f"{URL}/oauth2/idpresponse?code=")
    assert parse_qs(urlsplit(back).query)["state"] == [asked["state"]]
    assert platform.load_balancer.received == []
    # 4. and 5. The load balancer trades the code for tokens, which the browser never sees.
    # 6. It reads the claims, and gives the browser a session and the page that was asked for.
    answer = browser.ask(Request(back))
    assert answer.status == 302
    assert answer.header("Location") == f"{URL}/notebooks?ns=churn"
    cookies = [value for name, value in answer.headers if name == "Set-Cookie"]
    assert len(cookies) > 1
    assert all("Secure" in cookie and "HttpOnly" in cookie for cookie in cookies)
    # 7. From now on requests reach the platform, with claims that the load balancer signed.
    assert browser.open(f"{URL}/notebooks?ns=churn").body == "the platform"
    (headers,) = platform.load_balancer.received
    claims = platform.load_balancer.claims(headers["x-amzn-oidc-data"])
    # 8. and 9. are the mesh's: it takes the name from these claims alone.
    assert claims["email"] == ANA
    assert claims["sub"] == headers["x-amzn-oidc-identity"]
    assert "cookie" not in headers


@pytest.mark.promise("browser-sign-in")
def test_a_code_is_valid_once_and_only_for_its_client(platform: Platform) -> None:
    browser = Browser(platform.answer)
    back = platform.sign_in(browser, browser.open(f"{URL}/"))
    assert browser.ask(Request(back)).status == 302
    assert browser.ask(Request(back)).status == 401
    stranger = back.replace("state=", "state=x")
    assert browser.ask(Request(stranger)).status == 401


@pytest.mark.promise("verified-identity")
def test_claims_that_were_changed_are_not_the_load_balancers(platform: Platform, signed_in: Browser) -> None:
    signed_in.open(f"{URL}/")
    head, body, signature = platform.load_balancer.received[-1]["x-amzn-oidc-data"].split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    forged = encoded(json.dumps(claims | {"email": "root@example.com"}).encode())
    with pytest.raises(Exception, match="^$"):
        platform.load_balancer.claims(f"{head}.{forged}.{signature}")


@pytest.mark.promise("verified-identity")
@pytest.mark.parametrize(
    "name",
    ["x-amzn-oidc-data", "X-Amzn-Oidc-Identity", "x-amzn-oidc-accesstoken", "Kubeflow-Userid", "kubeflow-groups"],
)
@pytest.mark.parametrize("path", ["/", "/logout", "/pipeline/runs", "/oauth2/idpresponse"])
def test_identity_headers_of_clients_are_refused(platform: Platform, signed_in: Browser, name: str, path: str) -> None:
    """This holds with and without a session, and with and without a token."""
    platform.load_balancer.received.clear()
    for more in ({}, {"Authorization": f"Bearer {platform.token()}"}):
        answer = signed_in.ask(Request(f"{URL}{path}", headers={name: "root@example.com", **more}))
        assert answer.status == 400
    assert platform.load_balancer.received == []


@pytest.mark.promise("sign-out")
def test_signing_out_ends_the_session_here_and_at_the_user_pool(platform: Platform, signed_in: Browser) -> None:
    assert signed_in.open(f"{URL}/").body == "the platform"
    before = len(signed_in.visited)
    page = signed_in.open(f"{URL}/logout")
    visited = signed_in.visited[before:]
    assert visited[0] == f"{URL}/logout"
    assert visited[1].startswith(f"https://{SIGN_IN}/logout?client_id=")
    assert visited[2] == f"{URL}/"  # whither the pool sends back, as its client allows
    assert visited[3].startswith(f"https://{SIGN_IN}/oauth2/authorize?")
    assert "password" in page.body
    assert not signed_in.cookies[HOST]


@pytest.mark.promise("sign-out")
def test_signing_out_without_a_session_leads_to_the_sign_in_page(platform: Platform) -> None:
    """The redirects do not form a loop."""
    browser = Browser(platform.answer)
    assert "password" in browser.open(f"{URL}/logout").body


def test_a_session_ends_after_its_time(platform: Platform, signed_in: Browser) -> None:
    assert signed_in.open(f"{URL}/").body == "the platform"
    platform.load_balancer.clock = lambda: time.time() + 12 * 3600 + 1
    assert "password" in signed_in.open(f"{URL}/").body


def test_the_domain_above_leads_to_the_platform(platform: Platform) -> None:
    answer = platform.answer(Request("https://ml.example.com/pipelines?x=1"))
    assert (answer.status, answer.header("Location")) == (302, f"{URL}/pipelines?x=1")


@pytest.mark.parametrize("host", ["lb-123.eu-west-1.elb.amazonaws.com", "other.ml.example.com", "203.0.113.7"])
def test_other_names_lead_nowhere(platform: Platform, signed_in: Browser, host: str) -> None:
    signed_in.cookies[host] = dict(signed_in.cookies[HOST])
    assert signed_in.ask(Request(f"https://{host}/")).status == 404


@pytest.mark.promise("machine-access")
def test_a_machine_gets_in_with_a_token_for_the_scope(platform: Platform) -> None:
    """It needs no browser, and the platform receives the token to verify it again."""
    token = platform.token()
    answer = platform.answer(Request(f"{URL}/pipeline/apis/v2beta1/runs", headers={"Authorization": f"Bearer {token}"}))
    assert answer.body == "the platform"
    (headers,) = platform.load_balancer.received
    assert headers["authorization"] == f"Bearer {token}"


def test_a_machine_gets_nowhere_else(platform: Platform) -> None:
    answer = platform.answer(Request(f"{URL}/notebooks", headers={"Authorization": f"Bearer {platform.token()}"}))
    assert answer.status == 302
    assert platform.load_balancer.received == []


def signed(claims: dict[str, Any], key: rsa.RSAPrivateKey, **head: str) -> str:
    text = f"{encoded(json.dumps(head).encode())}.{encoded(json.dumps(claims).encode())}"
    return f"{text}.{encoded(key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


def of(token: str) -> tuple[dict[str, str], dict[str, Any]]:
    """Head and claims of a token, unchecked."""
    head, body, _ = token.split(".")
    return json.loads(base64.urlsafe_b64decode(head + "==")), json.loads(base64.urlsafe_b64decode(body + "=="))


def bad_tokens(platform: Platform) -> dict[str, str]:
    good = platform.token()
    head, claims = of(good)
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    text, _, signature = good.rpartition(".")
    more = encoded(json.dumps(claims | {"scope": "mlplatform/pipelines mlplatform/models"}).encode())
    return {
        "none": "",
        "no token": "x",
        "unsigned": f"{encoded(json.dumps({**head, 'alg': 'none'}).encode())}.{text.split('.')[1]}.",
        "wrong key": signed(claims, key, **head),
        "other algorithm": signed(claims, key, **{**head, "alg": "HS256"}),
        "changed": f"{text.split('.')[0]}.{more}.{signature}",
        "unknown key": signed(claims, key, **{**head, "kid": "x"}),
    }


@pytest.mark.promise("machine-access", "verified-identity")
@pytest.mark.parametrize(
    "kind", ["none", "no token", "unsigned", "wrong key", "other algorithm", "changed", "unknown key"]
)
def test_an_invalid_token_is_refused(platform: Platform, kind: str) -> None:
    token = bad_tokens(platform)[kind]
    answer = platform.answer(Request(f"{URL}/pipeline/runs", headers={"Authorization": f"Bearer {token}"}))
    assert answer.status == 401
    assert platform.load_balancer.received == []


@pytest.mark.promise("machine-access", "verified-identity")
def test_a_token_ends(platform: Platform) -> None:
    token = platform.token()
    platform.load_balancer.clock = lambda: time.time() + 24 * 3600
    answer = platform.answer(Request(f"{URL}/pipeline/runs", headers={"Authorization": f"Bearer {token}"}))
    assert answer.status == 401


def test_a_persons_token_is_no_machines(platform: Platform, signed_in: Browser) -> None:
    """The load balancer passes it to the platform with each request; it is useless without the session."""
    signed_in.open(f"{URL}/")
    token = platform.load_balancer.received[-1]["x-amzn-oidc-accesstoken"]
    answer = platform.answer(Request(f"{URL}/pipeline/runs", headers={"Authorization": f"Bearer {token}"}))
    assert answer.status == 401

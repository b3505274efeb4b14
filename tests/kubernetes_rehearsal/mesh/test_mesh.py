"""The platform's mesh on a real Envoy, with what a real istiod makes of our own objects.

Every attack on the identity gate is judged by what arrives at the workload, not by the status alone. One file, so that
one worker of the tests starts one mesh.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from charts.kit.istio import admits, envoy_filter, http_filter, virtual_service
from kubernetes_rehearsal.client import ApiFailure
from kubernetes_rehearsal.proofs.mesh import check_proxies
from kubernetes_rehearsal.proofs.workloads import check_workloads
from tests.kubernetes_rehearsal.mesh.meshes import HOST, PROXIES, Answer, Header, MeshCluster, apply
from tests.kubernetes_rehearsal.mesh.tokens import ADA, GRACE, Signer, changed, of_machine, of_person, unsigned

SCOPE = "mlplatform/pipelines"
TOKEN, USER = "x-amzn-oidc-accesstoken", "kubeflow-userid"
NOW = int(time.time())
_SETTLED_SECONDS = 30
Attack = Callable[[Signer], list[Header]]
# A regular expression that does not end, which istiod cannot know.
BROKEN = envoy_filter(
    "broken",
    "istio-system",
    http_filter(
        {
            "name": "broken",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC",
                "rules": {
                    "action": "DENY",
                    "policies": {
                        "broken": {
                            "permissions": [{"header": {"name": "x", "string_match": {"safe_regex": {"regex": "("}}}}],
                            "principals": [{"any": True}],
                        }
                    },
                },
            },
        },
        after="envoy.filters.http.jwt_authn",
    ),
)


def _person(signer: Signer, address: str | None = ADA, **changes: Any) -> Header:
    return TOKEN, signer.token(of_person(address, **changes))


def _bearer(token: str) -> Header:
    return "authorization", f"Bearer {token}"


def _refused(answer: Answer, *statuses: int) -> bool:
    return answer.arrived is None and answer.status in (statuses or (400, 401, 403))


def test_istiod_and_the_gateway_run_at_the_restricted_level_with_our_values(mesh: MeshCluster) -> None:
    report = check_workloads(mesh.api, ["istio-system"])
    assert set(report.running) == {"Deployment istio-system/istiod", "Deployment istio-system/istio-ingressgateway"}
    assert report.findings == []


def test_every_proxy_takes_its_configuration(mesh: MeshCluster) -> None:
    assert check_proxies(mesh.proxies, count=PROXIES) == []


def test_a_configuration_that_a_proxy_refuses_is_found_in_one_line(mesh: MeshCluster) -> None:
    apply(mesh.api, BROKEN)
    try:
        (finding,) = check_proxies(mesh.proxies, count=PROXIES, quiet_seconds=10)
    finally:
        mesh.delete(BROKEN)
    assert "Proxy istio-ingressgateway" in str(finding)
    assert "refuses its Listener configuration" in str(finding)
    assert "\n" not in str(finding)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"hosts": []}, "must have no gateways"),
        ({"http": [{"route": [{"destination": {"host": ""}}]}]}, "empty domain name"),
    ],
)
def test_the_webhook_of_istiod_refuses_what_it_cannot_use(
    mesh: MeshCluster, change: dict[str, Any], words: str
) -> None:
    route = virtual_service("bad", "apps", gateway="istio-system/platform", prefix="/", port=80)
    with pytest.raises(ApiFailure, match=words):
        apply(mesh.api, {**route, "spec": {**route["spec"], **change}})


@pytest.mark.promise("identity-in-mesh")
def test_a_person_arrives_by_the_name_in_the_token_and_the_token_stays_behind(
    mesh: MeshCluster, signer: Signer
) -> None:
    answer = mesh.through_gateway("/notebook/ada/lab?x=1", _person(signer))
    assert answer.status == 200
    assert answer.arrived
    assert answer.arrived.line == "GET /notebook/ada/lab?x=1 HTTP/1.1"
    assert answer.arrived.values(USER) == [ADA]
    assert answer.arrived.values(TOKEN) == []


@pytest.mark.promise("machine-access")
def test_a_program_arrives_on_the_paths_of_its_scope_by_the_id_of_its_client(mesh: MeshCluster, signer: Signer) -> None:
    answer = mesh.through_gateway("/pipeline/apis/v2beta1/runs", _bearer(signer.token(of_machine(SCOPE))))
    assert answer.arrived
    assert answer.arrived.values(USER) == ["auditors-client"]
    assert answer.arrived.values("authorization") == []


def _until(ask: Callable[[], Answer], holds: Callable[[Answer], bool]) -> Answer:
    """The first answer that is as it must be: proxies still use connections that an earlier policy decided about."""
    end = time.monotonic() + _SETTLED_SECONDS
    while not holds(answer := ask()):
        assert time.monotonic() < end, answer
        time.sleep(0.5)
    return answer


TOKENS: Mapping[str, Attack] = {
    "no token": lambda signer: [],
    "an empty token": lambda signer: [(TOKEN, "")],
    "something that is no token": lambda signer: [(TOKEN, "ada")],
    "a token that has expired": lambda signer: [_person(signer, exp=NOW - 600)],
    "a token that never expires": lambda signer: [_person(signer, exp=None)],
    "a token of tomorrow": lambda signer: [_person(signer, nbf=NOW + 86400)],
    "a token of another issuer": lambda signer: [_person(signer, iss="https://example.org")],
    "a token of another pool": lambda signer: [
        _person(signer, iss="https://cognito-idp.eu-west-1.amazonaws.com/other")
    ],
    "a token without an issuer": lambda signer: [_person(signer, iss=None)],
    "a token for another client": lambda signer: [_person(signer, client_id="another-client")],
    "an identity token": lambda signer: [_person(signer, token_use="id")],
    "a token without an address": lambda signer: [_person(signer, None)],
    "a token with an empty address": lambda signer: [_person(signer, "")],
    "a token with a list of addresses": lambda signer: [(TOKEN, signer.token({**of_person(), "email": [ADA, GRACE]}))],
    "a token without a subject": lambda signer: [_person(signer, sub=None)],
    "a token by another key": lambda signer: [(TOKEN, Signer().token(of_person()))],
    "a token by another key with an id of its own": lambda signer: [(TOKEN, Signer("other").token(of_person()))],
    "a token with a key in its header": lambda signer: [
        (TOKEN, (other := Signer("mine")).token(of_person(), jwk=other.public_key))
    ],
    "a token with the address of a key": lambda signer: [
        (TOKEN, Signer("mine").token(of_person(), jku="https://example.org/jwks.json"))
    ],
    "an unsigned token": lambda signer: [(TOKEN, unsigned(of_person()))],
    "a token without its signature": lambda signer: [(TOKEN, signer.token(of_person()).rpartition(".")[0] + ".")],
    "a token signed with the public key as a secret": lambda signer: [
        (TOKEN, signer.token_by_shared_secret(of_person()))
    ],
    "a token whose address was changed": lambda signer: [(TOKEN, changed(signer.token(of_person()), email=GRACE))],
    "tokens of two people": lambda signer: [_person(signer), _person(signer, GRACE)],
    "tokens of two people in one header": lambda signer: [
        (TOKEN, f"{signer.token(of_person())},{signer.token(of_person(GRACE))}")
    ],
    "a token of a person and one of a program": lambda signer: [
        _person(signer),
        _bearer(signer.token(of_machine(SCOPE))),
    ],
    "a person's token as a program's": lambda signer: [_bearer(signer.token(of_person()))],
    "a program's token as a person's": lambda signer: [(TOKEN, signer.token(of_machine(SCOPE)))],
    "a program's token without the scope": lambda signer: [_bearer(signer.token(of_machine("mlplatform/models")))],
    "a program's token with a longer scope": lambda signer: [_bearer(signer.token(of_machine(f"{SCOPE}-admin")))],
    "a program's token that never expires": lambda signer: [_bearer(signer.token(of_machine(SCOPE, exp=None)))],
    "a token in a cookie": lambda signer: [("cookie", f"token={signer.token(of_person())}")],
    "a token under a name with underscores": lambda signer: [(TOKEN.replace("-", "_"), signer.token(of_person()))],
    "only the load balancer's signed claims": lambda signer: [("x-amzn-oidc-data", signer.token(of_person()))],
    "only a name": lambda signer: [(USER, ADA)],
    "a client certificate of the mesh by header": lambda signer: [
        ("x-forwarded-client-cert", "URI=spiffe://cluster.local/ns/istio-system/sa/istio-ingressgateway")
    ],
}


@pytest.mark.promise("verified-identity", "identity-in-mesh")
@pytest.mark.parametrize("attack", TOKENS.values(), ids=TOKENS.keys())
def test_a_request_without_one_good_token_reaches_no_workload(
    mesh: MeshCluster, signer: Signer, attack: Attack
) -> None:
    assert _refused(mesh.through_gateway("/pipeline/apis", *attack(signer)))


def test_a_token_in_the_query_does_not_count(mesh: MeshCluster, signer: Signer) -> None:
    assert _refused(mesh.through_gateway(f"/?access_token={signer.token(of_person())}"))


HEADERS: Mapping[str, list[Header]] = {
    "once": [(USER, GRACE)],
    "twice": [(USER, GRACE), (USER, GRACE)],
    "in capitals": [("Kubeflow-UserId", GRACE)],
    "with spaces": [(USER, f" {GRACE} ")],
    "with a list": [(USER, f"{ADA},{GRACE}")],
}


@pytest.mark.promise("verified-identity")
@pytest.mark.parametrize("sent", HEADERS.values(), ids=HEADERS.keys())
def test_a_name_that_a_client_sends_is_replaced(mesh: MeshCluster, signer: Signer, sent: list[Header]) -> None:
    for headers in ([*sent, _person(signer)], [_person(signer), *sent]):
        answer = mesh.through_gateway("/", *headers)
        assert answer.arrived
        assert answer.arrived.values(USER) == [ADA]


@pytest.mark.promise("verified-identity")
@pytest.mark.parametrize(
    "sent",
    [
        ("kubeflow_userid", GRACE),
        ("Kubeflow_Userid", GRACE),
        ("kubeflow-groups", "system:masters"),
        ("kubeflow_groups", "system:masters"),
        ("kubeflow-userid ", GRACE),
        ("x-pad", "a" * 100_000),
    ],
    ids=[
        "underscore",
        "capitals with underscore",
        "groups",
        "groups with underscore",
        "space before the colon",
        "long",
    ],
)
def test_a_header_that_a_workload_could_take_for_an_identity_is_refused_beside_a_good_token(
    mesh: MeshCluster, signer: Signer, sent: Header
) -> None:
    assert _refused(mesh.through_gateway("/", _person(signer), sent), 0, 400, 403, 431)


def test_a_name_in_a_continued_line_does_not_arrive(mesh: MeshCluster, signer: Signer) -> None:
    answer = mesh.through_gateway("/", _person(signer), ("x-note", f"a\r\n {USER}: {GRACE}"))
    assert (answer.arrived.values(USER) if answer.arrived else [ADA]) == [ADA]


def test_the_certificate_of_a_caller_that_a_client_claims_does_not_arrive(mesh: MeshCluster, signer: Signer) -> None:
    claimed = ("x-forwarded-client-cert", "URI=spiffe://cluster.local/ns/apps/sa/claimed")
    answer = mesh.through_gateway("/", _person(signer), claimed)
    assert answer.arrived
    assert not any("claimed" in value for value in answer.arrived.values("x-forwarded-client-cert"))


PATHS = [
    "/pipeline/../notebook/ada",
    "/pipeline/./../notebook/ada",
    "/pipeline/%2e%2e/notebook/ada",
    "/pipeline/.%2E/notebook/ada",
    "/pipeline/..%2fnotebook/ada",
    "/pipeline/..%2Fnotebook/ada",
    "/pipeline%2f..%2fnotebook/ada",
    "/pipeline/..%5cnotebook/ada",
    "/pipeline/..\\notebook/ada",
    "//notebook/ada",
    "/%2fnotebook/ada",
    "/x/..//notebook/ada",
    "/pipelines",
    "/Pipeline/x",
]


@pytest.mark.promise("verified-identity")
@pytest.mark.parametrize("path", PATHS)
def test_a_program_cannot_leave_the_paths_of_its_scope(mesh: MeshCluster, signer: Signer, path: str) -> None:
    assert _refused(mesh.through_gateway(path, _bearer(signer.token(of_machine(SCOPE)))), 400, 403)


@pytest.mark.parametrize(
    ("sent", "path"),
    [
        ("/a/../notebook/ada", "/notebook/ada"),
        ("/a//b", "/a/b"),
        ("/a%2fb", "/a/b"),
        ("/x%2f..%2fadmin", "/admin"),
        ("/x/..//admin/x", "/admin/x"),
        ("/pipeline//..//../notebook/ada", "/pipeline/notebook/ada"),
        ("/%2e%2e/admin", "/admin"),
    ],
)
def test_a_workload_gets_the_path_that_policies_decided_by(
    mesh: MeshCluster, signer: Signer, sent: str, path: str
) -> None:
    answer = mesh.through_gateway(sent, _person(signer))
    assert (answer.arrived.path if answer.arrived else None) == path


@pytest.mark.parametrize(
    ("host", "arrives"),
    [(HOST, True), (f"{HOST}:443", True), (f"{HOST}:80", True), ("other.example.com", False), (f"x.{HOST}", False)],
)
def test_only_the_platforms_own_name_is_served_with_and_without_a_port(
    mesh: MeshCluster, signer: Signer, host: str, arrives: bool
) -> None:
    answer = mesh.through_gateway("/", _person(signer), host=host)
    assert (answer.arrived is not None) == arrives


@pytest.mark.promise("mutual-tls", "mesh-authorization")
def test_no_pod_but_the_gateway_tells_a_workload_who_calls(mesh: MeshCluster) -> None:
    _until(lambda: mesh.to_workload("neighbour", "/", (USER, GRACE)), lambda answer: _refused(answer, 403))
    assert _refused(mesh.to_workload("stranger", "/", (USER, GRACE)), 0)


def test_a_policy_that_admits_a_neighbour_lets_it_in(mesh: MeshCluster) -> None:
    with mesh.having(admits("workload", "apps", "apps/neighbour")):
        _until(lambda: mesh.to_workload("neighbour"), lambda answer: answer.status == 200)


# Controls: without a part of the configuration an attack succeeds, so these tests can fail.


def _part(gate: list[dict[str, Any]], kind: str, name: str = "platform") -> dict[str, Any]:
    (found,) = [one for one in gate if (one["kind"], one["metadata"]["name"]) == (kind, name)]
    return found


def test_without_the_envoy_filter_two_people_arrive_at_once(
    mesh: MeshCluster, signer: Signer, gate: list[dict[str, Any]]
) -> None:
    with mesh.without(_part(gate, "EnvoyFilter")):
        answer = mesh.through_gateway("/", *TOKENS["tokens of two people"](signer))
        endless = mesh.through_gateway("/", *TOKENS["a token that never expires"](signer))
    assert answer.arrived
    assert answer.arrived.values(USER) != [ADA]
    assert endless.arrived


def test_without_the_rule_about_header_names_a_second_name_arrives(
    mesh: MeshCluster, signer: Signer, platform_mesh: list[dict[str, Any]]
) -> None:
    with mesh.without(_part(platform_mesh, "EnvoyFilter", "header-names")):
        answer = mesh.through_gateway("/", _person(signer), ("kubeflow_userid", GRACE))
    assert answer.arrived
    assert GRACE in answer.arrived.values(USER)


def test_without_policies_a_request_without_a_token_arrives(
    mesh: MeshCluster, gate: list[dict[str, Any]], platform_mesh: list[dict[str, Any]]
) -> None:
    policies = _part(gate, "AuthorizationPolicy"), _part(platform_mesh, "AuthorizationPolicy", "default-deny")
    with mesh.without(policies[0]):
        assert _refused(mesh.through_gateway("/"), 403)
    with mesh.without(*policies):
        assert mesh.through_gateway("/").arrived


def test_without_the_policy_of_the_workload_a_neighbour_tells_it_who_calls(
    mesh: MeshCluster, platform_mesh: list[dict[str, Any]]
) -> None:
    own = admits("workload", "apps", "istio-system/istio-ingressgateway")
    with mesh.without(own):
        _until(lambda: mesh.to_workload("neighbour", "/", (USER, GRACE)), lambda answer: _refused(answer, 403))
    with mesh.without(own, _part(platform_mesh, "AuthorizationPolicy", "default-deny")):
        answer = _until(lambda: mesh.to_workload("neighbour", "/", (USER, GRACE)), lambda answer: bool(answer.arrived))
    assert answer.arrived
    assert answer.arrived.values(USER) == [GRACE]


def test_without_strict_mutual_tls_a_stranger_gets_an_answer(
    mesh: MeshCluster, platform_mesh: list[dict[str, Any]]
) -> None:
    with mesh.without(_part(platform_mesh, "PeerAuthentication", "default")):
        _until(lambda: mesh.to_workload("stranger", "/", (USER, GRACE)), lambda answer: answer.status == 403)

import re
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_ec2 as ec2
from aws_cdk.assertions import Match, Template
from syrupy.assertion import SnapshotAssertion
from syrupy.matchers import path_type

from mlplatform_constructs import PlatformLoadBalancer
from tests.compliance import assert_complies
from tests.load_balancer import LoadBalancer, Request
from tests.sign_in import DOMAIN, HOST, certificate, load_balancer, user_pool

SCOPES = {"pipelines": "Use pipelines"}
ELB = "AWS::ElasticLoadBalancingV2"


def attributes(template: Template, kind: str) -> dict[str, str]:
    """The attributes of the one resource of this kind that has some."""
    found = [each["Properties"] for each in template.find_resources(f"{ELB}::{kind}").values()]
    (pairs,) = [each[f"{kind}Attributes"] for each in found if f"{kind}Attributes" in each]
    return {pair["Key"]: pair["Value"] for pair in pairs}


def rules(template: Template) -> list[dict[str, Any]]:
    """Properties of the rules, by priority."""
    found = [each["Properties"] for each in template.find_resources(f"{ELB}::ListenerRule").values()]
    return sorted(found, key=lambda rule: int(rule["Priority"]))


def with_sign_in(stack: cdk.Stack, **options: Any) -> PlatformLoadBalancer:
    balancer = load_balancer(stack, **options)
    users = user_pool(stack, scopes=SCOPES, parent_address=balancer.apex_address)
    balancer.authenticate(users)
    balancer.admit_machines(users, scope="pipelines", paths=["/pipeline/*"])
    return balancer


def test_defaults(stack: cdk.Stack, snapshot_json: SnapshotAssertion) -> None:
    with_sign_in(stack)
    template = Template.from_stack(stack).to_json()["Resources"]
    mine = {id: resource for id, resource in template.items() if id.startswith("LoadBalancer")}
    assert mine == snapshot_json(matcher=path_type({".*S3Key": (str,)}, regex=True))


def test_nothing_is_forwarded_by_default(stack: cdk.Stack) -> None:
    load_balancer(stack)
    template = Template.from_stack(stack)
    every_action = [action["Type"] for rule in rules(template) for action in rule["Actions"]]
    assert set(every_action) == {"fixed-response", "redirect"}
    (https,) = template.find_resources(f"{ELB}::Listener", {"Properties": {"Port": 443}}).values()
    (default,) = https["Properties"]["DefaultActions"]
    assert default["FixedResponseConfig"]["StatusCode"] == "404"


@pytest.mark.promise("browser-sign-in", "machine-access")
def test_targets_are_reached_signed_in_or_with_a_token_only(stack: cdk.Stack) -> None:
    balancer = with_sign_in(stack)
    targets = stack.resolve(balancer.target_group.target_group_arn)
    ways = [
        [action["Type"] for action in sorted(rule["Actions"], key=lambda each: each["Order"])]
        for rule in rules(Template.from_stack(stack))
        if any(action.get("TargetGroupArn") == targets for action in rule["Actions"])
    ]
    assert ways == [["jwt-validation", "forward"], ["authenticate-cognito", "forward"]]


@pytest.mark.promise("verified-identity")
def test_claimed_identities_are_refused_before_any_other_rule(stack: cdk.Stack) -> None:
    """A client cannot send the headers in which load balancer and mesh state an identity."""
    with_sign_in(stack)
    first = rules(Template.from_stack(stack))[:5]
    assert {rule["Conditions"][0]["HttpHeaderConfig"]["HttpHeaderName"] for rule in first} == {
        "x-amzn-oidc-data",
        "x-amzn-oidc-identity",
        "x-amzn-oidc-accesstoken",
        "kubeflow-userid",
        "kubeflow-groups",
    }
    for rule in first:
        assert [action["Type"] for action in rule["Actions"]] == ["fixed-response"]
        assert len(rule["Conditions"]) == 1
        assert rule["Conditions"][0]["HttpHeaderConfig"]["Values"] == ["*"]


@pytest.mark.promise("verified-identity")
def test_a_header_with_an_underscore_is_dropped(stack: cdk.Stack) -> None:
    """Many servers read kubeflow_userid as kubeflow-userid."""
    load_balancer(stack)
    assert (
        attributes(Template.from_stack(stack), "LoadBalancer")["routing.http.drop_invalid_header_fields.enabled"]
        == "true"
    )


def test_plain_http_leads_to_tls_1_2_or_newer(stack: cdk.Stack) -> None:
    load_balancer(stack)
    template = Template.from_stack(stack)
    template.has_resource_properties(
        f"{ELB}::Listener",
        {
            "Port": 80,
            "DefaultActions": [{"Type": "redirect", "RedirectConfig": Match.object_like({"Protocol": "HTTPS"})}],
        },
    )
    (https,) = template.find_resources(f"{ELB}::Listener", {"Properties": {"Port": 443}}).values()
    assert https["Properties"]["SslPolicy"].startswith("ELBSecurityPolicy-TLS13-1-2-Res-")
    template.resource_count_is(f"{ELB}::Listener", 2)


@pytest.mark.promise("long-lived-connections")
def test_notebooks_may_be_silent_for_an_hour(stack: cdk.Stack) -> None:
    balancer = load_balancer(stack)
    assert attributes(Template.from_stack(stack), "LoadBalancer")["idle_timeout.timeout_seconds"] == "3600"
    assert balancer.idle_timeout.to_seconds() == 3600


@pytest.mark.promise("every-entry-traced")
def test_every_request_is_logged(stack: cdk.Stack) -> None:
    load_balancer(stack)
    template = Template.from_stack(stack)
    logged = attributes(template, "LoadBalancer")
    assert logged["access_logs.s3.enabled"] == "true"
    assert logged["access_logs.s3.bucket"] == {"Ref": "AccessLogsBucketCD784A59"}
    (policy,) = template.find_resources("AWS::S3::BucketPolicy").values()
    writers = [
        statement["Principal"]
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
        if statement["Action"] == "s3:PutObject" and "LoadBalancer" in str(statement["Resource"])
    ]
    assert writers == [{"Service": "logdelivery.elasticloadbalancing.amazonaws.com"}]


def test_a_load_balancer_is_logged_in_a_stack_without_a_region(app: cdk.App) -> None:
    stack = cdk.Stack(app, "Anywhere")
    load_balancer(stack)
    Template.from_stack(stack).resource_count_is(f"{ELB}::LoadBalancer", 1)


@pytest.mark.promise("names-in-one-deployment", "platform-name")
def test_its_dns_records_are_created_in_the_same_deployment(stack: cdk.Stack) -> None:
    """Both names are aliases of a load balancer in the same stack."""
    load_balancer(stack)
    template = Template.from_stack(stack)
    records = [each["Properties"] for each in template.find_resources("AWS::Route53::RecordSet").values()]
    assert {record["Name"] for record in records} == {f"{HOST}.", f"{DOMAIN}."}
    (balancer,) = template.find_resources(f"{ELB}::LoadBalancer")
    for record in records:
        assert {"Fn::GetAtt": [balancer, "DNSName"]} in record["AliasTarget"]["DNSName"]["Fn::Join"][1]


def test_nothing_but_the_load_balancer_reaches_the_targets(app: cdk.App, stack: cdk.Stack) -> None:
    """The rules are made where the cluster is, so that no stack needs the other in a circle."""
    balancer = load_balancer(stack)
    later = cdk.Stack(app, "Later", env=cdk.Environment(account="111111111111", region="eu-west-1"))
    balancer.allow_to_targets(later, ec2.SecurityGroup.from_security_group_id(later, "Nodes", "sg-nodes"))
    template = Template.from_stack(later)
    ingress = [each["Properties"] for each in template.find_resources("AWS::EC2::SecurityGroupIngress").values()]
    assert {(rule["GroupId"], rule["FromPort"], rule["ToPort"]) for rule in ingress} == {
        ("sg-nodes", 80, 80),
        ("sg-nodes", 15021, 15021),
    }
    for rule in ingress:
        assert "SecurityGroup" in rule["SourceSecurityGroupId"]["Fn::ImportValue"]
        assert "CidrIp" not in rule
    egress = [each["Properties"] for each in template.find_resources("AWS::EC2::SecurityGroupEgress").values()]
    assert {rule["DestinationSecurityGroupId"] for rule in egress} == {"sg-nodes"}
    assert stack in later.dependencies
    assert later not in stack.dependencies


def test_it_sends_to_the_ports_on_which_gateways_listen(stack: cdk.Stack) -> None:
    """The Service of Istio's chart ``gateway`` forwards 80 to 80 of its pods; on 15021 they say that they are ready."""
    load_balancer(stack)
    Template.from_stack(stack).has_resource_properties(
        f"{ELB}::TargetGroup", {"Port": 80, "HealthCheckPort": "15021", "Protocol": "HTTP", "TargetType": "ip"}
    )


def test_its_only_egress_is_to_the_user_pool(stack: cdk.Stack) -> None:
    with_sign_in(stack)
    (group,) = Template.from_stack(stack).find_resources("AWS::EC2::SecurityGroup").values()
    assert [(rule["CidrIp"], rule["FromPort"]) for rule in group["Properties"]["SecurityGroupEgress"]] == [
        ("0.0.0.0/0", 443)
    ]


def test_who_may_connect_can_be_narrowed(stack: cdk.Stack) -> None:
    load_balancer(stack, allowed_cidrs=["203.0.113.0/24"])
    (group,) = Template.from_stack(stack).find_resources("AWS::EC2::SecurityGroup").values()
    assert {(rule["CidrIp"], rule["FromPort"]) for rule in group["Properties"]["SecurityGroupIngress"]} == {
        ("203.0.113.0/24", 443),
        ("203.0.113.0/24", 80),
    }


@pytest.mark.parametrize(
    ("internet_facing", "scheme", "subnet"), [(True, "internet-facing", "public-a"), (False, "internal", "private-a")]
)
def test_it_may_stay_inside_the_network(stack: cdk.Stack, internet_facing: bool, scheme: str, subnet: str) -> None:
    load_balancer(stack, internet_facing=internet_facing)
    template = Template.from_stack(stack)
    template.has_resource_properties(f"{ELB}::LoadBalancer", {"Scheme": scheme, "Subnets": Match.array_with([subnet])})


def test_a_load_balancer_that_is_replaced_gets_target_groups_of_its_own() -> None:
    """A target group belongs to one load balancer only, and the old one exists until the end of the update."""
    public, private = (target_groups(internet_facing=internet_facing) for internet_facing in (True, False))
    assert len(public) == len(private) == 2
    assert not public & private


def target_groups(*, internet_facing: bool) -> set[str]:
    """Logical ids of the target groups of a load balancer."""
    stack = cdk.Stack(cdk.App(), "Stack")
    with_sign_in(stack, internet_facing=internet_facing)
    return set(Template.from_stack(stack).find_resources(f"{ELB}::TargetGroup"))


@pytest.mark.promise("pods-as-targets")
def test_pods_are_targets_by_their_address(stack: cdk.Stack) -> None:
    load_balancer(stack, target_port=8443, health_check_port=15020, health_check_path="/ready")
    Template.from_stack(stack).has_resource_properties(
        f"{ELB}::TargetGroup",
        {"TargetType": "ip", "Port": 8443, "HealthCheckPort": "15020", "HealthCheckPath": "/ready"},
    )


def test_targets_can_authenticate_users_themselves(stack: cdk.Stack) -> None:
    load_balancer(stack).pass_through()
    template = Template.from_stack(stack)
    (people,) = [rule for rule in rules(template) if rule["Priority"] == 50_000]
    assert [action["Type"] for action in people["Actions"]] == ["forward"]
    template.resource_count_is("AWS::Cognito::UserPool", 0)
    template.resource_count_is("AWS::Lambda::Function", 0)


def test_only_load_balancers_of_this_account_end_sessions(stack: cdk.Stack) -> None:
    with_sign_in(stack)
    Template.from_stack(stack).has_resource_properties(
        "AWS::Lambda::Permission",
        {
            "Principal": "elasticloadbalancing.amazonaws.com",
            "SourceAccount": "111111111111",
            "SourceArn": "arn:aws:elasticloadbalancing:eu-west-1:111111111111:targetgroup/*",
        },
    )


def test_it_cannot_be_deleted_by_mistake(stack: cdk.Stack) -> None:
    load_balancer(stack)
    assert attributes(Template.from_stack(stack), "LoadBalancer")["deletion_protection.enabled"] == "true"


def test_deletion_protection_can_be_switched_off(stack: cdk.Stack) -> None:
    load_balancer(stack, deletion_protection=False)
    assert attributes(Template.from_stack(stack), "LoadBalancer")["deletion_protection.enabled"] == "false"


@pytest.mark.parametrize(
    ("options", "refusal"),
    [
        ({"host_name": "kubeflow.example.com"}, "host_name must be a name right below ml.example.com"),
        ({"host_name": "a.kubeflow.ml.example.com"}, "host_name must be a name right below ml.example.com"),
        ({"idle_timeout": cdk.Duration.seconds(59)}, "idle_timeout must be 60 to 4000 seconds, got 59"),
        ({"idle_timeout": cdk.Duration.hours(2)}, "idle_timeout must be 60 to 4000 seconds, got 7200"),
        ({"allowed_cidrs": []}, "allowed_cidrs is empty; name the networks that may connect"),
        (
            {"allowed_cidrs": ["203.0.113.7/24"]},
            "allowed_cidrs must be networks such as 203.0.113.0/24, got 203.0.113.7/24",
        ),
    ],
)
def test_refuses_what_cannot_be(stack: cdk.Stack, options: dict[str, Any], refusal: str) -> None:
    with pytest.raises(ValueError, match=f"Test/LoadBalancer: {refusal}"):
        load_balancer(stack, **options)
    assert len(stack.node.find_child("LoadBalancer").node.children) == 0


@pytest.mark.parametrize("paths", [[], ["/a", "/b", "/c", "/d"]])
def test_refuses_more_paths_than_a_rule_holds(stack: cdk.Stack, paths: list[str]) -> None:
    users = user_pool(stack, scopes=SCOPES)
    with pytest.raises(ValueError, match=f"Test/LoadBalancer: paths must be 1 to 3, got {len(paths)}"):
        load_balancer(stack).admit_machines(users, scope="pipelines", paths=paths)


def test_priorities_of_machines_do_not_depend_on_their_order(app: cdk.App) -> None:
    """Two rules that swap priorities in an update fail with ``PriorityInUse``."""
    paths = {"pipelines": ["/pipeline/*"], "models": ["/models/*"], "katib": ["/katib/*"]}
    stacks = []
    for id, scopes in {"Before": list(paths), "After": ["extra", *reversed(paths)]}.items():
        stack = cdk.Stack(app, id, env=cdk.Environment(account="111111111111", region="eu-west-1"))
        balancer, users = load_balancer(stack), user_pool(stack, scopes=dict.fromkeys(scopes, "Use it"))
        for scope in scopes:
            balancer.admit_machines(users, scope=scope, paths=paths.get(scope, ["/extra/*"]))
        stacks.append(stack)
    before, after = (
        {id: each["Properties"]["Priority"] for id, each in rules_by_id.items() if "Machines" in id}
        for rules_by_id in (Template.from_stack(stack).find_resources(f"{ELB}::ListenerRule") for stack in stacks)
    )
    assert before.items() < after.items()
    assert len(set(after.values())) == 4


def test_refuses_paths_of_two_scopes(stack: cdk.Stack) -> None:
    balancer, users = load_balancer(stack), user_pool(stack, scopes={**SCOPES, "runs": "Start runs"})
    balancer.admit_machines(users, scope="pipelines", paths=["/pipeline/*"])
    refusal = "'/pipeline/runs/\\*' of scope 'runs' overlaps '/pipeline/\\*' of scope 'pipelines'"
    with pytest.raises(ValueError, match=refusal):
        balancer.admit_machines(users, scope="runs", paths=["/pipeline/runs/*"])
    with pytest.raises(ValueError, match="scope 'pipelines' has its paths already"):
        balancer.admit_machines(users, scope="pipelines", paths=["/other/*"])


def test_refuses_two_scopes_of_one_priority(monkeypatch: pytest.MonkeyPatch, stack: cdk.Stack) -> None:
    monkeypatch.setattr("mlplatform_constructs._edge.machine_paths.PRIORITIES", 1)
    balancer, users = load_balancer(stack), user_pool(stack, scopes={**SCOPES, "models": "Ask models"})
    balancer.admit_machines(users, scope="pipelines", paths=["/pipeline/*"])
    with pytest.raises(ValueError, match="scopes 'pipelines' and 'models' get one priority; rename one of them"):
        balancer.admit_machines(users, scope="models", paths=["/models/*"])


@pytest.mark.parametrize(
    "path",
    [
        "/pipeline/../notebook",
        "/pipeline/..",
        "/pipeline/./x",
        "/pipeline/%2e%2E/notebook",
        "/pipeline/.%2e/notebook",
        "/pipeline/%252e%252e/notebook",
        "/pipeline/..%2fnotebook",
        "/pipeline%2F..%5Cnotebook",
        "/pipeline/x\\..\\..\\notebook",
    ],
)
def test_a_path_that_leads_elsewhere_is_refused_before_anything_else(stack: cdk.Stack, path: str) -> None:
    with_sign_in(stack)
    listener = LoadBalancer(rules(Template.from_stack(stack)), [], call=lambda *_: pytest.fail("asked"), functions={})
    request = Request(f"https://{HOST}{path}", headers={"Authorization": "Bearer token"})
    assert listener.answer(request).status == 400


@pytest.mark.parametrize(
    "path", ["/.well-known/x", "/pipeline/a..b", "/notebook/train.log", "/x/...", "/lab/a%2Fb", "/"]
)
def test_dots_in_names_are_no_segments(stack: cdk.Stack, path: str) -> None:
    load_balancer(stack)
    (rule,) = [rule for rule in rules(Template.from_stack(stack)) if "RegexValues" in str(rule["Conditions"])]
    (pattern,) = rule["Conditions"][0]["PathPatternConfig"]["RegexValues"]
    assert not re.search(pattern, path)
    assert len(pattern) <= 128


def test_refuses_a_scope_that_does_not_exist(stack: cdk.Stack) -> None:
    users = user_pool(stack, scopes=SCOPES)
    with pytest.raises(ValueError, match="no scope 'models'; there are: pipelines"):
        load_balancer(stack).admit_machines(users, scope="models", paths=["/models/*"])


def test_refuses_a_certificate_of_another_region(stack: cdk.Stack) -> None:
    with pytest.raises(ValueError, match="Test/LoadBalancer: certificate must be in eu-west-1, got us-east-1"):
        load_balancer(stack, certificate=certificate(stack, "us-east-1"))


def test_refuses_two_rules_for_people(stack: cdk.Stack) -> None:
    balancer = with_sign_in(stack)
    with pytest.raises(ValueError, match="Test/LoadBalancer: already has a rule for people; choose one of"):
        balancer.pass_through()


def test_passes_the_compliance_pack(app: cdk.App, stack: cdk.Stack) -> None:
    with_sign_in(stack)
    assert_complies(app)

import ipaddress
from collections.abc import Sequence

import jsii
from aws_cdk import Acknowledgment, Duration, Token, Validations
from aws_cdk import aws_certificatemanager as acm
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_elasticloadbalancingv2 as elbv2
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from aws_cdk import aws_route53 as route53
from aws_cdk import aws_route53_targets as targets
from constructs import Construct, IDependable

from ._access_log_bucket import AccessLogBucket
from ._sign_out import SignOut
from ._user_pool import PlatformUserPool

_Action = elbv2.CfnListenerRule.ActionProperty
_Condition = elbv2.CfnListenerRule.RuleConditionProperty

_IDENTITY_HEADERS = (
    "x-amzn-oidc-data",
    "x-amzn-oidc-identity",
    "x-amzn-oidc-accesstoken",
    "kubeflow-userid",
    "kubeflow-groups",
)
_WITH_TOKEN = "Bearer *"
_MOST_PATHS = 3  # a rule has five values at most, and the host and the token are two
_SHORTEST_IDLE, _LONGEST_IDLE = 60, 4000

_REDIRECT_APEX, _SIGN_OUT, _MACHINES, _PEOPLE = 10, 20, 30, 100  # priorities of rules; the first that fits is taken


@jsii.implements(ec2.IConnectable)
class PlatformLoadBalancer(Construct):
    """The one way into a platform: an Application Load Balancer with TLS, closed until it is told who may pass.

    It answers for ``host_name`` alone, and sends the domain above it there. ``authenticate`` lets in people whom a user
    pool knows, ``admit_machines`` programs with a token of it, ``pass_through`` everybody, where what is behind asks
    for itself. A request that brings headers which say who somebody is, and which only the load balancer or the mesh
    may set, is refused whatever else it has.

    It belongs to CloudFormation and not to the cluster's controller: its address is there in the same deployment, and
    it goes with the stack. A TargetGroupBinding for ``target_group`` tells the controller which pods are behind it, and
    ``allow_to_targets`` opens the network: nothing but the load balancer gets to them. The controller needs the right
    to register targets with this group; as the platform sets it up, it has it for groups of its own tag alone.

    https://docs.aws.amazon.com/elasticloadbalancing/latest/application/listener-authenticate-users.html

    :param vpc: its network; public subnets when it faces the internet, else private ones.
    :param host_name: name of the platform, such as ``kubeflow.ml.example.com``.
    :param hosted_zone: zone of the domain above it. Both names get an address there.
    :param certificate: of both names.
    :param access_logs: where each request is written.
    :param internet_facing: whether it has public addresses. Default: it has.
    :param allowed_cidrs: networks that may connect. Default: all.
    :param idle_timeout: silence after which it closes a connection, 1 to 66 minutes; whatever is behind it must wait
        longer. Default: an hour, because a notebook at work can be silent for long.
    :param target_port: port of the pods behind it. Default: 80, that of Istio's gateway by its own chart.
    :param health_check_port: port where they say whether they are ready. Default: 15021, that of Istio's gateway.
    :param health_check_path: path for that. Default: ``/healthz/ready``.
    :param log_encryption_key: encrypts the log of the sign-out function; its policy lets CloudWatch Logs in. Default:
        CloudWatch's own key.
    :param log_retention: how long that log is kept. Default: a year.
    :param deletion_protection: whether AWS refuses to delete it. Default: it refuses.
    """

    SIGN_OUT_PATH = "/logout"
    """Where people end their session."""

    SESSION_COOKIE = "AWSELBAuthSessionCookie"
    """Name of the cookies that hold a session, without their number."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        vpc: ec2.IVpc,
        host_name: str,
        hosted_zone: route53.IHostedZone,
        certificate: acm.ICertificate,
        access_logs: AccessLogBucket,
        internet_facing: bool = True,
        allowed_cidrs: Sequence[str] = ("0.0.0.0/0",),
        idle_timeout: Duration | None = None,
        target_port: int = 80,
        health_check_port: int = 15021,
        health_check_path: str = "/healthz/ready",
        log_encryption_key: kms.IKey | None = None,
        log_retention: logs.RetentionDays = logs.RetentionDays.ONE_YEAR,
        deletion_protection: bool = True,
    ) -> None:
        super().__init__(scope, id)
        self.idle_timeout = idle_timeout or Duration.hours(1)
        self._check(host_name, hosted_zone, allowed_cidrs)

        self.host_name = host_name
        self.url = f"https://{host_name}"
        self._ports = (target_port, health_check_port)
        self._log_key, self._log_retention = log_encryption_key, log_retention
        self._open_to: Construct | None = None
        self._machine_rules = 0
        self.security_group = self._security_group(vpc, allowed_cidrs)
        self.load_balancer = self._load_balancer(vpc, internet_facing, deletion_protection)
        self.load_balancer.log_access_logs(access_logs.bucket, prefix=self.node.path)
        self.target_group = self._target_group(vpc, target_port, health_check_port, health_check_path)
        self._listener = self._listeners(certificate)
        self._refuse_claimed_identities()
        self.apex_address = self._names(hosted_zone)

    @property
    @jsii.member(jsii_name="connections")
    def connections(self) -> ec2.Connections:
        """Its own security group."""
        return self.security_group.connections

    def authenticate(self, users: PlatformUserPool) -> None:
        """Let people in whom ``users`` knows; everybody else is sent to its sign-in page first.

        Whatever is behind it gets the header ``x-amzn-oidc-data``, signed by the load balancer, for each request.
        ``SIGN_OUT_PATH`` ends the session here and there.
        """
        self._admit(
            _Action(
                type="authenticate-cognito",
                order=1,
                authenticate_cognito_config=elbv2.CfnListenerRule.AuthenticateCognitoConfigProperty(
                    user_pool_arn=users.user_pool.user_pool_arn,
                    user_pool_client_id=users.client.ref,
                    user_pool_domain=users.domain.domain_name,
                    on_unauthenticated_request="authenticate",
                    scope="openid email",
                    session_cookie_name=self.SESSION_COOKIE,
                    session_timeout=users.session.to_seconds(),
                ),
            ),
            after=users.domain,
        )
        sign_out = SignOut(
            self,
            "SignOut",
            sign_out_url=users.sign_out_url,
            session_cookie=self.SESSION_COOKIE,
            log_encryption_key=self._log_key,
            log_retention=self._log_retention,
        )
        self._rule(
            "EndSession",
            _SIGN_OUT,
            [_host(self.host_name), _paths([self.SIGN_OUT_PATH])],
            [_Action(type="forward", target_group_arn=sign_out.target_group.ref)],
        )
        self._reach_the_user_pool()

    def admit_machines(self, users: PlatformUserPool, *, scope: str, paths: Sequence[str]) -> None:
        """Let programs into ``paths`` that bring a token of ``users`` with the scope, as ``Authorization: Bearer``.

        The load balancer checks signature, issuer, age and scope, and passes the token on.

        https://docs.aws.amazon.com/elasticloadbalancing/latest/application/listener-verify-jwt.html

        :param scope: name of a scope of the user pool.
        :param paths: one to three patterns, such as ``/pipeline/*``.
        """
        if not 1 <= len(paths) <= _MOST_PATHS:
            raise ValueError(
                f"{self.node.path}: paths must be 1 to {_MOST_PATHS}, got {len(paths)}; name a path above them"
            )
        rule = elbv2.CfnListenerRule
        claim = rule.JwtValidationActionAdditionalClaimProperty
        valid = _Action(
            type="jwt-validation",
            order=1,
            jwt_validation_config=rule.JwtValidationConfigProperty(
                issuer=users.issuer,
                jwks_endpoint=f"{users.issuer}/.well-known/jwks.json",
                additional_claims=[
                    claim(name="token_use", format="single-string", values=["access"]),
                    claim(name="scope", format="space-separated-values", values=[users.scope(scope)]),
                ],
            ),
        )
        self._rule(
            f"Machines-{scope}",
            _MACHINES + self._machine_rules,
            [_host(self.host_name), _paths(paths), _header("authorization", _WITH_TOKEN)],
            [valid, self._forward(order=2)],
        )
        self._machine_rules += 1
        self._reach_the_user_pool()

    def pass_through(self) -> None:
        """Let everybody pass, where what is behind it asks who somebody is."""
        self._admit(None)

    def allow_to_targets(self, scope: Construct, security_group: ec2.ISecurityGroup) -> None:
        """Open the way to the pods of ``security_group``, for the load balancer alone, by rules made in ``scope``.

        Made there, and not where the load balancer is: the cluster comes later, and knows it already.
        """
        for port in self._ports:
            ec2.CfnSecurityGroupIngress(
                scope,
                f"FromLoadBalancer{port}",
                group_id=security_group.security_group_id,
                source_security_group_id=self.security_group.security_group_id,
                ip_protocol="tcp",
                from_port=port,
                to_port=port,
                description="Load balancer",
            )
            ec2.CfnSecurityGroupEgress(
                scope,
                f"ToTargets{port}",
                group_id=self.security_group.security_group_id,
                destination_security_group_id=security_group.security_group_id,
                ip_protocol="tcp",
                from_port=port,
                to_port=port,
                description="Targets",
            )

    def _security_group(self, vpc: ec2.IVpc, allowed_cidrs: Sequence[str]) -> ec2.SecurityGroup:
        group = ec2.SecurityGroup(
            self, "SecurityGroup", vpc=vpc, description="Platform load balancer", allow_all_outbound=False
        )
        for cidr in allowed_cidrs:
            for port in (ec2.Port.HTTPS, ec2.Port.HTTP):
                group.add_ingress_rule(ec2.Peer.ipv4(cidr), port, "People and machines")
        if "0.0.0.0/0" in allowed_cidrs:
            Validations.of(group).acknowledge(
                Acknowledgment(
                    id="AwsSolutions-EC23", reason="it is the way in for everybody; its listener asks who somebody is"
                )
            )
        return group

    def _load_balancer(
        self, vpc: ec2.IVpc, internet_facing: bool, deletion_protection: bool
    ) -> elbv2.ApplicationLoadBalancer:
        subnets = vpc.public_subnets if internet_facing else vpc.private_subnets
        balancer = elbv2.ApplicationLoadBalancer(
            self,
            "LoadBalancer",
            vpc=vpc,
            vpc_subnets=ec2.SubnetSelection(subnets=subnets),
            internet_facing=internet_facing,
            security_group=self.security_group,
            idle_timeout=self.idle_timeout,
            drop_invalid_header_fields=True,
            deletion_protection=deletion_protection,
        )
        balancer.set_attribute("zonal_shift.config.enabled", "true")
        return balancer

    def _target_group(
        self, vpc: ec2.IVpc, port: int, health_check_port: int, health_check_path: str
    ) -> elbv2.ApplicationTargetGroup:
        return elbv2.ApplicationTargetGroup(
            self,
            "Targets",
            vpc=vpc,
            target_type=elbv2.TargetType.IP,
            protocol=elbv2.ApplicationProtocol.HTTP,
            port=port,
            load_balancing_algorithm_type=elbv2.TargetGroupLoadBalancingAlgorithmType.LEAST_OUTSTANDING_REQUESTS,
            deregistration_delay=Duration.minutes(1),
            health_check=elbv2.HealthCheck(
                port=str(health_check_port),
                path=health_check_path,
                interval=Duration.seconds(10),
                timeout=Duration.seconds(5),
                healthy_threshold_count=2,
                unhealthy_threshold_count=2,
            ),
        )

    def _listeners(self, certificate: acm.ICertificate) -> elbv2.ApplicationListener:
        self.load_balancer.add_listener(
            "Http",
            port=80,
            open=False,
            default_action=elbv2.ListenerAction.redirect(port="443", protocol="HTTPS", permanent=True),
        )
        listener = self.load_balancer.add_listener(
            "Https",
            port=443,
            open=False,
            certificates=[certificate],
            ssl_policy=elbv2.SslPolicy.TLS13_12_RES_PQ,
            default_action=elbv2.ListenerAction.fixed_response(404, content_type="text/plain"),
        )
        for name, value in {
            "routing.http.response.strict_transport_security.header_value": "max-age=31536000",
            "routing.http.response.x_content_type_options.header_value": "nosniff",
            "routing.http.response.server.enabled": "false",
        }.items():
            listener.set_attribute(name, value)
        return listener

    def _refuse_claimed_identities(self) -> None:
        refuse = elbv2.CfnListenerRule.FixedResponseConfigProperty(status_code="400", content_type="text/plain")
        for priority, name in enumerate(_IDENTITY_HEADERS, start=1):
            self._rule(
                f"Refuse-{name}",
                priority,
                [_header(name, "*")],
                [_Action(type="fixed-response", fixed_response_config=refuse)],
            )

    def _names(self, hosted_zone: route53.IHostedZone) -> route53.ARecord:
        target = route53.RecordTarget.from_alias(targets.LoadBalancerTarget(self.load_balancer))
        route53.ARecord(self, "Address", zone=hosted_zone, record_name=f"{self.host_name}.", target=target)
        apex = self.host_name.partition(".")[2]
        redirect = elbv2.CfnListenerRule.RedirectConfigProperty(status_code="HTTP_302", host=self.host_name)
        self._rule("RedirectApex", _REDIRECT_APEX, [_host(apex)], [_Action(type="redirect", redirect_config=redirect)])
        return route53.ARecord(self, "ApexAddress", zone=hosted_zone, target=target)

    def _admit(self, first: _Action | None, after: IDependable | None = None) -> None:
        if self._open_to:
            raise ValueError(
                f"{self.node.path}: people are let in already; choose one of authenticate and pass_through"
            )
        actions = [first, self._forward(order=2)] if first else [self._forward(order=1)]
        self._open_to = self._rule("People", _PEOPLE, [_host(self.host_name)], actions)
        if after:
            self._open_to.node.add_dependency(after)

    def _forward(self, *, order: int) -> _Action:
        return _Action(type="forward", order=order, target_group_arn=self.target_group.target_group_arn)

    def _rule(
        self, id: str, priority: int, conditions: Sequence[_Condition], actions: Sequence[_Action]
    ) -> elbv2.CfnListenerRule:
        return elbv2.CfnListenerRule(
            self,
            id,
            listener_arn=self._listener.listener_arn,
            priority=priority,
            conditions=list(conditions),
            actions=list(actions),
        )

    def _reach_the_user_pool(self) -> None:
        """Tokens, claims and keys come from the user pool's public addresses, which have no fixed networks."""
        self.security_group.add_egress_rule(ec2.Peer.any_ipv4(), ec2.Port.HTTPS, "User pool")

    def _check(self, host_name: str, hosted_zone: route53.IHostedZone, allowed_cidrs: Sequence[str]) -> None:
        zone = hosted_zone.zone_name
        seconds = self.idle_timeout.to_seconds()
        if not Token.is_unresolved(zone) and host_name.partition(".")[2] != zone:
            raise ValueError(f"{self.node.path}: host_name must be a name right below {zone}, got {host_name}")
        if not _SHORTEST_IDLE <= seconds <= _LONGEST_IDLE:
            raise ValueError(
                f"{self.node.path}: idle_timeout must be {_SHORTEST_IDLE} to {_LONGEST_IDLE} seconds, got {seconds}; "
                "AWS waits no longer"
            )
        if not allowed_cidrs:
            raise ValueError(f"{self.node.path}: allowed_cidrs is empty; name the networks that may connect")
        for cidr in allowed_cidrs:
            try:
                ipaddress.IPv4Network(cidr)
            except ValueError as error:
                raise ValueError(
                    f"{self.node.path}: allowed_cidrs must be networks such as 203.0.113.0/24, got {cidr}: {error}"
                ) from None


def _host(name: str) -> _Condition:
    config = elbv2.CfnListenerRule.HostHeaderConfigProperty(values=[name])
    return _Condition(field="host-header", host_header_config=config)


def _paths(patterns: Sequence[str]) -> _Condition:
    config = elbv2.CfnListenerRule.PathPatternConfigProperty(values=list(patterns))
    return _Condition(field="path-pattern", path_pattern_config=config)


def _header(name: str, pattern: str) -> _Condition:
    config = elbv2.CfnListenerRule.HttpHeaderConfigProperty(http_header_name=name, values=[pattern])
    return _Condition(field="http-header", http_header_config=config)

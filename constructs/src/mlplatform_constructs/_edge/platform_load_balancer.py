import ipaddress
from collections.abc import Sequence

import jsii
from aws_cdk import Acknowledgment, Duration, Stack, Validations
from aws_cdk import aws_certificatemanager as acm
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_elasticloadbalancingv2 as elbv2
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from aws_cdk import aws_route53 as route53
from aws_cdk import aws_route53_targets as targets
from constructs import Construct, IDependable

from .._arguments import ConfigurationError, checked, is_token
from .._identity.user_pool import PlatformUserPool
from .._security.certificate_region import check_region_of
from .._storage.access_log_bucket import AccessLogBucket
from .machine_paths import MachinePaths
from .sign_out import SignOut

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
_SHORTEST_IDLE, _LONGEST_IDLE = 60, 4000

_SLASH = r"(/|\\|%(25)*(2[fF]|5[cC]))"
_DOT_SEGMENTS = rf"^.*{_SLASH}(\.|%(25)*2[eE]){{1,2}}({_SLASH}.*)?$"
"""A path segment ``.`` or ``..``, however it is encoded. A backslash counts as a slash, as it does for Envoy."""

# Priorities of rules; the first that fits is taken.
_REFUSE_DOT_SEGMENTS, _REDIRECT_APEX, _SIGN_OUT = 9, 10, 20
_PEOPLE = 50_000  # after those of machines


@jsii.implements(ec2.IConnectable)
class PlatformLoadBalancer(Construct):
    """The entry point of a platform: an Application Load Balancer with TLS that forwards nothing by default.

    It serves only ``host_name``, and redirects the parent domain to it. ``authenticate`` admits users of a user pool,
    ``admit_machines`` programs with a token of the pool, and ``pass_through`` all requests, for targets that
    authenticate users themselves.

    Two kinds of requests are always refused: those with identity headers, which only the load balancer or the mesh may
    set, and those with a path segment ``.`` or ``..``, encoded or not. The load balancer compares paths as they are
    sent, but targets resolve such segments: ``/pipeline/../notebook`` would be admitted as a path of pipelines and be
    served as one of notebooks.

    CloudFormation owns it, not the cluster's controller: its address exists in the same deployment, and is deleted with
    the stack. A TargetGroupBinding for ``target_group`` names the pods to the controller, and ``allow_to_targets``
    opens the network: only the load balancer reaches them. The controller needs permission to register targets with
    this group; on the platform, its policy covers groups with its own tag only.

    https://docs.aws.amazon.com/elasticloadbalancing/latest/application/listener-authenticate-users.html

    :param vpc: its network; public subnets if it is internet-facing, otherwise private ones.
    :param host_name: name of the platform, such as ``kubeflow.ml.example.com``.
    :param hosted_zone: zone of the parent domain, with records for both names.
    :param certificate: certificate for both names.
    :param access_logs: bucket of access logs.
    :param internet_facing: whether it has public addresses. Default: True.
    :param allowed_cidrs: networks that may connect. Default: all.
    :param idle_timeout: idle timeout of connections, 1 to 66 minutes; that of targets must be longer. Default: an hour,
        because a busy notebook can be idle for long.
    :param target_port: port of the target pods. Default: 80, that of Istio's gateway chart.
    :param health_check_port: port of health checks. Default: 15021, that of Istio's gateway.
    :param health_check_path: path of health checks. Default: ``/healthz/ready``.
    :param log_encryption_key: encrypts the log of the sign-out function; its policy must admit CloudWatch Logs.
        Default: CloudWatch's own key.
    :param log_retention: retention of that log. Default: a year.
    :param deletion_protection: whether AWS refuses to delete it. Default: True.
    """

    SIGN_OUT_PATH = "/logout"
    """Path of the sign-out endpoint."""

    SESSION_COOKIE = "AWSELBAuthSessionCookie"
    """Name of the cookies that hold a session, without their number."""

    @checked
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
        log_encryption_key: kms.IKey | kms.Key | None = None,
        log_retention: logs.RetentionDays = logs.RetentionDays.ONE_YEAR,
        deletion_protection: bool = True,
    ) -> None:
        super().__init__(scope, id)
        self.idle_timeout = idle_timeout or Duration.hours(1)
        self._check(host_name, hosted_zone, allowed_cidrs)
        reason = "a load balancer accepts certificates of its own Region only"
        check_region_of(certificate, self.node.path, Stack.of(self).region, reason)

        self.host_name = host_name
        self.url = f"https://{host_name}"
        self._ports = (target_port, health_check_port)
        self._log_key, self._log_retention = log_encryption_key, log_retention
        self._open_to: Construct | None = None
        self._machine_paths = MachinePaths(self.node.path)
        # Changing internet_facing replaces the load balancer, and a target group belongs to one load balancer only.
        self._group_prefix = "" if internet_facing else "Internal"
        self.security_group = self._security_group(vpc, allowed_cidrs)
        self.load_balancer = self._load_balancer(vpc, internet_facing, deletion_protection)
        access_logs.record_load_balancer(self.load_balancer)
        self.target_group = self._target_group(vpc, target_port, health_check_port, health_check_path)
        self._listener = self._listeners(certificate)
        self._refuse_claimed_identities()
        self._refuse_dot_segments()
        self.apex_address = self._names(hosted_zone)

    @property
    @jsii.member(jsii_name="connections")
    def connections(self) -> ec2.Connections:
        """Its own security group."""
        return self.security_group.connections

    @checked
    def authenticate(self, users: PlatformUserPool) -> None:
        """Admit users of the pool; other requests are redirected to its sign-in page.

        Targets receive the header ``x-amzn-oidc-data``, signed by the load balancer, for each request.
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
            target_group_id=f"{self._group_prefix}Target",
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

    @checked
    def admit_machines(self, users: PlatformUserPool, *, scope: str, paths: Sequence[str]) -> None:
        """Admit programs to ``paths`` with a token of ``users`` that has the scope, as ``Authorization: Bearer``.

        The load balancer verifies signature, issuer, expiry and scope, and forwards the token.

        https://docs.aws.amazon.com/elasticloadbalancing/latest/application/listener-verify-jwt.html

        The priority of the rule follows from the name of the scope, not from the order of calls: no two rules swap
        theirs in an update, which Elastic Load Balancing refuses. Hence paths of two scopes must not overlap.

        :param scope: name of a scope of the user pool.
        :param paths: one to three patterns, such as ``/pipeline/*``.
        """
        priority = self._machine_paths.add(scope, paths)
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
            priority,
            [_host(self.host_name), _paths(paths), _header("authorization", _WITH_TOKEN)],
            [valid, self._forward(order=2)],
        )
        self._reach_the_user_pool()

    @checked
    def pass_through(self) -> None:
        """Forward every request, to targets that authenticate users themselves."""
        self._admit(None)

    @checked
    def allow_to_targets(self, scope: Construct, security_group: ec2.ISecurityGroup) -> None:
        """Allow the load balancer alone to reach the pods of ``security_group``, by rules created in ``scope``.

        They are created there because the cluster's stack depends on that of the load balancer, not the reverse.
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
                    id="AwsSolutions-EC23", reason="it is the public entry point; its listener authenticates requests"
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
            f"{self._group_prefix}Targets",
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
        for priority, name in enumerate(_IDENTITY_HEADERS, start=1):
            self._refuse(f"Refuse-{name}", priority, _header(name, "*"))

    def _refuse_dot_segments(self) -> None:
        config = elbv2.CfnListenerRule.PathPatternConfigProperty(regex_values=[_DOT_SEGMENTS])
        dots = _Condition(field="path-pattern", path_pattern_config=config)
        self._refuse("RefuseDotSegments", _REFUSE_DOT_SEGMENTS, dots)

    def _refuse(self, id: str, priority: int, condition: _Condition) -> None:
        refuse = elbv2.CfnListenerRule.FixedResponseConfigProperty(status_code="400", content_type="text/plain")
        self._rule(id, priority, [condition], [_Action(type="fixed-response", fixed_response_config=refuse)])

    def _names(self, hosted_zone: route53.IHostedZone) -> route53.ARecord:
        target = route53.RecordTarget.from_alias(targets.LoadBalancerTarget(self.load_balancer))
        route53.ARecord(self, "Address", zone=hosted_zone, record_name=f"{self.host_name}.", target=target)
        apex = self.host_name.partition(".")[2]
        redirect = elbv2.CfnListenerRule.RedirectConfigProperty(status_code="HTTP_302", host=self.host_name)
        self._rule("RedirectApex", _REDIRECT_APEX, [_host(apex)], [_Action(type="redirect", redirect_config=redirect)])
        return route53.ARecord(self, "ApexAddress", zone=hosted_zone, target=target)

    def _admit(self, first: _Action | None, after: IDependable | None = None) -> None:
        if self._open_to:
            raise ConfigurationError(
                f"{self.node.path}: already has a rule for people; choose one of authenticate and pass_through"
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
        if not is_token(zone) and host_name.partition(".")[2] != zone:
            raise ConfigurationError(f"{self.node.path}: host_name must be a name right below {zone}, got {host_name}")
        if not _SHORTEST_IDLE <= seconds <= _LONGEST_IDLE:
            raise ConfigurationError(
                f"{self.node.path}: idle_timeout must be {_SHORTEST_IDLE} to {_LONGEST_IDLE} seconds, got {seconds}; "
                "AWS allows no other"
            )
        if not allowed_cidrs:
            raise ConfigurationError(f"{self.node.path}: allowed_cidrs is empty; name the networks that may connect")
        for cidr in allowed_cidrs:
            try:
                ipaddress.IPv4Network(cidr)
            except ValueError as error:
                raise ConfigurationError(
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

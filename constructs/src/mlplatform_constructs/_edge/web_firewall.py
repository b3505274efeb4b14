import hashlib
import re

from aws_cdk import Aws, Fn, RemovalPolicy
from aws_cdk import aws_elasticloadbalancingv2 as elbv2
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from aws_cdk import aws_wafv2 as waf
from constructs import Construct

from .._arguments import ConfigurationError, checked, is_token
from .._security.log_group_arn import log_group_arn

_RULE = waf.CfnWebACL.RuleProperty
_STATEMENT = waf.CfnWebACL.StatementProperty

_OF_BODIES = (
    "CrossSiteScripting_BODY",
    "EC2MetaDataSSRF_BODY",
    "GenericLFI_BODY",
    "GenericRFI_BODY",
    "SizeRestrictions_BODY",
)
"""Rules of the common set that look into bodies: there they would find the code that people write and upload."""
_OF_FILES = ("RestrictedExtensions_QUERYARGUMENTS", "RestrictedExtensions_URIPATH")
"""Rules that refuse files such as ``train.log`` and ``setup.ini``, which people open in notebooks by their path."""
_OF_SESSIONS = ("SizeRestrictions_Cookie_HEADER",)
"""Refuses cookies of more than 10 kB; a load balancer's session alone may have four of 4 kB."""

_MANAGED = {
    "AWSManagedRulesAmazonIpReputationList": (),
    "AWSManagedRulesCommonRuleSet": (*_OF_BODIES, *_OF_FILES, *_OF_SESSIONS),
    "AWSManagedRulesKnownBadInputsRuleSet": (),
}


class WebFirewall(Construct):
    """AWS WAF for a load balancer: refuses addresses of bad reputation, common attacks and floods.

    Findings of the common rules in a body, in a file name or in the size of a session are counted and not refused:
    notebooks and pipelines consist of code and files. Cookies and ``Authorization`` are not logged.

    https://docs.aws.amazon.com/waf/latest/developerguide/aws-managed-rule-groups-baseline.html

    :param load_balancer: the load balancer to protect.
    :param requests_per_address: requests that one address may make in five minutes. Default: 20000; an office behind
        one address counts as one.
    :param log_encryption_key: encrypts the log of refused requests; its policy must admit CloudWatch Logs. Default:
        CloudWatch's own key.
    :param log_retention: how long it is kept. Default: a year.
    :param removal_policy: removal policy of it. Default: RETAIN.
    """

    @checked
    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        load_balancer: elbv2.IApplicationLoadBalancer,
        requests_per_address: int = 20_000,
        log_encryption_key: kms.IKey | kms.Key | None = None,
        log_retention: logs.RetentionDays = logs.RetentionDays.ONE_YEAR,
        removal_policy: RemovalPolicy = RemovalPolicy.RETAIN,
    ) -> None:
        super().__init__(scope, id)
        if not is_token(requests_per_address) and requests_per_address < 10:
            raise ConfigurationError(
                f"{self.node.path}: requests_per_address must be 10 or more, got {requests_per_address}; "
                "AWS allows no lower limit"
            )

        self.web_acl = waf.CfnWebACL(
            self,
            "WebAcl",
            scope="REGIONAL",
            default_action=waf.CfnWebACL.DefaultActionProperty(allow={}),
            visibility_config=_visible("WebAcl"),  # AWS keeps "All" and "Default_Action" for itself
            rules=[
                self._flood(requests_per_address),
                *(_managed(name, counted, place) for place, (name, counted) in enumerate(_MANAGED.items(), start=1)),
            ],
        )
        waf.CfnWebACLAssociation(
            self, "Association", resource_arn=load_balancer.load_balancer_arn, web_acl_arn=self.web_acl.attr_arn
        )
        self.log_group = logs.LogGroup(
            self,
            "Log",
            log_group_name=self._log_group_name(),
            encryption_key=log_encryption_key,
            retention=log_retention,
            removal_policy=removal_policy,
        )
        self._log_refusals()

    def _flood(self, limit: int) -> waf.CfnWebACL.RuleProperty:
        return _RULE(
            name="Flood",
            priority=0,
            action=waf.CfnWebACL.RuleActionProperty(block={}),
            statement=_STATEMENT(
                rate_based_statement=waf.CfnWebACL.RateBasedStatementProperty(
                    aggregate_key_type="IP", limit=limit, evaluation_window_sec=300
                )
            ),
            visibility_config=_visible("Flood"),
        )

    def _log_group_name(self) -> str:
        """AWS WAF writes to names that begin like this only.

        The digest avoids a name clash with a replacement, the stack's id one with the retained log of an earlier stack.
        """
        words = re.sub(r"[^0-9A-Za-z]+", "-", self.node.path).strip("-")
        digest = hashlib.sha256(self.node.path.encode()).hexdigest()[:8]
        stack = Fn.select(2, Fn.split("/", Aws.STACK_ID))
        return f"aws-waf-logs-{words[:80]}-{digest}-{stack}"

    def _log_refusals(self) -> None:
        names = ("authorization", "cookie")
        keep = {
            "DefaultBehavior": "DROP",
            "Filters": [
                {
                    "Behavior": "KEEP",
                    "Requirement": "MEETS_ANY",
                    "Conditions": [{"ActionCondition": {"Action": action}} for action in ("BLOCK", "COUNT")],
                }
            ],
        }
        waf.CfnLoggingConfiguration(
            self,
            "Logging",
            resource_arn=self.web_acl.attr_arn,
            log_destination_configs=[log_group_arn(self.log_group)],
            redacted_fields=[
                waf.CfnLoggingConfiguration.FieldToMatchProperty(single_header={"Name": name}) for name in names
            ],
            logging_filter=keep,
        )


def _managed(name: str, counted: tuple[str, ...], priority: int) -> waf.CfnWebACL.RuleProperty:
    count = waf.CfnWebACL.RuleActionProperty(count={})
    override = waf.CfnWebACL.RuleActionOverrideProperty
    return _RULE(
        name=name,
        priority=priority,
        override_action=waf.CfnWebACL.OverrideActionProperty(none={}),
        statement=_STATEMENT(
            managed_rule_group_statement=waf.CfnWebACL.ManagedRuleGroupStatementProperty(
                vendor_name="AWS",
                name=name,
                rule_action_overrides=[override(name=rule, action_to_use=count) for rule in counted] or None,
            )
        ),
        visibility_config=_visible(name),
    )


def _visible(metric: str) -> waf.CfnWebACL.VisibilityConfigProperty:
    return waf.CfnWebACL.VisibilityConfigProperty(
        cloud_watch_metrics_enabled=True, metric_name=metric, sampled_requests_enabled=True
    )

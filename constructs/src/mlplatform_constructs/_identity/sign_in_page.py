"""The DNS target of a user pool's sign-in page."""

import jsii
from aws_cdk import aws_cognito as cognito
from aws_cdk import aws_route53 as route53
from aws_cdk import aws_route53_targets as targets


@jsii.implements(route53.IAliasRecordTarget)
class SignInPage:
    """The CloudFront distribution of a custom domain.

    The class of the CDK looks its name up with a function, unless a feature flag is set.
    """

    def __init__(self, domain: cognito.UserPoolDomain) -> None:
        self._domain = domain

    @jsii.member(jsii_name="bind")
    def bind(
        self, record: route53.IRecordSet, _zone: route53.IHostedZone | None = None
    ) -> route53.AliasRecordTargetConfig:
        resource = self._domain.node.default_child
        assert isinstance(resource, cognito.CfnUserPoolDomain)
        return route53.AliasRecordTargetConfig(
            dns_name=resource.attr_cloud_front_distribution,
            hosted_zone_id=targets.CloudFrontTarget.get_hosted_zone_id(record),
        )

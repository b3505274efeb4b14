from collections.abc import Sequence
from pathlib import Path

from aws_cdk import CustomResource, Duration, RemovalPolicy, Stack
from aws_cdk import aws_certificatemanager as acm
from aws_cdk import aws_iam as iam
from aws_cdk import aws_route53 as route53
from constructs import Construct

from .._arguments import ConfigurationError, checked
from .._functions.handler_function import HandlerFunction
from .._security.acknowledge import acknowledge_wildcard


class DnsCertificate(Construct):
    """A public certificate of ACM, validated by DNS records in a hosted zone.

    The first deployment waits until the zone answers in the public DNS: its parent zone must delegate to it.

    CloudFormation creates the validation records and never deletes them. With ``DESTROY`` a function does, when the
    certificate is deleted or replaced by one of other names. A record that another certificate of the account needs,
    in the region of the stack or in us-east-1, stays: all certificates of one name share their record.

    :param domain_names: names of the certificate; ``*.ml.example.com`` covers all names one level below.
    :param hosted_zone: zone of all these names.
    :param removal_policy: removal policy of the validation records. With DESTROY, the certificate is deleted when
        nothing uses it any more, which takes minutes after its users are deleted, then its records, so that the zone
        can be deleted as well. Default: RETAIN; the records do no harm.
    """

    @checked
    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        domain_names: Sequence[str],
        hosted_zone: route53.IHostedZone,
        removal_policy: RemovalPolicy = RemovalPolicy.RETAIN,
    ) -> None:
        super().__init__(scope, id)
        if not domain_names:
            raise ConfigurationError(f"{self.node.path}: domain_names is empty; name at least one domain")

        self.certificate = acm.Certificate(
            self,
            "Certificate",
            domain_name=domain_names[0],
            subject_alternative_names=list(domain_names[1:]) or None,
            validation=acm.CertificateValidation.from_dns(hosted_zone),
        )
        if removal_policy == RemovalPolicy.DESTROY:
            function = self._delete_records(domain_names, hosted_zone)
            self._wait_until_unused(function)

    def _wait_until_unused(self, function: HandlerFunction) -> None:
        """Deleted before the certificate, which ACM keeps while it is used.

        https://github.com/aws/aws-cdk/issues/28063
        """
        CustomResource(
            Construct(self, "Use"),
            "Resource",
            resource_type="Custom::CertificateUse",
            service_token=function.function_arn,
            service_timeout=Duration.minutes(16),
            properties={"CertificateArn": self.certificate.certificate_arn},
        )

    def _delete_records(self, domain_names: Sequence[str], hosted_zone: route53.IHostedZone) -> HandlerFunction:
        """Deleted after the certificate, with the records. https://github.com/aws/aws-cdk/issues/7063"""
        scope = Construct(self, "Records")
        function = HandlerFunction(
            scope,
            "Function",
            description="Waits until a certificate is unused, and deletes the records that proved its domains",
            folder=Path(__file__).parent / "dns_certificate_handler",
            timeout=Duration.minutes(15),  # AWS updates the list of users of a certificate within minutes
        )
        self._allow(function.execution_role, hosted_zone)
        resource = CustomResource(
            scope,
            "Resource",
            resource_type="Custom::CertificateRecords",
            service_token=function.function_arn,
            service_timeout=Duration.minutes(3),
            properties={"HostedZoneId": hosted_zone.hosted_zone_id, "DomainNames": list(domain_names)},
        )
        resource.node.add_dependency(function, function.execution_role)
        self.certificate.node.add_dependency(scope)
        return function

    def _allow(self, role: iam.Role, hosted_zone: route53.IHostedZone) -> None:
        stack, zone_arn = Stack.of(self), hosted_zone.hosted_zone_arn
        role.add_to_policy(iam.PolicyStatement(actions=["route53:ListResourceRecordSets"], resources=[zone_arn]))
        role.add_to_policy(
            iam.PolicyStatement(
                actions=["route53:ChangeResourceRecordSets"],
                resources=[zone_arn],
                conditions={
                    "ForAllValues:StringEquals": {
                        "route53:ChangeResourceRecordSetsRecordTypes": ["CNAME"],
                        "route53:ChangeResourceRecordSetsActions": ["DELETE"],
                    }
                },
            )
        )
        certificates = f"arn:{stack.partition}:acm:*:{stack.account}:certificate/*"
        role.add_to_policy(iam.PolicyStatement(actions=["acm:ListCertificates"], resources=["*"]))
        role.add_to_policy(iam.PolicyStatement(actions=["acm:DescribeCertificate"], resources=[certificates]))
        acknowledge_wildcard(role, "*", "ACM lists all certificates or none")
        acknowledge_wildcard(role, certificates, "another certificate of the account may need the same record")

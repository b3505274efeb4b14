from collections.abc import Sequence

from aws_cdk import CustomResource, Duration, RemovalPolicy
from aws_cdk import aws_certificatemanager as acm
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_route53 as route53
from constructs import Construct

from ._handler_code import handler_code


class DnsCertificate(Construct):
    """A public certificate, proved by records in a hosted zone, which takes these records with it when it goes.

    The first deployment waits until the zone answers in the public DNS: its parent zone must delegate to it.

    :param domain_names: what it is for; ``*.ml.example.com`` stands for all names one level below.
    :param hosted_zone: zone of all these names.
    :param removal_policy: with DESTROY, the certificate is deleted when nothing uses it any more, which takes minutes
        after its users are gone, and then the records that prove the domains, which CloudFormation forgets, so that the
        zone can be deleted, too. Default: they stay, harmless, with the zone.
    """

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
            raise ValueError(f"{self.node.path}: domain_names is empty; name at least one domain")

        self.certificate = acm.Certificate(
            self,
            "Certificate",
            domain_name=domain_names[0],
            subject_alternative_names=list(domain_names[1:]) or None,
            validation=acm.CertificateValidation.from_dns(hosted_zone),
        )
        if removal_policy == RemovalPolicy.DESTROY:
            function, role = self._records(domain_names, hosted_zone)
            self._wait_until_unused(function, role)

    def _wait_until_unused(self, function: lambda_.Function, role: iam.Role) -> None:
        """Goes before the certificate, which ACM keeps while it is used. https://github.com/aws/aws-cdk/issues/28063"""
        scope = Construct(self, "Use")
        arn = self.certificate.certificate_arn
        look = iam.PolicyStatement(actions=["acm:DescribeCertificate"], resources=[arn])
        policy = iam.Policy(scope, "Policy", statements=[look], roles=[role])
        resource = CustomResource(
            scope,
            "Resource",
            resource_type="Custom::CertificateUse",
            service_token=function.function_arn,
            service_timeout=Duration.minutes(16),
            properties={"CertificateArn": arn},
        )
        resource.node.add_dependency(policy)

    def _records(
        self, domain_names: Sequence[str], hosted_zone: route53.IHostedZone
    ) -> tuple[lambda_.Function, iam.Role]:
        """Goes after the certificate, and takes the records along. https://github.com/aws/aws-cdk/issues/7063"""
        scope = Construct(self, "Records")
        log_group = logs.LogGroup(
            scope, "Log", retention=logs.RetentionDays.ONE_MONTH, removal_policy=RemovalPolicy.DESTROY
        )
        role = iam.Role(scope, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
        log_group.grant_write(role)
        zone_arn = hosted_zone.hosted_zone_arn
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
        function = lambda_.Function(
            scope,
            "Function",
            description="Lets a certificate go, and deletes the records that proved its domains",
            runtime=lambda_.Runtime.PYTHON_3_14,
            architecture=lambda_.Architecture.ARM_64,
            code=handler_code("certificate_records"),
            handler="handlers.certificate_records.index.handler",
            role=role,
            log_group=log_group,
            timeout=Duration.minutes(15),  # what used a certificate is forgotten within minutes
        )
        resource = CustomResource(
            scope,
            "Resource",
            resource_type="Custom::CertificateRecords",
            service_token=function.function_arn,
            service_timeout=Duration.minutes(3),
            properties={"HostedZoneId": hosted_zone.hosted_zone_id, "DomainNames": list(domain_names)},
        )
        resource.node.add_dependency(log_group, role)  # they are needed as long as the function may be called
        self.certificate.node.add_dependency(scope)
        return function, role

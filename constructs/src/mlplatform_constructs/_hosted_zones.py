import re

from aws_cdk import CfnOutput, Fn, RemovalPolicy, Token
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_route53 as route53
from constructs import Construct

_DOMAIN = re.compile(r"([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\.)+[a-z]{2,63}")


class HostedZones(Construct):
    """Where the platform's names live: a public zone for its domain, a private one for names of the VPC alone.

    The private zone is ``internal.<domain>`` and not the domain itself: a private zone of the same name hides every
    record of the public one from the VPC, and pods could not find the platform that they are part of.

    Records that others write (external-dns, the load balancer) must be gone before a zone can be deleted.

    Neither zone is signed (DNSSEC): the signing key must lie in us-east-1 and the parent zone must publish its digest.

    :param domain: name of the platform, such as ``ml.example.com``.
    :param vpc: the only network in which names of the private zone resolve.
    :param parent_zone: zone of a parent domain in this account, where the delegation is written. Default: the name
        servers are the output ``NameServers``, for whoever owns the parent domain.
    :param removal_policy: what becomes of the public zone when the stack goes. A new zone has other name servers, so
        the delegation must be written anew. Default: it stays.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        domain: str,
        vpc: ec2.IVpc,
        parent_zone: route53.IHostedZone | None = None,
        removal_policy: RemovalPolicy = RemovalPolicy.RETAIN,
    ) -> None:
        super().__init__(scope, id)
        if not Token.is_unresolved(domain) and not _DOMAIN.fullmatch(domain):
            raise ValueError(f"{self.node.path}: domain must be a lower-case name such as ml.example.com, got {domain}")

        self.public_zone = route53.PublicHostedZone(self, "Public", zone_name=domain)
        self.public_zone.apply_removal_policy(removal_policy)
        self.private_zone = route53.PrivateHostedZone(self, "Private", zone_name=f"internal.{domain}", vpc=vpc)

        servers = self.public_zone.hosted_zone_name_servers or []
        if parent_zone:
            # The final dot makes the name absolute; a zone imported by its id does not know its own name.
            route53.ZoneDelegationRecord(
                self, "Delegation", zone=parent_zone, record_name=f"{domain}.", name_servers=servers
            )
        else:
            CfnOutput(
                self,
                "NameServers",
                description=f"Write an NS record for {domain} with these values into the zone of its parent domain.",
                value=Fn.join(" ", servers),
            )

import re
from collections.abc import Sequence

from aws_cdk import CfnOutput, Fn, RemovalPolicy
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_route53 as route53
from constructs import Construct

from .._arguments import ConfigurationError, checked, is_token
from .._security.account_grant import Permission, grant_permissions

_DOMAIN = re.compile(r"([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\.)+[a-z]{2,63}")


class HostedZones(Construct):
    """The hosted zones of a platform: a public one for its domain, a private one for names of the VPC alone.

    The private zone is ``internal.<domain>`` and not the domain itself: a private zone of the same name hides every
    record of the public one from the VPC, and pods could not find the platform that they are part of.

    Records of others (external-dns, the load balancer) must be deleted before a zone can be deleted.

    Neither zone is signed (DNSSEC): the signing key must be in us-east-1 and the parent zone must publish its digest.

    :param domain: name of the platform, such as ``ml.example.com``.
    :param vpc: the only network in which names of the private zone resolve.
    :param parent_zone: zone of a parent domain in this account, where the delegation is written. Default: the name
        servers are the output ``NameServers``, for the owner of the parent domain.
    :param removal_policy: removal policy of the public zone. A new zone has other name servers, so the delegation must
        be updated. Default: RETAIN.
    """

    @checked
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
        if not is_token(domain) and not _DOMAIN.fullmatch(domain):
            raise ConfigurationError(
                f"{self.node.path}: domain must be a lower-case name such as ml.example.com, got {domain}"
            )

        self.public_zone = route53.PublicHostedZone(self, "Public", zone_name=domain)
        self.public_zone.apply_removal_policy(removal_policy)
        self.private_zone = route53.PrivateHostedZone(self, "Private", zone_name=f"internal.{domain}", vpc=vpc)

        self._domain = domain
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

    @checked
    def grant_write_records(
        self,
        grantee: iam.IGrantable,
        *,
        reserved: Sequence[str] = (),
        types: Sequence[str] = ("A", "AAAA", "CNAME", "TXT"),
    ) -> iam.Grant:
        """Allow ``grantee`` to list and change records of both zones, for a controller such as external-dns.

        Only names below the domain can be changed: not the domain itself, nor validation records of certificates, whose
        names begin with an underscore.

        :param reserved: names that others own, such as that of the platform. Default: none.
        :param types: record types that can be changed. Default: addresses, aliases, and TXT for the owner.
        """
        prefix = "route53:ChangeResourceRecordSetsNormalizedRecord"
        zones = [self.public_zone.hosted_zone_arn, self.private_zone.hosted_zone_arn]
        names = {
            "ForAllValues:StringLike": {f"{prefix}Names": [f"*.{self._domain}"]},
            "ForAllValues:StringNotLike": {f"{prefix}Names": ["_*", *reserved]},
            "ForAllValues:StringEquals": {"route53:ChangeResourceRecordSetsRecordTypes": list(types)},
        }
        permissions = [
            Permission(actions=["route53:ChangeResourceRecordSets"], resources=zones, conditions=names),
            Permission(
                actions=["route53:ListResourceRecordSets", "route53:ListTagsForResources"],
                resources=zones,
            ),
            Permission(
                actions=["route53:ListHostedZones"], resources=["*"], why="Route 53 lists all hosted zones or none"
            ),
        ]
        return grant_permissions(self, grantee, permissions)

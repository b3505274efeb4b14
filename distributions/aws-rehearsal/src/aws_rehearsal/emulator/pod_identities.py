"""AWS as pods see it: the emulator, and the roles that Pod Identity associations give to service accounts."""

from collections.abc import Mapping
from urllib.parse import urlsplit

from botocore.exceptions import ClientError
from ministack.services import eks

from aws_rehearsal.emulator.provisioner import client_of
from aws_rehearsal.emulator.sessions import trusts
from aws_rehearsal.emulator.settings import endpoint
from kubernetes_rehearsal.nodes.pod_aws import AwsError

_PRINCIPAL = "pods.eks.amazonaws.com"
_ACTIONS = ("sts:AssumeRole", "sts:TagSession")


class EmulatedAws:
    """The emulator of this process, for pods."""

    @property
    def port(self) -> int:
        """Of loopback, where every service answers."""
        port = urlsplit(endpoint()).port
        assert port
        return port

    def region(self, cluster: str) -> str:
        """Region of a cluster, by its key."""
        return cluster.split("/")[1]

    def issuer(self, cluster: str) -> str:
        """URL of the OpenID Connect issuer of a cluster."""
        account, region, name = cluster.split("/")
        found = eks._clusters.get_scoped(account, region, name)
        return str(found["identity"]["oidc"]["issuer"])

    def role(self, cluster: str, namespace: str, service_account: str) -> str | None:
        """ARN of the role that an association gives to a service account, or None."""
        account, region, name = cluster.split("/")
        for (owner, place, _), found in list(eks._pod_identity_associations.all_items()):
            wanted = (account, region, name, namespace, service_account)
            if (owner, place, found["clusterName"], found["namespace"], found["serviceAccount"]) == wanted:
                return str(found["roleArn"])
        return None

    def credentials(self, cluster: str, namespace: str, service_account: str) -> Mapping[str, str]:
        """Credentials of that role, with the session tags that EKS sets.

        https://docs.aws.amazon.com/eks/latest/userguide/pod-id-abac.html

        :raises AwsError: if there is no association, or the role does not trust EKS.
        """
        account, region, name = cluster.split("/")
        role = self.role(cluster, namespace, service_account)
        if not role:
            raise AwsError(f"No association found for service account {service_account} in namespace {namespace}")
        if missing := [action for action in _ACTIONS if not trusts(account, role, _PRINCIPAL, action)]:
            raise AwsError(f"{role}: its trust policy does not allow {_PRINCIPAL} {' and '.join(missing)}")
        tags = {
            "eks-cluster-arn": f"arn:aws:eks:{region}:{account}:cluster/{name}",
            "eks-cluster-name": name,
            "kubernetes-namespace": namespace,
            "kubernetes-service-account": service_account,
        }
        try:
            assumed = client_of("sts", account, region).assume_role(
                RoleArn=role,
                RoleSessionName=f"eks-{name}-{service_account}"[:64],
                Tags=[{"Key": key, "Value": value} for key, value in tags.items()],
            )["Credentials"]
        except ClientError as error:
            raise AwsError(str(error)) from error
        return {
            "AccessKeyId": assumed["AccessKeyId"],
            "SecretAccessKey": assumed["SecretAccessKey"],
            "Token": assumed["SessionToken"],
            "AccountId": account,
            "Expiration": assumed["Expiration"].strftime("%Y-%m-%dT%H:%M:%SZ"),
        }

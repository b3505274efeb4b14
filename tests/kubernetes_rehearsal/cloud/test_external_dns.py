"""external-dns itself writes and deletes names in the embedded Route 53, by our configuration and policy."""

from typing import Any

import pytest
from aws_cdk import CfnOutput
from aws_cdk import aws_ec2 as ec2

from charts.edge.external_dns.values import NAME, NAMESPACE, external_dns_configuration
from charts.kit.objects import namespace
from kubernetes_rehearsal import programs
from mlplatform_constructs import HostedZones
from tests.kubernetes_rehearsal.cloud.clouds import CLUSTER, REGION, CloudCluster, new_stack, pod_role
from tests.kubernetes_rehearsal.helm_releases import ChartSource

IMAGE = "registry.k8s.io/external-dns/external-dns:v0.22.0"
DOMAIN, FOREIGN = "ml.example.com", "example.org"
# The image of EKS's add-on is not to be had; a shorter pause between two looks saves time.
REHEARSAL_VALUES = {
    "image": {"repository": IMAGE.rpartition(":")[0], "tag": IMAGE.rpartition(":")[2]},
    "interval": "5s",
}
_SECONDS = 240


def _ingress(name: str, host: str) -> dict[str, Any]:
    backend = {"service": {"name": name, "port": {"number": 80}}}
    paths = [{"path": "/", "pathType": "Prefix", "backend": backend}]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"ingressClassName": "alb", "rules": [{"host": host, "http": {"paths": paths}}]},
    }


@pytest.fixture(scope="module")
def zones(cloud: CloudCluster) -> dict[str, str]:
    """Hosted zones by name, with external-dns at work on the platform's."""
    if reason := programs.why_missing(IMAGE):
        pytest.skip(f"{IMAGE}: {reason}")
    stack = new_stack(NAME)
    vpc = ec2.Vpc.from_vpc_attributes(stack, "Vpc", vpc_id=cloud.vpc, availability_zones=[f"{REGION}a"])
    own = HostedZones(stack, "Zones", domain=DOMAIN, vpc=vpc)
    own.grant_write_records(pod_role(stack, f"{NAMESPACE}/{NAME}"))
    CfnOutput(stack, "Zone", value=own.public_zone.hosted_zone_id)
    zone = cloud.deploy(stack)["Zone"]
    foreign = cloud.client("route53").create_hosted_zone(Name=FOREIGN, CallerReference=FOREIGN)["HostedZone"]["Id"]
    configuration = external_dns_configuration(
        cluster_name=CLUSTER,
        domains=[DOMAIN, f"internal.{DOMAIN}"],
        placement={"nodeSelector": {"mlplatform/purpose": "system"}},
    )
    cloud.apply(namespace(NAMESPACE, security="baseline"))
    chart = ChartSource("external-dns", "sigs.k8s.io/external-dns").chart("charts/external-dns")
    cloud.helm.install(NAME, chart, namespace=NAMESPACE, values=[configuration, REHEARSAL_VALUES])
    return {DOMAIN: zone, FOREIGN: foreign.rpartition("/")[2]}


def _records(cloud: CloudCluster, zone: str) -> dict[str, set[str]]:
    """Types of the records of each name but the zone's own."""
    found: dict[str, set[str]] = {}
    for record in cloud.client("route53").list_resource_record_sets(HostedZoneId=zone)["ResourceRecordSets"]:
        found.setdefault(record["Name"].rstrip("."), set()).add(record["Type"])
    return {name: types for name, types in found.items() if name not in (DOMAIN, FOREIGN)}


@pytest.mark.promise("names-of-objects")
def test_a_name_appears_with_its_ingress_and_goes_with_it(cloud: CloudCluster, zones: dict[str, str]) -> None:
    ingress = _ingress("dashboard", f"dashboard.{DOMAIN}")
    cloud.apply(ingress)
    host = f"dashboard.{DOMAIN}"
    cloud.until(lambda: host in _records(cloud, zones[DOMAIN]), seconds=_SECONDS, what="the name is there")
    assert "CNAME" in _records(cloud, zones[DOMAIN])[host]
    cloud.delete(ingress)
    cloud.until(lambda: not _records(cloud, zones[DOMAIN]), seconds=_SECONDS, what="name and owner's mark are gone")


def test_a_record_that_it_does_not_own_stays(cloud: CloudCluster, zones: dict[str, str]) -> None:
    record = {
        "Name": f"mail.{DOMAIN}",
        "Type": "A",
        "TTL": 60,
        "ResourceRecords": [{"Value": "192.0.2.1"}],
    }
    change = {"Changes": [{"Action": "CREATE", "ResourceRecordSet": record}]}
    cloud.client("route53").change_resource_record_sets(HostedZoneId=zones[DOMAIN], ChangeBatch=change)
    ingress = _ingress("jobs", f"jobs.{DOMAIN}")
    cloud.apply(ingress)
    cloud.until(lambda: f"jobs.{DOMAIN}" in _records(cloud, zones[DOMAIN]), seconds=_SECONDS, what="its own name")
    cloud.delete(ingress)
    cloud.until(lambda: f"jobs.{DOMAIN}" not in _records(cloud, zones[DOMAIN]), seconds=_SECONDS, what="it is gone")
    assert _records(cloud, zones[DOMAIN])[f"mail.{DOMAIN}"] == {"A"}


def test_no_name_is_written_outside_of_the_platforms_domain(cloud: CloudCluster, zones: dict[str, str]) -> None:
    outside, inside = _ingress("outside", f"www.{FOREIGN}"), _ingress("inside", f"inside.{DOMAIN}")
    cloud.apply(outside, inside)
    cloud.until(lambda: f"inside.{DOMAIN}" in _records(cloud, zones[DOMAIN]), seconds=_SECONDS, what="the name inside")
    assert _records(cloud, zones[FOREIGN]) == {}
    for found in (outside, inside):
        cloud.delete(found)


@pytest.mark.promise("pod-permissions")
def test_its_policy_allows_every_call_that_it_makes(cloud: CloudCluster, zones: dict[str, str]) -> None:
    assert _records(cloud, zones[FOREIGN]) == {}
    assert [call for call in cloud.denied() if NAME in str(call)] == []

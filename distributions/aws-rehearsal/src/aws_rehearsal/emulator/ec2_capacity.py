"""What an autoscaler of nodes asks EC2: types and where they are offered, prices, images, dry runs and fleets."""

import json
import re
import time
import uuid
from collections.abc import Callable, Iterable
from typing import Any

from ministack import app
from ministack.core import iam_actions, router
from ministack.core.responses import get_region
from ministack.services import ec2

from aws_rehearsal.emulator import parameters
from aws_rehearsal.emulator.instance_types import InstanceType, instance_type, known_types
from aws_rehearsal.emulator.patching import wrap

_PRICE_OF_SPOT = 0.3
"""Part of the price on demand."""
_IMAGE_DATE = "2026-01-01T00:00:00.000Z"
_METAL = InstanceType("rehearsal.metal", vcpus=128, memory_mib=524288)
"""The price list of AWS always has some, and Karpenter rejects one without."""

Answer = tuple[int, dict[str, str], bytes]
Handler = Callable[[dict[str, Any]], Any]


def install() -> None:
    """Answer what the emulator lacks, and correct what it answers otherwise than EC2."""
    actions = ec2._ACTION_MAP
    actions |= {
        "DescribeInstanceTypes": _instance_types,
        "DescribeInstanceTypeOfferings": _offerings,
        "DescribeSpotPriceHistory": _spot_prices,
        "DescribeImages": _images(actions["DescribeImages"]),
        "DescribeSecurityGroups": _security_groups(actions["DescribeSecurityGroups"]),
        "DescribeLaunchTemplates": _launch_templates(actions["DescribeLaunchTemplates"]),
        "CreateFleet": _fleet(actions["CreateFleet"]),
    }
    for action, handler in list(actions.items()):
        actions[action] = _with_dry_run(handler)
    wrap(ec2, "_launch_instances_internal", _in_its_zone)
    wrap(ec2, "_slot_from_lt_data", _with_groups)
    wrap(ec2, "_instance_xml", _with_lifecycle)
    wrap(ec2, "_fleet_instances_xml", lambda original: _fleet_instances)
    app.SERVICE_HANDLERS["pricing"] = _prices
    router.SERVICE_PATTERNS["pricing"] = {"target_prefixes": ["AWSPriceListService"]}
    iam_actions.SERVICE_TO_IAM_NAMESPACE["pricing"] = "pricing"


def _zones() -> list[str]:
    """The zones of the region in which there are subnets, or its first three."""
    region = get_region()
    used = {subnet["AvailabilityZone"] for subnet in ec2._subnets.values()}
    return sorted(zone for zone in used if zone.startswith(region)) or [f"{region}{letter}" for letter in "abc"]


def _wanted(parameters: dict[str, Any]) -> list[InstanceType]:
    names = ec2._parse_member_list(parameters, "InstanceType")
    names += ec2._parse_filters(parameters).get("instance-type", [])
    return [instance_type(name) for name in names] if names else list(known_types().values())


def _instance_types(parameters: dict[str, Any]) -> Any:
    wanted = ec2._parse_filters(parameters).get("processor-info.supported-architecture")
    types = [found for found in _wanted(parameters) if not wanted or found.architecture in wanted]
    items = "".join(map(_instance_type_xml, types))
    return ec2._xml(200, "DescribeInstanceTypesResponse", f"<instanceTypeSet>{items}</instanceTypeSet>")


def _instance_type_xml(found: InstanceType) -> str:
    return f"""<item>
        <instanceType>{found.name}</instanceType>
        <currentGeneration>true</currentGeneration>
        <supportedUsageClasses><item>on-demand</item><item>spot</item></supportedUsageClasses>
        <supportedRootDeviceTypes><item>ebs</item></supportedRootDeviceTypes>
        <supportedVirtualizationTypes><item>hvm</item></supportedVirtualizationTypes>
        <bareMetal>false</bareMetal>
        <hypervisor>nitro</hypervisor>
        <processorInfo>
            <supportedArchitectures><item>{found.architecture}</item></supportedArchitectures>
            <manufacturer>{"AWS" if found.architecture == "arm64" else "Intel"}</manufacturer>
            <sustainedClockSpeedInGhz>2.5</sustainedClockSpeedInGhz>
        </processorInfo>
        <vCpuInfo>
            <defaultVCpus>{found.vcpus}</defaultVCpus>
            <defaultCores>{max(1, found.vcpus // 2)}</defaultCores>
            <defaultThreadsPerCore>2</defaultThreadsPerCore>
        </vCpuInfo>
        <memoryInfo><sizeInMiB>{found.memory_mib}</sizeInMiB></memoryInfo>
        <instanceStorageSupported>false</instanceStorageSupported>
        <ebsInfo>
            <ebsOptimizedSupport>default</ebsOptimizedSupport>
            <encryptionSupport>supported</encryptionSupport>
            <nvmeSupport>required</nvmeSupport>
        </ebsInfo>
        <networkInfo>
            <networkPerformance>Up to 10 Gigabit</networkPerformance>
            <maximumNetworkInterfaces>{found.interfaces}</maximumNetworkInterfaces>
            <maximumNetworkCards>1</maximumNetworkCards>
            <defaultNetworkCardIndex>0</defaultNetworkCardIndex>
            <networkCards><item>
                <networkCardIndex>0</networkCardIndex>
                <maximumNetworkInterfaces>{found.interfaces}</maximumNetworkInterfaces>
            </item></networkCards>
            <ipv4AddressesPerInterface>{found.addresses_per_interface}</ipv4AddressesPerInterface>
            <ipv6Supported>true</ipv6Supported>
            <enaSupport>required</enaSupport>
            <efaSupported>false</efaSupported>
            <encryptionInTransitSupported>true</encryptionInTransitSupported>
        </networkInfo>
        {_accelerators_xml(found)}
        <placementGroupInfo><supportedStrategies><item>spread</item></supportedStrategies></placementGroupInfo>
        <burstablePerformanceSupported>{str(found.name.startswith("t")).lower()}</burstablePerformanceSupported>
        <dedicatedHostsSupported>true</dedicatedHostsSupported>
    </item>"""


def _accelerators_xml(found: InstanceType) -> str:
    maker, _, model = found.accelerator.partition("-")
    if maker == "nvidia":
        return (
            f"<gpuInfo><gpus><item><name>{model.upper()}</name><manufacturer>NVIDIA</manufacturer>"
            f"<count>{found.accelerators}</count><memoryInfo><sizeInMiB>24576</sizeInMiB></memoryInfo></item></gpus>"
            f"<totalGpuMemoryInMiB>{24576 * found.accelerators}</totalGpuMemoryInMiB></gpuInfo>"
        )
    if maker == "aws":
        return (
            f"<neuronInfo><neuronDevices><item><count>{found.accelerators}</count><name>{model.title()}</name>"
            "<coreInfo><count>2</count><version>2</version></coreInfo></item></neuronDevices></neuronInfo>"
        )
    return ""


def _offerings(parameters: dict[str, Any]) -> Any:
    by_zone = ec2._p(parameters, "LocationType") == "availability-zone"
    location_type, places = ("availability-zone", _zones()) if by_zone else ("region", [get_region()])
    items = "".join(
        f"<item><instanceType>{found.name}</instanceType><locationType>{location_type}</locationType>"
        f"<location>{place}</location></item>"
        for found in _wanted(parameters)
        for place in places
    )
    return ec2._xml(
        200, "DescribeInstanceTypeOfferingsResponse", f"<instanceTypeOfferingSet>{items}</instanceTypeOfferingSet>"
    )


def _spot_prices(parameters: dict[str, Any]) -> Any:
    now = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())
    items = "".join(
        f"<item><instanceType>{found.name}</instanceType><productDescription>Linux/UNIX</productDescription>"
        f"<spotPrice>{found.price * _PRICE_OF_SPOT:.6f}</spotPrice><timestamp>{now}</timestamp>"
        f"<availabilityZone>{zone}</availabilityZone></item>"
        for found in _wanted(parameters)
        for zone in _zones()
    )
    return ec2._xml(200, "DescribeSpotPriceHistoryResponse", f"<spotPriceHistorySet>{items}</spotPriceHistorySet>")


async def _prices(method: str, path: str, headers: Any, body: bytes, query: Any) -> Answer:
    """The price list, which answers every question about instances with all of them."""
    asked = json.loads(body or b"{}")
    filters = {one["Field"]: one["Value"] for one in asked.get("Filters", [])}
    metal = "bare metal" in filters.get("productFamily", "")
    listed: Iterable[InstanceType] = [_METAL] if metal else known_types().values()
    answer = {"FormatVersion": "aws_v1", "PriceList": [json.dumps(_product(found)) for found in listed]}
    return 200, {"Content-Type": "application/x-amz-json-1.1"}, json.dumps(answer).encode()


def _product(found: InstanceType) -> dict[str, Any]:
    price = {"priceDimensions": {"hour": {"unit": "Hrs", "pricePerUnit": {"USD": f"{found.price:.4f}"}}}}
    return {"product": {"attributes": {"instanceType": found.name}}, "terms": {"OnDemand": {"term": price}}}


def _images(original: Handler) -> Handler:
    """The images that public parameters name are there, too."""

    def describe(request: dict[str, Any]) -> Any:
        asked = ec2._parse_member_list(request, "ImageId") + ec2._parse_filters(request).get("image-id", [])
        public = {image: parameters.public_images[image] for image in asked if image in parameters.public_images}
        if not public:
            return original(request)
        items = "".join(_image_xml(image, name) for image, name in public.items())
        return ec2._xml(200, "DescribeImagesResponse", f"<imagesSet>{items}</imagesSet>")

    return describe


def _image_xml(image: str, parameter: str) -> str:
    architecture = "arm64" if "arm64" in parameter else "x86_64"
    name = re.sub(r"[^a-z0-9.]+", "-", parameter.removeprefix("/aws/service/"))
    return f"""<item>
        <imageId>{image}</imageId><imageState>available</imageState><imageOwnerId>602401143452</imageOwnerId>
        <imageOwnerAlias>amazon</imageOwnerAlias><isPublic>true</isPublic><architecture>{architecture}</architecture>
        <imageType>machine</imageType><name>{name}</name><creationDate>{_IMAGE_DATE}</creationDate>
        <rootDeviceType>ebs</rootDeviceType><rootDeviceName>/dev/xvda</rootDeviceName>
        <virtualizationType>hvm</virtualizationType><hypervisor>xen</hypervisor>
    </item>"""


def _security_groups(original: Handler) -> Handler:
    """A filter by id has an effect; unknown groups are not an error."""

    def describe(request: dict[str, Any]) -> Any:
        asked = ec2._parse_filters(request).get("group-id")
        if not asked:
            return original(request)
        there = [id for id in asked if id in ec2._security_groups]
        if not there:
            return ec2._xml(200, "DescribeSecurityGroupsResponse", "<securityGroupInfo/>")
        return original({**request, **{f"GroupId.{number}": [id] for number, id in enumerate(there, start=1)}})

    return describe


def _launch_templates(original: Handler) -> Handler:
    """A request for a template by an unknown name or id is an error."""

    def describe(request: dict[str, Any]) -> Any:
        there = {key: {found[key] for found in ec2._launch_templates.values()} for key in _TEMPLATE_ERRORS}
        for key, code in _TEMPLATE_ERRORS.items():
            for asked in ec2._parse_member_list(request, key):
                if asked not in there[key]:
                    return ec2._error(code, f"The specified launch template, {asked}, does not exist.", 400)
        return original(request)

    return describe


_TEMPLATE_ERRORS = {
    "LaunchTemplateName": "InvalidLaunchTemplateName.NotFoundException",
    "LaunchTemplateId": "InvalidLaunchTemplateId.NotFound",
}


def _with_dry_run(handler: Handler) -> Handler:
    """A dry run ends where the call would begin. Whether the caller may do it was decided before.

    https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_RunInstances.html
    """

    def handle(request: dict[str, Any]) -> Any:
        if str(ec2._p(request, "DryRun") or "").lower() == "true":
            return ec2._error("DryRunOperation", "Request would have succeeded, but DryRun flag is set.", 412)
        return handler(request)

    return handle


def _in_its_zone(original: Callable[..., list[dict[str, Any]]]) -> Callable[..., list[dict[str, Any]]]:
    """An instance is in the zone of its subnet, and has a name in the domain of its region."""

    def launch(*arguments: Any, **named: Any) -> list[dict[str, Any]]:
        launched = original(*arguments, **named)
        region = get_region()
        domain = "ec2.internal" if region == "us-east-1" else f"{region}.compute.internal"
        for found in launched:
            subnet = ec2._subnets.get(found["SubnetId"]) or {}
            zone = subnet.get("AvailabilityZone") or found["Placement"]["AvailabilityZone"]
            found["Placement"] = {**found["Placement"], "AvailabilityZone": zone}
            found["Architecture"] = instance_type(found["InstanceType"]).architecture
            found["PrivateDnsName"] = f"ip-{found['PrivateIpAddress'].replace('.', '-')}.{domain}"
        return launched

    return launch


def _fleet(original: Handler) -> Handler:
    """A fleet on spot capacity marks its instances."""

    def create(request: dict[str, Any]) -> Any:
        before = set(ec2._instances)
        answer = original(request)
        capacity = ec2._p(request, "TargetCapacitySpecification.DefaultTargetCapacityType")
        if capacity == "spot":
            for name in set(ec2._instances) - before:
                ec2._instances[name]["SpotInstanceRequestId"] = f"sir-{uuid.uuid4().hex[:8]}"
        return answer

    return create


def _with_groups(original: Callable[[Any, Any], dict[str, Any]]) -> Callable[[Any, Any], dict[str, Any]]:
    """Security groups are those of the launch template's first network interface, where it has any."""

    def slot(spec: Any, template: Any) -> dict[str, Any]:
        found = original(spec, template)
        interfaces: list[dict[str, Any]] = (template or {}).get("NetworkInterfaces") or [{}]
        return {**found, "sg_ids": found["sg_ids"] or interfaces[0].get("Groups")}

    return slot


def _with_lifecycle(original: Callable[[dict[str, Any]], str]) -> Callable[[dict[str, Any]], str]:
    def describe(found: dict[str, Any]) -> str:
        text = original(found)
        if request := found.get("SpotInstanceRequestId"):
            spot = (
                f"<instanceLifecycle>spot</instanceLifecycle><spotInstanceRequestId>{request}</spotInstanceRequestId>"
            )
            text = text.replace("<hypervisor>", f"{spot}<hypervisor>", 1)
        return text

    return describe


def _fleet_instances(items: list[dict[str, Any]]) -> str:
    """Each group of instances, with the overrides by which it was chosen."""
    return "".join(map(_fleet_item, items))


def _fleet_item(item: dict[str, Any]) -> str:
    template = item.get("LaunchTemplateSpec") or {}
    named = "".join(
        f"<{tag}>{ec2._esc(template[key])}</{tag}>"
        for key, tag in (("LaunchTemplateId", "launchTemplateId"), ("LaunchTemplateName", "launchTemplateName"))
        if template.get(key)
    )
    first = ec2._instances.get(item["InstanceIds"][0]) or {}
    zone = (first.get("Placement") or {}).get("AvailabilityZone", "")
    ids = "".join(f"<item>{ec2._esc(one)}</item>" for one in item["InstanceIds"])
    return f"""<item>
        <launchTemplateAndOverrides>
            <launchTemplateSpecification>
                {named}<version>{ec2._esc(template.get("Version") or "$Default")}</version>
            </launchTemplateSpecification>
            <overrides>
                <instanceType>{ec2._esc(item["InstanceType"])}</instanceType>
                <subnetId>{ec2._esc(first.get("SubnetId", ""))}</subnetId>
                <availabilityZone>{zone}</availabilityZone>
                <imageId>{ec2._esc(first.get("ImageId", ""))}</imageId>
            </overrides>
        </launchTemplateAndOverrides>
        <lifecycle>{ec2._esc(item["Lifecycle"])}</lifecycle>
        <instanceIds>{ids}</instanceIds>
        <instanceType>{ec2._esc(item["InstanceType"])}</instanceType>
    </item>"""

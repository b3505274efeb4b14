"""Judges the network traffic that security groups allow."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from delivery.gate.addresses import is_within, network
from delivery.gate.findings import Finding, Verdict, finding
from delivery.gate.templates import Resource, Side
from delivery.gate.values import Value, text_of

_RESOURCES = {"AWS::EC2::SecurityGroupIngress": "ingress", "AWS::EC2::SecurityGroupEgress": "egress"}
_INLINE = {"SecurityGroupIngress": "ingress", "SecurityGroupEgress": "egress"}
_PEERS = (
    "CidrIp",
    "CidrIpv6",
    "SourceSecurityGroupId",
    "DestinationSecurityGroupId",
    "SourcePrefixListId",
    "DestinationPrefixListId",
)
_ALL = "-1"
_ALL_PORTS = (0, 65535)
_BY_NUMBER = {"6": "tcp", "17": "udp", "1": "icmp"}


@dataclass(frozen=True)
class Rule:
    """Allowed traffic.

    :param peer: addresses, security group or prefix list on the other side.
    """

    way: str
    protocol: str
    ports: tuple[int, int] | str
    peer: str

    def covers(self, other: "Rule") -> bool:
        """Whether this one allows all traffic that ``other`` allows."""
        return (
            self.way == other.way
            and self.protocol in (_ALL, other.protocol)
            and (self.protocol == _ALL or _ports_cover(self.ports, other.ports))
            and is_within(other.peer, self.peer)
        )

    def is_public(self) -> bool:
        """Whether the other side includes public addresses."""
        found = network(self.peer)
        return bool(found and not found.is_private)

    def __str__(self) -> str:
        ports = self.ports if isinstance(self.ports, str) else "-".join(str(port) for port in dict.fromkeys(self.ports))
        what = "everything" if self.protocol == _ALL else f"{self.protocol} {ports}"
        return f"{what} {'from' if self.way == 'ingress' else 'to'} {self.peer}"


@dataclass
class _Group:
    own: Resource
    rules: list[Rule]


def judge(before: Side, after: Side) -> Iterator[Finding]:
    """A finding for each rule that allows traffic which no rule allowed before.

    The rules of a new group are judged only by whether they allow ingress from the internet. Egress to another group is
    judged by the ingress rules of that group.
    """
    old, new = _groups(before), _groups(after)
    for name, group in new.items():
        if group.own.stack not in before.templates:
            continue
        known = old.get(name)
        is_new = known is None and group.own.key not in before.by_key
        for rule in group.rules:
            if known and any(one.covers(rule) for one in known.rules):
                continue
            comes_in = rule.way == "ingress"
            if (comes_in or network(rule.peer)) and (not is_new or (comes_in and rule.is_public())):
                why = "it accepts more traffic" if comes_in else "it may send more traffic"
                yield finding(group.own, Verdict.WIDENING, f"allows {rule}", why, stops=True)


def _groups(side: Side) -> dict[str, _Group]:
    found: dict[str, _Group] = {}
    rules: list[tuple[str, Resource, str, Mapping[str, Value]]] = []
    for resource in side.resources():
        if resource.type == "AWS::EC2::SecurityGroup":
            name = f"«{resource.stack}/{resource.id}»"
            found[name] = _Group(resource, [])
            for key, way in _INLINE.items():
                inline = resource.properties.get(key, [])
                items = inline if isinstance(inline, list) else [inline]
                rules += [(name, resource, way, rule) for rule in items if isinstance(rule, dict)]
        elif way := _RESOURCES.get(resource.type, ""):
            group = side.resolved(resource.stack, text_of(resource.properties.get("GroupId", "")))
            rules.append((group.replace(".GroupId»", "»"), resource, way, resource.properties))
    for name, resource, way, properties in rules:
        found.setdefault(name, _Group(resource, [])).rules.append(_rule(side, resource, way, properties))
    return found


def _rule(side: Side, resource: Resource, way: str, properties: Mapping[str, Value]) -> Rule:
    peers = [side.resolved(resource.stack, text_of(properties[key])) for key in _PEERS if key in properties]
    protocol = text_of(properties.get("IpProtocol", _ALL)).lower()
    return Rule(
        way=way,
        protocol=_BY_NUMBER.get(protocol, protocol),
        ports=_ports(properties),
        peer=peers[0] if peers else "anywhere",
    )


def _ports(properties: Mapping[str, Value]) -> tuple[int, int] | str:
    first, last = text_of(properties.get("FromPort", "-1")), text_of(properties.get("ToPort", "-1"))
    try:
        whole = int(first), int(last)
    except ValueError:  # known only at deployment
        return f"{first}-{last}"
    return _ALL_PORTS if whole == (-1, -1) else whole


def _ports_cover(mine: tuple[int, int] | str, theirs: tuple[int, int] | str) -> bool:
    if isinstance(mine, str) or isinstance(theirs, str):
        return mine in (theirs, _ALL_PORTS)
    return mine[0] <= theirs[0] and theirs[1] <= mine[1]

"""Packs objects into as few requests as the limits of AWS allow, and always the same way."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from .objects import KubernetesObject, part
from .tokens import MAX_TOKEN_BYTES, tokens_in
from .waves import WAVE_ANNOTATION, Wave

REQUEST_BYTES = 262_144
"""Largest event of an asynchronous invocation that every region and partition takes; CloudFormation sends one.

https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
"""
ENVELOPE_BYTES = 8_192
"""Room for what CloudFormation adds to the event: a signed URL, ARNs, identifiers."""
PACK_BYTES = (REQUEST_BYTES - ENVELOPE_BYTES) // 2
"""Largest manifest, because the event of an update holds the new and the old one.

Half of what the annotation of ``kubectl apply`` may hold, so whatever fits here fits there too.
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/crpg-ref-requesttypes-update.html
"""
REPLY_BYTES = 1_700
"""Room for kubectl's line on each object in a response of 4,096 bytes, so that an error is not lost behind them.

The rest is for CloudFormation's identifiers, the stack trace of the CDK's provider framework, and one error.
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/crpg-ref-responses.html
"""
TEMPLATE_BYTES = 1_000_000
"""https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html"""
OTHER_TEMPLATE_BYTES = 100_000
"""Room for everything in a template that is no manifest."""

_LINE_EXTRA = len("./ configured") + len(r"\\n")  # the line break is escaped twice


@dataclass(eq=False)
class Parcel:
    """One object as it will travel.

    - ``text``: its JSON.
    - ``bytes``: of that, as template and request hold it.
    """

    object: KubernetesObject
    text: str

    @classmethod
    def of(cls, one: KubernetesObject) -> "Parcel":
        """An object without the annotation that is for us."""
        annotations = part(one.body, "metadata", "annotations")
        body = one.body
        if WAVE_ANNOTATION in annotations:
            kept = {name: text for name, text in annotations.items() if name != WAVE_ANNOTATION}
            body = {**body, "metadata": {**body["metadata"], "annotations": kept}}
        return cls(one, json.dumps(body, separators=(",", ":"), ensure_ascii=False, default=dict))

    @cached_property
    def bytes(self) -> int:
        return size(self.text)

    @cached_property
    def tokens(self) -> int:
        return tokens_in(self.text)

    @cached_property
    def place(self) -> str:
        return self.object.key.place()

    @property
    def reply_bytes(self) -> int:
        """What kubectl says when it has applied the object."""
        key = self.object.key
        return len(key.kind) + len(key.group) + len(key.name) + _LINE_EXTRA


def size(text: str) -> int:
    """Bytes of a text as template and request hold it, inside a JSON string, with room for what its tokens become."""
    return len(json.dumps(text)) + tokens_in(text) * MAX_TOKEN_BYTES


def stages(parcels: Sequence[Parcel], first: Wave, last: Wave) -> list[dict[str, Sequence[Parcel]]]:
    """Requests by name for the objects of some waves, one stage after the other; those of a stage may run together.

    What fits into one request goes into one: kubectl applies its objects in their order, which is that of their waves.
    Otherwise the waves are halved until what is left fits or is a single wave, whose objects are then halved by their
    place. One more object therefore changes the request that it comes into, or splits it, and no other.
    """
    if not parcels:
        return []
    if first == last:
        return [{first.title + bits: part for bits, part in _halved(parcels).items()}]
    if _fit(parcels):
        return [{f"{first.title}To{last.title}": sorted(parcels, key=lambda parcel: parcel.object.wave)}]
    middle = Wave((first + last) // 2)
    before = [parcel for parcel in parcels if parcel.object.wave <= middle]
    after = [parcel for parcel in parcels if parcel.object.wave > middle]
    return stages(before, first, middle) + stages(after, Wave(middle + 1), last)


def _halved(parcels: Sequence[Parcel], bits: str = "") -> dict[str, Sequence[Parcel]]:
    """Parts that fit, by the bits that the places of their objects begin with."""
    if len(parcels) <= 1 or _fit(parcels):
        return {bits: parcels} if parcels else {}
    zeros = [parcel for parcel in parcels if parcel.place[len(bits)] == "0"]
    ones = [parcel for parcel in parcels if parcel.place[len(bits)] == "1"]
    return _halved(zeros, bits + "0") | _halved(ones, bits + "1")


def too_large(parcels: Sequence[Parcel]) -> list[str]:
    """What is wrong with objects that no request can hold."""
    return [
        f"{parcel.object.key}: has {parcel.bytes:,} bytes and a request holds {PACK_BYTES:,}; "
        "leave out descriptions, split it, or deliver it by its Helm chart"
        for parcel in parcels
        if parcel.bytes > PACK_BYTES
    ]


def _fit(parcels: Sequence[Parcel]) -> bool:
    whole, reply = sum(parcel.bytes for parcel in parcels), sum(parcel.reply_bytes for parcel in parcels)
    return whole <= PACK_BYTES and reply <= REPLY_BYTES

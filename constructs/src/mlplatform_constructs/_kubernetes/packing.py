"""Packs objects into as few requests as the limits of AWS allow. The result is deterministic."""

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
"""Bytes reserved for what CloudFormation adds to the event: a signed URL, ARNs, identifiers."""
PACK_BYTES = (REQUEST_BYTES - ENVELOPE_BYTES) // 2
"""Largest manifest, because the event of an update holds both the new and the old one.

That is half the limit of the annotation of ``kubectl apply``, so anything that fits here fits there too.
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/crpg-ref-requesttypes-update.html
"""
OBJECT_BYTES = 1_500_000
"""Largest object that the API server stores. https://etcd.io/docs/v3.5/dev-guide/limit/"""
REPLY_BYTES = 1_700
"""Bytes for kubectl's line on each object in a response of 4,096 bytes, so that an error message is not cut off.

The rest is for CloudFormation's identifiers, the stack trace of the CDK's provider framework, and one error.
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/crpg-ref-responses.html
"""
TEMPLATE_BYTES = 1_000_000
"""https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html"""
OTHER_TEMPLATE_BYTES = 100_000
"""Bytes reserved in a template for everything but manifests."""

_LINE_EXTRA = len("./ configured") + len(r"\\n")  # the line break is escaped twice


@dataclass(eq=False)
class Parcel:
    """One object in serialized form.

    - ``text``: its JSON.
    - ``bytes``: the size of that JSON in the template and in the request.
    """

    object: KubernetesObject
    text: str

    @classmethod
    def of(cls, one: KubernetesObject) -> "Parcel":
        """An object without the wave annotation."""
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

    @property
    def is_file(self) -> bool:
        """Whether it is sent as a file: it exceeds a request, and contains no token for CloudFormation to resolve."""
        return self.bytes > PACK_BYTES and not self.tokens

    @cached_property
    def place(self) -> str:
        return self.object.key.place()

    @property
    def reply_bytes(self) -> int:
        """Size of kubectl's line of output about the applied object."""
        key = self.object.key
        return len(key.kind) + len(key.group) + len(key.name) + _LINE_EXTRA


def size(text: str) -> int:
    """Size of a text within a JSON string of the template and the request, with room for the values of its tokens."""
    return len(json.dumps(text)) + tokens_in(text) * MAX_TOKEN_BYTES


def stages(parcels: Sequence[Parcel], first: Wave, last: Wave) -> list[dict[str, Sequence[Parcel]]]:
    """Requests by name for the objects of some waves, in stages. The requests of one stage may run concurrently.

    If everything fits into one request, there is one request, because kubectl applies its objects in wave order.
    Otherwise the waves are halved until each part fits or is a single wave. The objects of a single wave are halved by
    the bits of their hash. An additional object therefore changes or splits only the request that contains it.
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
    """Parts that fit into a request, by the leading bits of the hashes of their objects."""
    if len(parcels) <= 1 or _fit(parcels):
        return {bits: parcels} if parcels else {}
    zeros = [parcel for parcel in parcels if parcel.place[len(bits)] == "0"]
    ones = [parcel for parcel in parcels if parcel.place[len(bits)] == "1"]
    return _halved(zeros, bits + "0") | _halved(ones, bits + "1")


def too_large(parcels: Sequence[Parcel]) -> list[str]:
    """Mistakes for objects that are too large for a request or for Kubernetes."""
    found = []
    for parcel in parcels:
        if parcel.is_file and len(parcel.text.encode()) > OBJECT_BYTES:
            found.append(
                f"{parcel.object.key}: has {len(parcel.text.encode()):,} bytes; Kubernetes stores {OBJECT_BYTES:,}"
                "; remove descriptions or split it"
            )
        elif parcel.bytes > PACK_BYTES and not parcel.is_file:
            found.append(
                f"{parcel.object.key}: has {parcel.bytes:,} bytes; an object with tokens may have {PACK_BYTES:,}; "
                "move the values with tokens to a separate object, or split it"
            )
    return found


def _fit(parcels: Sequence[Parcel]) -> bool:
    whole, reply = sum(parcel.bytes for parcel in parcels), sum(parcel.reply_bytes for parcel in parcels)
    return whole <= PACK_BYTES and reply <= REPLY_BYTES

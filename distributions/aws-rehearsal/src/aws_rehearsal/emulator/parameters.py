"""The public parameters of Systems Manager that name machine images."""

import hashlib
import re
from typing import Any

from ministack.services import ssm

_IMAGES = re.compile(
    r"/aws/service/(ami-amazon-linux-latest|bottlerocket|canonical|ecs/optimized-ami|eks/optimized-ami)/"
)


public_images: dict[str, str] = {}
"""Id of an image to the parameter that named it."""


class _PublicImages(dict[str, str]):
    """Returns a unique, deterministic id for every public image parameter."""

    def get(self, name: str, default: Any = None) -> Any:
        known = super().get(name)
        if known is None and _IMAGES.match(str(name)):
            image = f"ami-{hashlib.sha256(name.encode()).hexdigest()[:17]}"
            public_images[image] = name
            return image
        return default if known is None else known


def install() -> None:
    """The emulator lists two of some thousands."""
    ssm._PUBLIC_AMI_PARAMETERS = _PublicImages(ssm._PUBLIC_AMI_PARAMETERS)

"""The public parameters of Systems Manager that name machine images."""

import hashlib
import re
from typing import Any

from ministack.services import ssm

_IMAGES = re.compile(
    r"/aws/service/(ami-amazon-linux-latest|bottlerocket|canonical|ecs/optimized-ami|eks/optimized-ami)/"
)


class _PublicImages(dict[str, str]):
    """Answers every public image parameter with an id of its own, the same each time."""

    def get(self, name: str, default: Any = None) -> Any:
        known = super().get(name)
        if known is None and _IMAGES.match(str(name)):
            return f"ami-{hashlib.sha256(name.encode()).hexdigest()[:17]}"
        return default if known is None else known


def install() -> None:
    """The emulator lists two of some thousands."""
    ssm._PUBLIC_AMI_PARAMETERS = _PublicImages(ssm._PUBLIC_AMI_PARAMETERS)

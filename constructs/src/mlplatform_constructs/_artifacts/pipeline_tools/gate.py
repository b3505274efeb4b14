"""What a release may not hold."""

from __future__ import annotations

import json
from collections.abc import Mapping

from .commands import Stop, setting

SEVERITIES = ("CRITICAL", "HIGH", "MEDIUM", "LOW", "INFORMATIONAL")


def refuse(found: Mapping[str, str], what: str) -> None:
    """Print the findings, and stop at those above the threshold that are not accepted.

    :param found: severities by the name of the vulnerability.
    """
    accepted = json.loads(setting("ACCEPTED_FINDINGS"))
    threshold = setting("FAIL_ON")
    bad = SEVERITIES[: SEVERITIES.index(threshold) + 1]
    refused = {name: severity for name, severity in found.items() if severity in bad and name not in accepted}
    for name, severity in sorted(refused.items(), key=lambda each: (bad.index(each[1]), each[0])):
        print(f"{severity}: {name}")
    for name in sorted(set(accepted) & set(found)):
        print(f"accepted: {name}: {accepted[name]}")
    if refused:
        raise Stop(
            f"{what}: {len(refused)} findings of severity {threshold} or worse; "
            "update what they are in, or accept one by name with the reason"
        )

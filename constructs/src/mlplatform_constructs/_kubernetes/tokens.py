"""CDK tokens inside plain values: CloudFormation replaces them at deployment, so nothing can check them before."""

import re
from typing import Any

MAX_TOKEN_BYTES = 2_048
"""Room kept for what a token becomes: the longest ARN.

https://docs.aws.amazon.com/IAM/latest/APIReference/API_Policy.html
"""

_IN_TEXT = re.compile(r"[$#]\{Token\[[^\]]*\]\}|-1\.888\d*e\+289")
_NUMBERED = re.compile(r"([$#]\{Token\[[^\]]*?)\.?\d+\]\}|-1\.888\d*e\+289")
_NUMBERS_BELOW = -1e288  # how CDK writes a number that it does not know yet


def is_token(value: Any) -> bool:
    """Whether a value, or a part of its text, will be known at deployment only."""
    if isinstance(value, str):
        return "${Token[" in value
    if isinstance(value, float):
        return value < _NUMBERS_BELOW
    return isinstance(value, list) and len(value) == 1 and isinstance(value[0], str) and value[0].startswith("#{Token[")


def tokens_in(text: str) -> int:
    """How many tokens a JSON text holds."""
    return len(_IN_TEXT.findall(text)) if "Token[" in text or "e+289" in text else 0


def without_numbers(text: str) -> str:
    """The text with tokens unnumbered: CDK numbers them in order of use, so that one more renumbers the rest."""
    return _NUMBERED.sub(r"\1]}", text) if "Token[" in text or "e+289" in text else text

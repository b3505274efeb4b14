"""CDK tokens inside plain values. CloudFormation resolves them at deployment, so they cannot be validated earlier."""

import re
from typing import Any

from aws_cdk import Fn, Token, Tokenization

MAX_TOKEN_BYTES = 2_048
"""Bytes reserved for the value of a token: the longest ARN.

https://docs.aws.amazon.com/IAM/latest/APIReference/API_Policy.html
"""

_IN_TEXT = re.compile(r"[$#]\{Token\[[^\]]*\]\}|-1\.888\d*e\+289")
_LIST = re.compile(r'\["(#\{Token\[[^\]]*\]\})"\]')
_NUMBER = re.compile(r"-1\.888\d*e\+289")
_NUMBERED = re.compile(r"([$#]\{Token\[[^\]]*?)\.?\d+\]\}|-1\.888\d*e\+289")
_NUMBERS_BELOW = -1e288  # the CDK's encoding of a number that is a token


def is_token(value: Any) -> bool:
    """Whether a value, or a part of its text, is known only at deployment."""
    if isinstance(value, str):
        return "${Token[" in value
    if isinstance(value, float):
        return value < _NUMBERS_BELOW
    return isinstance(value, list) and len(value) == 1 and isinstance(value[0], str) and value[0].startswith("#{Token[")


def tokens_in(text: str) -> int:
    """The number of tokens in a JSON text."""
    return len(_IN_TEXT.findall(text)) if "Token[" in text or "e+289" in text else 0


def without_numbers(text: str) -> str:
    """The text without the numbers of its tokens: the CDK numbers them in order of use, so one more shifts the rest."""
    return _NUMBERED.sub(r"\1]}", text) if "Token[" in text or "e+289" in text else text


def with_references(text: str) -> str:
    """A JSON text in which CloudFormation resolves the tokens and changes nothing else.

    If the objects were passed to the CDK as mappings, it would round numbers, drop nulls, and treat mappings such
    as ``{"Ref": "x"}`` as intrinsic functions. Here a token within text is replaced by its value, a number by its
    digits, and a list by its items.
    """
    if not tokens_in(text):
        return text
    text = _LIST.sub(lambda found: f'["{Fn.join(_BETWEEN_ITEMS, [found[1]])}"]', text)
    return _NUMBER.sub(lambda found: Token.as_string(Tokenization.reverse_number(float(found[0]))), text)


_BETWEEN_ITEMS = '","'

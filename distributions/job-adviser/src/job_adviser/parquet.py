"""Writes small Parquet files without any library: one row group, plain encoding, gzip, optional columns.

A function of the preparation job has no room for one of the usual libraries, which are larger than what Lambda unpacks.
https://parquet.apache.org/docs/file-format/
"""

import gzip
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Type = Literal["int64", "double", "string"]
Value = int | float | str | None
_MAGIC = b"PAR1"
_TYPES = {"int64": 2, "double": 5, "string": 6}
_PLAIN, _RLE, _GZIP, _UTF8, _OPTIONAL = 0, 3, 2, 0, 1
_I32, _I64, _BINARY, _LIST, _STRUCT = 5, 6, 8, 9, 12
_MOST_INT = 2**63


@dataclass(frozen=True)
class Column:
    """A column with its values; None is a missing one."""

    name: str
    type: Type
    values: Sequence[Value]


def write(columns: Sequence[Column]) -> bytes:
    """A Parquet file.

    :raises ValueError: for columns of different lengths, or none.
    """
    rows = {len(column.values) for column in columns}
    if len(rows) != 1:
        raise ValueError(f"all columns must have the same number of values, got {sorted(rows)}")
    (count,) = rows
    body, chunks = bytearray(_MAGIC), []
    for column in columns:
        levels = [value is not None for value in column.values]
        content = _levels(levels) + _plain(column)
        packed = gzip.compress(content, 6, mtime=0)
        header = _page_header(count, len(content), len(packed))
        offset = len(body)
        body += header + packed
        chunks.append((column, offset, len(header) + len(content), len(header) + len(packed)))
    footer = _footer(chunks, count)
    return bytes(body) + footer + struct.pack("<I", len(footer)) + _MAGIC


def typed(texts: Sequence[str]) -> tuple[Type, list[Value]]:
    """The narrowest type of a column of texts; an empty text is a missing value.

    Numbers with a leading zero or plus sign are identifiers, and stay texts.
    """
    for type, parse in (("int64", _int), ("double", _double)):
        try:
            return type, [parse(text) if text else None for text in texts]  # type: ignore[return-value]
        except ValueError:
            continue
    return "string", [text or None for text in texts]


def _int(text: str) -> int:
    if not text.lstrip("-").isascii() or not text.lstrip("-").isdigit() or str(int(text)) != text:
        raise ValueError(text)
    value = int(text)
    if not -_MOST_INT <= value < _MOST_INT:
        raise ValueError(text)
    return value


def _double(text: str) -> float:
    digits = text.lstrip("-")
    is_identifier = len(digits) > 1 and digits[0] == "0" and digits[1].isdigit()
    if is_identifier or text[0] == "+" or "_" in text or not text.isascii() or text != text.strip():
        raise ValueError(text)
    return float(text)


def _levels(present: Sequence[bool]) -> bytes:
    """Definition levels of one bit, run-length encoded, with their length in front."""
    runs = bytearray()
    start = 0
    while start < len(present):
        end = start
        while end < len(present) and present[end] == present[start]:
            end += 1
        runs += _varint((end - start) << 1) + bytes([present[start]])
        start = end
    return struct.pack("<I", len(runs)) + bytes(runs)


def _plain(column: Column) -> bytes:
    values = [value for value in column.values if value is not None]
    if column.type == "int64":
        return struct.pack(f"<{len(values)}q", *values)
    if column.type == "double":
        return struct.pack(f"<{len(values)}d", *values)
    encoded = (str(value).encode() for value in values)
    return b"".join(struct.pack("<I", len(each)) + each for each in encoded)


def _page_header(count: int, plain: int, packed: int) -> bytes:
    data = _fields((1, _I32, count), (2, _I32, _PLAIN), (3, _I32, _RLE), (4, _I32, _RLE))
    return _fields((1, _I32, 0), (2, _I32, plain), (3, _I32, packed), (5, _STRUCT, data))


def _footer(chunks: Sequence[tuple[Column, int, int, int]], count: int) -> bytes:
    schema = [_fields((4, _BINARY, "schema"), (5, _I32, len(chunks)))]
    groups = []
    for column, offset, plain, packed in chunks:
        text = [(6, _I32, _UTF8)] if column.type == "string" else []
        schema.append(_fields((1, _I32, _TYPES[column.type]), (3, _I32, _OPTIONAL), (4, _BINARY, column.name), *text))
        meta = _fields(
            (1, _I32, _TYPES[column.type]),
            (2, _LIST, (_I32, [_zigzag(_PLAIN), _zigzag(_RLE)])),
            (3, _LIST, (_BINARY, [_binary(column.name)])),
            (4, _I32, _GZIP),
            (5, _I64, count),
            (6, _I64, plain),
            (7, _I64, packed),
            (9, _I64, offset),
        )
        groups.append(_fields((2, _I64, offset), (3, _STRUCT, meta)))
    total = sum(plain for _, _, plain, _ in chunks)
    group = _fields((1, _LIST, (_STRUCT, groups)), (2, _I64, total), (3, _I64, count))
    return _fields(
        (1, _I32, 1),
        (2, _LIST, (_STRUCT, schema)),
        (3, _I64, count),
        (4, _LIST, (_STRUCT, [group])),
        (6, _BINARY, "mlplatform job adviser"),
    )


Field = tuple[int, int, object]
"""Number, type and value of a field of Thrift's compact protocol.
https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md"""


def _fields(*fields: Field) -> bytes:
    encoded, before = bytearray(), 0
    for number, type, value in fields:
        encoded.append((number - before) << 4 | type)
        before = number
        encoded += _value(type, value)
    return bytes(encoded) + b"\x00"


def _value(type: int, value: object) -> bytes:
    match type, value:
        case (5 | 6, int(number)):
            return _zigzag(number)
        case (8, str(text)):
            return _binary(text)
        case (9, (int(inner), list(items))):
            size = bytes([len(items) << 4 | inner]) if len(items) < 15 else bytes([0xF0 | inner]) + _varint(len(items))
            return size + b"".join(items)
        case (12, bytes(fields)):
            return fields
    raise TypeError(f"no value of Thrift's type {type}: {value!r}")


def _binary(text: str) -> bytes:
    encoded = text.encode()
    return _varint(len(encoded)) + encoded


def _zigzag(number: int) -> bytes:
    return _varint(number << 1 if number >= 0 else (-number << 1) - 1)


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)

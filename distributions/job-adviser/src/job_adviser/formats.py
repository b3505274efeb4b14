"""Formats and compressions of files, by name and by their first bytes."""

import re
from dataclasses import dataclass
from urllib.parse import unquote

_FORMATS = {
    "csv": "csv",
    "tsv": "tsv",
    "txt": "text",
    "log": "text",
    "json": "json",
    "jsonl": "jsonl",
    "ndjson": "jsonl",
    "parquet": "parquet",
    "orc": "orc",
    "avro": "avro",
    "vcf": "vcf",
    "fasta": "fasta",
    "fa": "fasta",
    "fastq": "fastq",
    "fq": "fastq",
    "jpg": "image",
    "jpeg": "image",
    "png": "image",
    "tif": "image",
    "tiff": "image",
}
_COMPRESSIONS = {
    "gz": "gzip",
    "gzip": "gzip",
    "bgz": "bgzip",
    "bz2": "bzip2",
    "zst": "zstd",
    "xz": "xz",
    "snappy": "snappy",
    "lz4": "lz4",
    "zip": "zip",
}
_MAGIC = (
    (b"PAR1", "parquet", ""),
    (b"ORC", "orc", ""),
    (b"Obj\x01", "avro", ""),
    (b"\x89PNG", "image", ""),
    (b"\xff\xd8\xff", "image", ""),
    (b"BZh", "", "bzip2"),
    (b"\x28\xb5\x2f\xfd", "", "zstd"),
    (b"\xfd7zXZ\x00", "", "xz"),
    (b"PK\x03\x04", "", "zip"),
)
COLUMNAR = frozenset({"parquet", "orc"})
LINES = frozenset({"csv", "tsv", "text", "jsonl", "vcf", "fasta", "fastq"})
"""Formats whose files can be cut at ends of lines."""
TABULAR = frozenset({"csv", "tsv", "jsonl"})
"""Formats that the preparation job can convert and partition."""
_SPLITTABLE = frozenset({"", "bgzip", "bzip2", "snappy", "zstd"})
_RATIOS = {
    "": 1.0,
    "gzip": 4.0,
    "bgzip": 4.0,
    "bzip2": 5.0,
    "zstd": 4.0,
    "xz": 6.0,
    "snappy": 2.0,
    "lz4": 2.0,
    "zip": 4.0,
}
_COLUMNAR_RATIO = 4.0
_PARTITION = re.compile(r"([A-Za-z_][A-Za-z0-9_.-]{0,63})=([^=]*)")


@dataclass(frozen=True, order=True)
class Kind:
    """What a file is.

    :param format: such as ``csv`` or ``parquet``; ``unknown`` where neither its name nor its content shows it.
    :param compression: such as ``gzip``; empty for none. Columnar formats compress inside of the file.
    """

    format: str
    compression: str = ""

    @property
    def splittable(self) -> bool:
        """Whether several readers can share one file."""
        if self.format in COLUMNAR or self.format == "avro":
            return not self.compression
        return self.format in LINES and self.compression in _SPLITTABLE - {"snappy", "zstd"}

    @property
    def expansion(self) -> float:
        """Typical ratio of its content to its stored size."""
        inner = _COLUMNAR_RATIO if self.format in COLUMNAR else 1.0
        return inner * _RATIOS[self.compression]

    def __str__(self) -> str:
        return f"{self.format}.{self.compression}" if self.compression else self.format


def kind_of_name(key: str) -> Kind:
    """The kind by the ending of a key. Spark's ``part-0.snappy.parquet`` is Parquet: it compresses inside."""
    endings = [part.lower() for part in key.rpartition("/")[2].split(".")[1:]][-2:]
    compression = _COMPRESSIONS.get(endings[-1], "") if endings else ""
    if compression:
        endings.pop()
    return Kind(_FORMATS.get(endings[-1], "unknown") if endings else "unknown", compression)


def kind_of_content(head: bytes, named: Kind) -> Kind:
    """The kind by the first bytes of a file, which count for more than its name."""
    if head[:2] == b"\x1f\x8b":
        is_blocked = len(head) > 13 and bool(head[3] & 4) and head[12:14] == b"BC"
        return Kind(named.format if named.format not in COLUMNAR else "unknown", "bgzip" if is_blocked else "gzip")
    for magic, format, compression in _MAGIC:
        if head.startswith(magic):
            return Kind(format or named.format, compression)
    if named.compression or named.format in COLUMNAR or named.format in ("avro", "image"):
        return Kind("unknown")  # the name promises a beginning that the content lacks
    if named.format == "unknown" and head and _is_text(head):
        return Kind("text")
    return named


def _is_text(head: bytes) -> bool:
    if b"\x00" in head:
        return False
    try:
        head[:-4].decode() if len(head) > 4 else head.decode()
    except UnicodeDecodeError as error:
        return error.start >= len(head) - 8  # a character that the end of the sample cuts
    return True


def partitions_of(key: str) -> tuple[tuple[str, str], ...]:
    """Columns and values of a path in Hive's layout, such as ``year=2026/month=07/part-0.parquet``."""
    found = (_PARTITION.fullmatch(unquote(part)) for part in key.split("/")[:-1])
    return tuple((match[1], match[2]) for match in found if match)

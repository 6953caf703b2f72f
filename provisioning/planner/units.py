"""The units that the planner counts in, and the one way to show a size."""

from collections.abc import Mapping
from types import MappingProxyType

GIB_BYTES = 1 << 30
GB_BYTES = 10**9
HOURS_PER_YEAR = 8760
SECONDS_PER_YEAR = HOURS_PER_YEAR * 3600

# Bits of one weight or one cached value. Quantized formats also keep scales, about 1 % of the weights for groups of
# 128; the usable fraction is meant to hold such things.
DTYPE_BITS: Mapping[str, int] = MappingProxyType({"fp32": 32, "fp16": 16, "bf16": 16, "fp8": 8, "int8": 8, "int4": 4})


def bytes_of(values: int, dtype: str) -> int:
    """Bytes of so many values of a dtype, rounded up to a whole byte. Raises KeyError for an unknown dtype."""
    return -(-values * DTYPE_BITS[dtype] // 8)


def in_gib(size_bytes: int) -> float:
    """Bytes as GiB; exact for every size below 2**53 bytes."""
    return size_bytes / GIB_BYTES


def in_gb(size_bytes: int) -> float:
    """Bytes as decimal gigabytes, the unit that price lists and slides use."""
    return size_bytes / GB_BYTES


def said(size_bytes: int) -> str:
    """A size in both units, such as `65.71 GiB (70.55 GB)`."""
    return f"{in_gib(size_bytes):,.2f} GiB ({in_gb(size_bytes):,.2f} GB)"

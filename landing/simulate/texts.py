"""Numbers to text, a column at a time: times, money, ids. Null wherever there is nothing to say."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from landing.simulate.parameters import UTC_OFFSET_SECONDS, Integers, Parameters


def pick(values: pa.Array, position: npt.ArrayLike) -> pa.Array:
    """Look texts up by position; a negative position gives null."""
    index = np.asarray(position, dtype=np.int64)
    return values.take(pa.array(np.maximum(index, 0), mask=index < 0))


def only_where(values: pa.Array, condition: npt.ArrayLike) -> pa.Array:
    """Blank out the rows where the condition fails."""
    return pc.if_else(pa.array(np.asarray(condition, dtype=bool)), values, pa.scalar(None, values.type))


def numbers(values: npt.ArrayLike, blank_below: int | None = None) -> pa.Array:
    """Write whole numbers; those below ``blank_below`` become null."""
    array = np.asarray(values, dtype=np.int64)
    mask = None if blank_below is None else array < blank_below
    return pa.array(array, mask=mask).cast(pa.string())


def money(cents: npt.ArrayLike) -> pa.Array:
    """Write cents as an amount with two decimals; negative cents mean no amount."""
    array = np.asarray(cents).astype(np.int32)  # 64 bits would ask for 19 digits
    amounts = pa.array(array, mask=array < 0).cast(pa.decimal128(10, 0))
    return pc.multiply(amounts, pa.scalar(Decimal("0.01"))).cast(pa.string())


def random_ids(prefix: str, count: int, ids: np.random.Generator) -> pa.Array:
    """Return different ids in no order: nothing but the row itself says where it belongs."""
    first = 10 ** len(str(max(count, 100_000)))  # all ids are equally long
    return pc.binary_join_element_wise(prefix, numbers(ids.permutation(count) + first), "")


def local_times(seconds: npt.ArrayLike, parameters: Parameters) -> pa.Array:
    """Write the shop's wall clock, without a zone: ``2025-01-31 23:59:59``."""
    return _timestamps(seconds, parameters).cast(pa.string())


def offset_times(seconds: npt.ArrayLike, parameters: Parameters) -> pa.Array:
    """Write the shop's wall clock with its offset: ``2025-01-31T23:59:59+08:00``."""
    return pc.binary_join_element_wise(_iso(_timestamps(seconds, parameters)), "+08:00", "")


def utc_times(seconds: npt.ArrayLike, parameters: Parameters) -> pa.Array:
    """Write UTC: ``2025-01-31T15:59:59Z``."""
    shifted = np.asarray(seconds, dtype=np.int64) - UTC_OFFSET_SECONDS
    return pc.binary_join_element_wise(_iso(_timestamps(shifted, parameters)), "Z", "")


def _timestamps(seconds: npt.ArrayLike, parameters: Parameters) -> pa.Array:
    first = datetime(parameters.start.year, parameters.start.month, parameters.start.day, tzinfo=UTC)
    epoch: Integers = np.asarray(seconds).astype(np.int64) + int(first.timestamp())
    return pa.array(epoch).cast(pa.timestamp("s"))


def _iso(times: pa.Array) -> pa.Array:
    return pc.replace_substring(times.cast(pa.string()), " ", "T")

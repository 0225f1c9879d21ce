"""The dirt that real deliveries carry, every kind counted.

A dirty row is a damaged *copy* of a good row, so the good rows stay exactly what
happened, and a file's rows are good + quarantined + duplicates by construction.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from landing.simulate.deliver import DELIVERIES
from landing.simulate.parameters import Flags, Integers, Parameters

QUARANTINED, DUPLICATE, REPEATED = "quarantined", "duplicate", "repeated"
"""What landing should do: refuse the row, count it as an exact duplicate of its file, or take
it as good and leave it to staging to see the same key from an earlier file."""


@dataclass(frozen=True)
class Dirt:
    """One kind of damage to one table."""

    table: str
    kind: str
    sets: dict[str, str | None] = field(default_factory=dict)
    outcome: str = QUARANTINED


DIRT = (
    Dirt("events", "missing_time", {"occurred_at": None}),
    Dirt("events", "unreadable_time", {"occurred_at": "yesterday afternoon"}),
    Dirt("events", "future_time", {"occurred_at": "2045-01-01 12:00:00"}),
    Dirt("events", "unknown_event_type", {"event_type": "hover"}),
    Dirt("events", "negative_price", {"price_amount": "-9.90"}),
    Dirt("events", "nobody", {"customer_id": None, "device_id": None}),
    Dirt("events", "broken_line"),
    Dirt("events", "exact_duplicate", outcome=DUPLICATE),
    Dirt("events", "repeated_delivery", outcome=REPEATED),
    Dirt("orders", "missing_id", {"order_id": None}),
    Dirt("orders", "unreadable_time", {"ordered_at": "31/02/2025"}),
    Dirt("orders", "unknown_status", {"order_status": "teleported"}),
    Dirt("orders", "negative_amount", {"shipping_amount": "-4.90"}),
    Dirt("orders", "broken_line"),
    Dirt("orders", "exact_duplicate", outcome=DUPLICATE),
    Dirt("order_lines", "missing_product", {"product_id": None}),
    Dirt("order_lines", "unreadable_quantity", {"quantity": "two"}),
    Dirt("order_lines", "negative_price", {"unit_price_amount": "-1.00"}),
    Dirt("order_lines", "broken_line"),
    Dirt("order_lines", "exact_duplicate", outcome=DUPLICATE),
    Dirt("payments", "missing_time", {"paid_at": None}),
    Dirt("payments", "unknown_status", {"payment_status": "maybe"}),
    Dirt("payments", "negative_amount", {"paid_amount": "-12.50"}),
    Dirt("payments", "broken_line"),
    Dirt("payments", "exact_duplicate", outcome=DUPLICATE),
    Dirt("payments", "repeated_delivery", outcome=REPEATED),
    Dirt("refunds", "missing_amount", {"refund_amount": None}),
    Dirt("refunds", "unreadable_time", {"refunded_at": "soon"}),
    Dirt("refunds", "exact_duplicate", outcome=DUPLICATE),
    Dirt("reviews", "impossible_score", {"score": "11"}),
    Dirt("reviews", "missing_time", {"reviewed_at": None}),
    Dirt("reviews", "broken_line"),
    Dirt("reviews", "exact_duplicate", outcome=DUPLICATE),
    Dirt("products", "negative_price", {"price_amount": "-5.00"}),
    Dirt("products", "missing_id", {"product_id": None}),
    Dirt("customers", "missing_id", {"customer_id": None}),
    Dirt("customers", "exact_duplicate", outcome=DUPLICATE),
    Dirt("device_links", "missing_device", {"device_id": None}),
    Dirt("device_links", "unreadable_time", {"linked_at": "n/a"}),
    Dirt("device_links", "exact_duplicate", outcome=DUPLICATE),
    Dirt("campaign_contacts", "missing_customer", {"customer_id": None}),
    Dirt("campaign_contacts", "exact_duplicate", outcome=DUPLICATE),
    Dirt("exposures", "impossible_propensity", {"propensity": "1.7"}),
    Dirt("exposures", "nobody", {"customer_id": None, "device_id": None}),
    Dirt("exposures", "broken_line"),
    Dirt("exposures", "exact_duplicate", outcome=DUPLICATE),
    Dirt("support_tickets", "unreadable_time", {"opened_at": "last week"}),
    Dirt("support_tickets", "exact_duplicate", outcome=DUPLICATE),
)

OUTCOMES = {(each.table, each.kind): each.outcome for each in DIRT}


def add_dirt(name: str, table: pa.Table, parameters: Parameters, random: np.random.Generator) -> pa.Table:
    """Append damaged copies; column ``_kind`` names the damage, empty for good rows.

    ``table`` has ``_file``, the number of the day whose file carries the row. No file gets
    more than ``dirty_rows_per_file`` of its rows, so small files stay clean.
    """
    kinds = [each for each in DIRT if each.table == name]
    chosen = random.random((len(kinds), table.num_rows)) < parameters.dirt
    allowed = _within_quota(chosen, table["_file"].to_numpy(), parameters)
    copies = [_damage(table, rows, kind, parameters) for kind, rows in zip(kinds, allowed, strict=True)]
    clean = table.append_column("_kind", pa.array([""] * table.num_rows, pa.string()))
    return pa.concat_tables([clean, *copies])


def _within_quota(chosen: npt.NDArray[np.bool_], file: Integers, parameters: Parameters) -> list[Integers]:
    """Return each kind's rows, without those that would be too many for their file."""
    quota = np.floor(np.bincount(file) * parameters.dirty_rows_per_file)
    kind, row = np.nonzero(chosen)
    order = np.argsort(file[row], kind="stable")
    kind, row = kind[order], row[order]
    files = file[row]
    number = np.arange(len(row)) - np.searchsorted(files, files)  # the how-manieth of its file
    fits: Flags = number < quota[files]
    return [row[fits & (kind == each)] for each in range(len(chosen))]


def _damage(table: pa.Table, rows: Integers, dirt: Dirt, parameters: Parameters) -> pa.Table:
    copies = table.take(pa.array(rows))
    for column, value in dirt.sets.items():
        position = copies.column_names.index(column)
        copies = copies.set_column(position, column, pa.array([value] * len(rows), pa.string()))
    if dirt.outcome == REPEATED:
        later = copies["_file"].to_numpy() + DELIVERIES[dirt.table].every_days
        copies = copies.set_column(copies.column_names.index("_file"), "_file", pa.array(later))
        copies = copies.filter(pa.array(later < parameters.days))
    return copies.append_column("_kind", pa.array([dirt.kind] * copies.num_rows, pa.string()))

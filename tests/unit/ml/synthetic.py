"""A snapshot of ml_inputs with planted truth: carters who rarely buy, buyers who buy often.

Who is who decides titles, rhythm and orders; ids and row order say nothing.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from settings import ShopPaths

TITLES = {
    "buyer": ["blue ceramic teapot", "oak bread board", "linen table cloth", "copper kettle"],
    "carter": ["running shoes", "trail backpack", "rain jacket", "wool socks"],
}


@dataclass(frozen=True)
class World:
    paths: ShopPaths
    as_of: date
    train: date
    test: date
    horizon_days: int
    digest: str
    truth: dict[str, str]


def write(
    shop: str = "tiny",
    users: int = 600,
    seed: int = 3,
    digest: str = "d1",
    as_of: date = date(2026, 6, 30),
    horizon_days: int | None = 30,
    later_rows: bool = False,
    spare_days: int = 0,
    refund_days: int = 0,
) -> World:
    """Write a snapshot as the warehouse does; ``later_rows`` changes only the score date's rows.

    The test cut's horizon ended ``spare_days`` before the as_of_date; labels close ``refund_days`` later.
    """
    paths = ShopPaths(shop)
    horizon = horizon_days or 30
    test = as_of - timedelta(days=horizon + spare_days)
    train = test - timedelta(days=horizon)
    rng = np.random.default_rng(seed)
    groups = {f"{rng.integers(16**12):064x}": str(rng.choice(["buyer", "carter"])) for _ in range(users)}
    sequences, features, labels = [], [], []
    for cut in (train, test, as_of):
        cut_rng = np.random.default_rng([seed, cut.toordinal(), int(later_rows and cut == as_of)])
        for user, group in groups.items():
            row = _user(user, group, cut, cut_rng)
            sequences.append(row["sequence"])
            features.append(row["features"])
            if cut != as_of:
                closes_on = cut + timedelta(days=horizon + refund_days)
                labels.append(_label(user, group, row["features"], cut, horizon, closes_on, cut_rng))
    folder = paths.snapshots / digest
    folder.mkdir(parents=True, exist_ok=True)
    for sequence in sequences:
        sequence["content_key"] = hashlib.md5(repr(list(sequence.values())[3:-1]).encode()).hexdigest()
    table = pa.Table.from_pylist(sequences)
    place = table.schema.get_field_index("hours_of_week")
    # As the warehouse types it.
    table = table.set_column(place, "hours_of_week", table["hours_of_week"].cast(pa.list_(pa.int16())))
    pq.write_table(table, folder / "fct_user_sequences.parquet")
    pd.DataFrame(features).to_parquet(folder / "fct_user_features.parquet")
    pd.DataFrame(labels).to_parquet(folder / "fct_user_labels.parquet")
    cuts = {"train": str(train), "test": str(test), "score": str(as_of)}
    if horizon_days is None:
        cuts |= {"train": None, "test": None}
    manifest = {
        "as_of_date": str(as_of),
        "cuts": cuts,
        "horizon_days": horizon_days,
        "digest": digest,
        "shop": shop,
        "row_counts": {"fct_user_sequences": len(sequences)},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    link = paths.snapshots / f"latest-{as_of}"
    link.unlink(missing_ok=True)
    link.symlink_to(digest)
    return World(paths, as_of, train, test, horizon, digest, groups)


def _user(user: str, group: str, cut: date, rng: np.random.Generator) -> dict[str, dict[str, object]]:
    count = int(rng.integers(3, 30))
    likely = {"buyer": [0.3, 0.2, 0.5], "carter": [0.5, 0.4, 0.1]}[group]
    kinds = rng.choice(["view", "cart", "pay"], size=count, p=likely).tolist()
    orders = kinds.count("pay")
    amounts = [float(np.round(rng.lognormal(3, 1), 2)) if kind == "pay" else 0.0 for kind in kinds]
    last = datetime.combine(cut, datetime.min.time()) - timedelta(days=float(rng.exponential(10)))
    night = 2 if group == "carter" else 14
    sequence = {
        "user_key": user,
        "as_of_date": cut,
        "event_count": count,
        "event_types": kinds,
        "texts": rng.choice(TITLES[group], size=count).tolist(),
        "product_ids": [f"p{index}" for index in range(count)],
        "categories": ["home" if group == "buyer" else "outdoor"] * count,
        "channels": rng.choice(["web", "app"], size=count).tolist(),
        "gap_seconds": [0, *(int(value) for value in rng.exponential(40000, size=count - 1))],
        "hours_of_week": [
            int(day * 24 + (night + rng.integers(0, 4))) for day in rng.integers(0, 7, size=count)
        ],
        "amounts": amounts,
        "quantities": [1.0] * count,
        "last_event_at": last,
    }
    recency = float((datetime.combine(cut, datetime.min.time()) - last).days)
    features = {
        "user_key": user,
        "as_of_date": cut,
        "recency_days": recency,
        "days_since_last_order": recency if orders else None,
        "order_count": orders,
        "net_revenue_amount": sum(amounts),
        "cart_abandon_share": (kinds.count("cart") / count) if group == "carter" else 0.1 * rng.random(),
        "cart_count_last_30_days": kinds.count("cart"),
        "view_count_last_30_days": kinds.count("view"),
        "night_share": 0.9 if group == "carter" else 0.1,
        "review_score_avg": None,
        "is_identified": bool(rng.random() < 0.5),
        "top_category": sequence["categories"][0],  # type: ignore[index]
    }
    return {"sequence": sequence, "features": features}


def _label(
    user: str,
    group: str,
    features: dict[str, object],
    cut: date,
    horizon: int,
    closes_on: date,
    rng: np.random.Generator,
) -> dict[str, object]:
    odds = (0.55 if group == "buyer" else 0.05) + 0.02 * float(features["order_count"])  # type: ignore[arg-type]
    is_high = bool(rng.random() < odds)
    return {
        "user_key": user,
        "as_of_date": cut,
        "horizon_days": horizon,
        "is_high_value": is_high,
        "is_buyer": is_high or bool(rng.random() < 0.2),
        "net_revenue_amount": 100.0 if is_high else 0.0,
        "order_count": int(is_high),
        "is_treated": user[-1] < "2",  # of keys in hexadecimal an eighth
        "threshold_amount": 80.0,
        "threshold_basis": "net_revenue",
        "closes_on": closes_on,
        "is_closed": True,
    }

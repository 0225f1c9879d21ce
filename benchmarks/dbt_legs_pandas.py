"""What ``dbt_legs.sql`` says, in pandas: ``python -m benchmarks.dbt_legs_pandas <landing> <out> <date> …``.

Written for speed within what pandas offers: keys are factorised once, money is whole ten-thousandths,
nothing is applied row by row, and lists are cut out of sorted arrays. Writes one Parquet file per table.
"""

from __future__ import annotations

import sys
from datetime import date
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

UNITS = 10_000
GAP = pd.Timedelta(minutes=30)
END_OF_TIME = pd.Timestamp("9999-12-31")
LISTED = 64


def read(landing: Path, table: str) -> pd.DataFrame:
    """Read a landed table; decimals become whole ten-thousandths."""
    files = sorted((landing / table).glob("*/*.parquet"))
    rows = pa.concat_tables(
        (pq.read_table(file, partitioning=None) for file in files), promote_options="default"
    )
    for number, field in enumerate(rows.schema):
        if pa.types.is_decimal(field.type):
            whole = pc.multiply(rows[field.name].cast(pa.float64()), float(UNITS))
            rows = rows.set_column(number, field.name, pc.round(whole).cast(pa.int64()))
    return rows.to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get)


def make_events(landing: Path, orders: pd.DataFrame) -> pd.DataFrame:
    """Return the log, each event once, cut into visits."""
    events = read(landing, "events").sort_values(["event_id", "delivered_on", "row_number"])
    events = events.drop_duplicates("event_id", keep="last").rename(columns={"query": "event_text"})
    events["source_table"] = "events"
    lines = read(landing, "order_lines").merge(
        orders[["order_id", "user_key", "device_key", "channel", "order_status"]], on="order_id", how="left"
    )
    is_cancelled = lines["order_status"] == "cancelled"
    lines["source_table"] = "order_lines"
    lines["event_type"] = np.where(is_cancelled, "cancelled_purchase", "purchase")
    lines["gross_amount"] = (lines["quantity"] * lines["unit_price_amount"] // UNITS).mask(is_cancelled, 0)
    lines["discount_amount"] = lines["discount_amount"].fillna(0).mask(is_cancelled, 0)
    lines = lines.rename(columns={"ordered_at": "occurred_at", "unit_price_amount": "price_amount"})
    columns = [
        *("source_table", "event_type", "user_key", "device_key", "occurred_at", "event_date", "order_id"),
        *("product_id", "channel", "event_text", "page", "campaign_id", "quantity", "price_amount"),
        *("gross_amount", "discount_amount", "delivered_on", "row_number"),
    ]
    log = pd.concat([events.reindex(columns=columns), lines.reindex(columns=columns)], ignore_index=True)
    for name in ("gross_amount", "discount_amount", "row_number"):
        log[name] = log[name].fillna(0).astype("int64")
    log["net_amount"] = log["gross_amount"] - log["discount_amount"]
    log["event_date"] = pd.to_datetime(log["event_date"])
    log["visitor_key"] = log["device_key"].fillna(log["user_key"])
    log["visitor"] = pd.factorize(log["visitor_key"])[0]
    log = log.sort_values(["visitor", "occurred_at"], ignore_index=True)
    is_same_visitor = log["visitor"].diff() == 0
    log["is_session_start"] = ~(is_same_visitor & (log["occurred_at"].diff() <= GAP))
    log["session"] = log["is_session_start"].cumsum()
    local = log["occurred_at"].dt.tz_localize("UTC").dt.tz_convert("Asia/Singapore")
    log["hour_of_week"] = (local.dt.day_of_week * 24 + local.dt.hour).astype("int16")
    return log


def make_sessions(log: pd.DataFrame) -> pd.DataFrame:
    """Return one row per visit."""
    flags = pd.DataFrame(
        {
            "session": log["session"],
            "view_count": log["event_type"].isin(["view", "click"]),
            "search_count": log["event_type"] == "search",
            "cart_count": log["event_type"] == "cart",
            "has_checkout": log["event_type"] == "checkout",
            "has_purchase": log["event_type"] == "purchase",
        }
    )
    visits = log.groupby("session", sort=False)
    sessions = visits.agg(
        visitor_key=("visitor_key", "first"),
        device_key=("device_key", "first"),
        session_started_at=("occurred_at", "min"),
        session_ended_at=("occurred_at", "max"),
        session_date=("event_date", "min"),
        event_count=("event_type", "size"),
        net_revenue_amount=("net_amount", "sum"),
    )
    sessions = sessions.join(flags.groupby("session", sort=False).sum())
    for name in ("has_checkout", "has_purchase"):
        sessions[name] = sessions[name] > 0
    users = log[["session", "user_key"]].dropna().drop_duplicates()
    sessions["user_count"] = users.groupby("session").size()
    sessions["user_key"] = users.groupby("session")["user_key"].max()
    products = log[["session", "product_id"]].dropna().drop_duplicates()
    sessions["product_count"] = products.groupby("session").size()
    sessions = sessions.fillna({"user_count": 0, "product_count": 0})
    lasted = sessions["session_ended_at"] - sessions["session_started_at"]
    sessions["duration_seconds"] = lasted // pd.Timedelta(seconds=1)
    return sessions.reset_index(drop=True)


def make_orders(log: pd.DataFrame, orders: pd.DataFrame) -> pd.DataFrame:
    """Return one row per order."""
    lines = log[log["order_id"].notna()].assign(
        line_count=1, is_sale=lambda rows: rows["event_type"] == "purchase"
    )
    lines["item_count"] = lines["quantity"].where(lines["is_sale"], 0)
    names = ["line_count", "is_sale", "item_count", "gross_amount", "discount_amount", "net_amount"]
    sums = lines.groupby("order_id")[names].sum()
    result = orders.rename(columns={"event_date": "order_date"}).set_index("order_id")
    told = ["user_key", "device_key", "ordered_at", "order_date", "order_status", "channel"]
    result = result[told].join(sums)
    result = result.fillna(dict.fromkeys(names, 0))
    result["is_sale"] = result["is_sale"] > 0
    return result.reset_index()


def stitch(log: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """Return whom each row belongs to by what the log itself tells, and whether that is a customer."""
    links = log.loc[log["user_key"].notna(), ["visitor", "user_key", "event_date", "occurred_at"]]
    days = links.groupby(["visitor", "user_key", "event_date"], sort=False)
    moments = days["occurred_at"]
    links = pd.concat([moments.min(), moments.max()]).reset_index().drop_duplicates()
    customers = links.drop_duplicates(["visitor", "user_key"]).groupby("visitor").size()
    links = links[links["visitor"].isin(customers.index[customers <= 2])]
    links = links.sort_values(["visitor", "occurred_at"])
    is_change = (links["visitor"].diff() != 0) | (links["user_key"] != links["user_key"].shift())
    links = links[is_change]
    is_first = links["visitor"].diff() != 0
    links = links.assign(valid_from=links["occurred_at"].mask(is_first, pd.Timestamp("1900-01-01")))
    unknown = log.loc[log["user_key"].isna(), ["visitor", "occurred_at"]]
    found = pd.merge_asof(
        unknown.reset_index().sort_values("occurred_at"),
        links[["visitor", "user_key", "valid_from"]].sort_values("valid_from"),
        left_on="occurred_at",
        right_on="valid_from",
        by="visitor",
    ).set_index("index")["user_key"]
    customer = log["user_key"].fillna(found)
    return customer.fillna(log["device_key"]), customer.notna()


def make_users(log: pd.DataFrame) -> pd.DataFrame:
    """Return one row per user as is known now."""
    user_key, is_identified = stitch(log)
    codes, keys = pd.factorize(user_key)
    rows = log.assign(user=codes, is_identified=is_identified)
    users = rows.groupby("user").agg(
        is_identified=("is_identified", "max"),
        first_seen_at=("occurred_at", "min"),
        last_seen_at=("occurred_at", "max"),
        net_revenue_amount=("net_amount", "sum"),
    )
    users["device_count"] = _distinct(rows, "visitor")
    users["session_count"] = _distinct(rows, "session")
    sales = rows[rows["event_type"] == "purchase"]
    users["order_count"] = _distinct(sales, "order_id")
    users["first_order_date"] = sales.groupby("user")["event_date"].min()
    users["last_order_date"] = sales.groupby("user")["event_date"].max()
    users["order_count"] = users["order_count"].fillna(0)
    users["user_key"] = keys[users.index]
    return users


def _distinct(rows: pd.DataFrame, name: str) -> pd.Series:
    return rows[["user", name]].drop_duplicates().groupby("user").size()


def know(log: pd.DataFrame, products: pd.DataFrame, as_of: date) -> tuple[pd.DataFrame, pd.Index]:
    """Return the log as of a date, with users as numbers, and their keys."""
    known = log[log["event_date"] <= pd.Timestamp(as_of)]
    user_key, is_identified = stitch(known)
    codes, keys = pd.factorize(user_key)
    known = known.drop(columns=["user_key", "visitor_key", "page", "campaign_id"])
    known = known.assign(
        user=codes,
        is_identified=is_identified,
        age_days=(pd.Timestamp(as_of) - known["event_date"]).dt.days,
    )
    return known.merge(products[["product_id", "title", "category"]], on="product_id", how="left"), keys


def make_features(known: pd.DataFrame, keys: pd.Index, as_of: date) -> pd.DataFrame:
    """Return one row per user."""
    age, kind = known["age_days"], known["event_type"]
    hour = known["hour_of_week"] % 24
    counted = {
        "event_count": age >= 0,
        "event_count_last_7_days": age < 7,
        "event_count_last_30_days": age < 30,
        "event_count_last_90_days": age < 90,
        "view_count_last_30_days": kind.isin(["view", "click"]) & (age < 30),
        "cart_count_last_30_days": (kind == "cart") & (age < 30),
        "search_count_last_30_days": (kind == "search") & (age < 30),
        "session_count_last_30_days": known["is_session_start"] & (age < 30),
        "favourite_count": kind == "favourite",
        "night_share": (hour >= 22) | (hour < 6),
        "weekend_share": known["hour_of_week"] >= 120,
        "gross_revenue_amount": known["gross_amount"],
        "net_revenue_amount": known["net_amount"],
        "net_revenue_amount_last_30_days": known["net_amount"].where(age < 30, 0),
        "net_revenue_amount_last_90_days": known["net_amount"].where(age < 90, 0),
        "item_count": known["quantity"].where(kind == "purchase", 0).fillna(0).astype("int64"),
    }
    features = pd.DataFrame(counted).groupby(known["user"]).sum()
    users = known.groupby("user")
    features["is_identified"] = users["is_identified"].max()
    features["recency_days"], features["tenure_days"] = users["age_days"].min(), users["age_days"].max()
    days = known.loc[age < 90, ["user", "age_days"]].drop_duplicates()
    features["active_days_last_30_days"] = days[days["age_days"] < 30].groupby("user").size()
    features["active_days_last_90_days"] = days.groupby("user").size()
    sales = known[kind == "purchase"]
    features["order_count"] = _distinct(sales, "order_id")
    for window in (7, 30, 90):
        features[f"order_count_last_{window}_days"] = _distinct(sales[sales["age_days"] < window], "order_id")
    features["distinct_product_count"] = _distinct(sales, "product_id")
    features["distinct_category_count"] = _distinct(sales, "category")
    features["days_since_last_order"] = sales.groupby("user")["age_days"].min()
    largest = sales.groupby(["user", "order_id"])["net_amount"].sum().groupby("user").max()
    features["max_order_amount"] = largest / UNITS
    counts = [name for name in features if "count" in name or "days_last" in name]
    features[counts] = features[counts].fillna(0)
    features["item_count"] /= UNITS
    for name in [name for name in features if "revenue_amount" in name]:
        features[name] /= UNITS
    orders = features["order_count"].replace(0, np.nan)
    features["average_order_amount"] = features["net_revenue_amount"] / orders
    for name in ("night_share", "weekend_share"):
        features[name] /= features["event_count"]
    features["cart_abandon_share"] = _abandoned_share(known)
    features["top_category"] = _favourite(known, "category")
    features["top_channel"] = _favourite(known, "channel")
    features["user_key"] = keys[features.index]
    return features.assign(as_of_date=pd.Timestamp(as_of))


def _abandoned_share(known: pd.DataFrame) -> pd.Series:
    kind = known["event_type"]
    carts = known[(kind == "cart") & (known["age_days"] < 90)]
    first = carts.groupby(["user", "product_id"])["occurred_at"].min()
    last = known[kind == "purchase"].groupby(["user", "product_id"])["occurred_at"].max().reindex(first.index)
    return (last.isna() | (last < first)).groupby("user").mean()


def _favourite(known: pd.DataFrame, name: str) -> pd.Series:
    counts = known.dropna(subset=[name]).groupby(["user", name]).size().rename("times").reset_index()
    counts = counts.sort_values(["user", "times", name], ascending=[True, False, True])
    return counts.drop_duplicates("user").set_index("user")[name]


def make_sequences(known: pd.DataFrame, keys: pd.Index, as_of: date) -> pa.Table:
    """Return one row per user, with lists cut out of the sorted log."""
    rows = known.sort_values(["user", "occurred_at", "row_number"])
    gaps = rows["occurred_at"].diff() // pd.Timedelta(seconds=1)
    rows["gap_seconds"] = gaps.where(rows["user"].diff() == 0, 0)
    rows = rows.groupby("user").tail(LISTED)
    users, lengths = np.unique(rows["user"].to_numpy(), return_counts=True)
    offsets: npt.NDArray[np.int32] = np.concatenate([[0], np.cumsum(lengths)]).astype("int32")
    lists = {
        "event_types": rows["event_type"],
        "texts": rows["event_text"].fillna(rows["title"]).fillna(""),
        "product_ids": rows["product_id"].fillna(""),
        "categories": rows["category"].fillna(""),
        "channels": rows["channel"].fillna(""),
        "gap_seconds": rows["gap_seconds"].astype("int64"),
        "hours_of_week": rows["hour_of_week"],
        "amounts": rows["net_amount"] / UNITS,
        "quantities": (rows["quantity"].fillna(0) / UNITS).astype("float64"),
    }
    columns = {
        name: pa.ListArray.from_arrays(pa.array(offsets), pa.array(values).combine_chunks())
        if isinstance(pa.array(values), pa.ChunkedArray)
        else pa.ListArray.from_arrays(pa.array(offsets), pa.array(values))
        for name, values in lists.items()
    }
    return pa.table(
        {
            "user_key": pa.array(keys[users]),
            "as_of_date": pa.array([as_of] * len(users)),
            "event_count": pa.array(lengths),
            **columns,
            "last_event_at": pa.array(rows["occurred_at"].to_numpy()[offsets[1:] - 1]),
        }
    )


def main(landing: Path, out: Path, as_of_dates: list[date]) -> None:
    """Make all tables."""
    out.mkdir(parents=True, exist_ok=True)
    orders, products = read(landing, "orders"), read(landing, "products")
    orders = orders.sort_values(["updated_at", "row_number"]).drop_duplicates("order_id", keep="last")
    log = make_events(landing, orders)
    log.to_parquet(out / "fct_events.parquet", index=False)
    make_sessions(log).to_parquet(out / "fct_sessions.parquet", index=False)
    make_orders(log, orders).to_parquet(out / "fct_orders.parquet", index=False)
    make_users(log).to_parquet(out / "dim_users.parquet", index=False)
    for as_of in as_of_dates:
        known, keys = know(log, products, as_of)
        make_features(known, keys, as_of).to_parquet(out / f"fct_user_features-{as_of}.parquet", index=False)
        pq.write_table(make_sequences(known, keys, as_of), out / f"fct_user_sequences-{as_of}.parquet")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), [date.fromisoformat(each) for each in sys.argv[3:]])

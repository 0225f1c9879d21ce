"""What only the tests may know, written to a folder that the pipeline never reads."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet

from landing.simulate.catalogue import LANGUAGES, NOUNS
from landing.simulate.deliver import campaign_id
from landing.simulate.dirt import DUPLICATE, OUTCOMES, QUARANTINED
from landing.simulate.parameters import BLOCK_DAYS, CURRENCY, EVENT_TYPES, GROUPS, OFFERS, TIME_ZONE
from landing.simulate.people import registered_day
from landing.simulate.shop import Shop
from landing.simulate.voices import INTENTS
from landing.simulate.words import CATEGORIES

Records = list[dict[str, object]]

TABLES = (
    "users", "devices", "visits", "offers", "fraud", "tickets", "products", "files", "event_owners",
    "dirt", "parameters",
)  # fmt: skip


def write_truth(shop: Shop, tables: dict[str, pa.Table], files: Records, folder: Path) -> None:
    """Write every truth table and the counts of rows and dirt."""
    folder.mkdir(parents=True, exist_ok=True)
    frames = {
        "users": users(shop),
        "devices": devices(shop),
        "visits": visits(shop),
        "offers": offers(shop),
        "fraud": fraud(shop),
        "tickets": tickets(shop, tables),
        "products": products(shop),
        "files": file_counts(files),
    }
    for name, frame in frames.items():
        table = pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)
        pyarrow.parquet.write_table(table, folder / f"{name}.parquet")
    owners = tables["events"].select(["event_id"]).append_column("visit", pa.array(shop.events["visit"]))
    pyarrow.parquet.write_table(owners, folder / "event_owners.parquet")
    _write_json(folder / "dirt.json", counts(shop, tables, files))
    _write_json(folder / "parameters.json", parameters(shop))


def users(shop: Shop) -> pd.DataFrame:
    """One row per person; ``customer_id`` is null for whoever never registers."""
    people, names = shop.people.table, np.array([group.name for group in GROUPS])
    start = pd.Timestamp(shop.parameters.start)
    favourite = np.array([category.name for category in CATEGORIES])[shop.people.taste.argmax(axis=2)]
    activity = shop.visits[shop.visits["happens"]].groupby("person").size()
    return pd.DataFrame(
        {
            "person": people.index,
            "customer_id": people["customer_id"],
            "group_before": names[people["group_before"]],
            "group_after": names[people["group_after"]],
            "drifts": people["group_before"] != people["group_after"],
            "value": people["value"],
            "activity": people["activity"],
            "price_sensitivity": people["price_sensitivity"],
            "language": np.array(LANGUAGES)[people["is_chinese"].astype(int)],
            "favourite_category_before": favourite[0],
            "favourite_category_after": favourite[1],
            "arrived_at": start + pd.to_timedelta(people["arrival_day"], unit="D").dt.floor("s"),
            "left_at": start
            + pd.to_timedelta(people["leave_day"].clip(upper=10_000), unit="D").dt.floor("s"),
            "registered_day": np.where(
                np.isinf(registered_day(shop.people)), np.nan, registered_day(shop.people)
            ),
            "visits": activity.reindex(people.index, fill_value=0),
        }
    )


def devices(shop: Shop) -> pd.DataFrame:
    """One row per device and person who used it, with the visits made."""
    made = shop.visits[shop.visits["happens"]].groupby(["device", "person"]).size().reset_index(name="visits")
    made["device_id"] = shop.devices.table["device_id"].to_numpy()[made["device"]]
    made["use"] = shop.devices.table["use"].to_numpy()[made["device"]]
    made["customer_id"] = shop.people.table["customer_id"].to_numpy()[made["person"]]
    return made[["device_id", "use", "person", "customer_id", "visits"]]


def visits(shop: Shop) -> pd.DataFrame:
    """One row per visit that happened; ``visit`` joins ``event_owners``."""
    happened = shop.visits[shop.visits["happens"]].reset_index(names="visit")
    names = np.array([group.name for group in GROUPS])
    return pd.DataFrame(
        {
            "visit": happened["visit"],
            "person": happened["person"],
            "device_id": shop.devices.table["device_id"].to_numpy()[happened["device"]],
            "group": names[happened["group"]],
            "started_at": pd.Timestamp(shop.parameters.start) + pd.to_timedelta(happened["start"], unit="s"),
            "is_known": happened["is_known"],
            "is_order": happened["is_order"],
            "about": np.array([noun for noun, _, _ in NOUNS])[happened["focus"]],
            "is_fraud_or_look_alike": happened["ring"] >= 0,
        }
    )


def offers(shop: Shop) -> pd.DataFrame:
    """One row per campaign and person: arm, true effect, both outcomes, what happened."""
    contacts = shop.contacts
    result = pd.DataFrame(
        {
            "campaign_id": campaign_id(contacts["campaign"], shop).to_pandas(),
            "customer_id": shop.people.table["customer_id"].to_numpy()[contacts["person"]],
            "person": contacts["person"],
            "offer_code": np.array([offer.code for offer in OFFERS])[contacts["offer"]],
            "arm": np.where(contacts["treated"], "treatment", "control"),
            "window_start": _dates(shop, contacts["block"] * BLOCK_DAYS),
            "window_end": _dates(shop, (contacts["block"] + 1) * BLOCK_DAYS - 1),
            "effect": contacts["effect"],
        }
    )
    for name in ("orders_if_untreated", "orders_if_treated", "orders", "redemptions"):
        result[name] = contacts[name]
    for name in ("paid_cents_if_untreated", "paid_cents_if_treated", "paid_cents"):
        result[name.replace("cents", "amount")] = contacts[name] / 100
    return result


def _dates(shop: Shop, day: pd.Series) -> list[object]:
    return [shop.parameters.start + timedelta(days=int(number)) for number in day]


def fraud(shop: Shop) -> pd.DataFrame:
    """One row per member of a ring or of an honest dormitory that looks like one."""
    rings = shop.rings
    use = shop.devices.table["use"].isin(["ring", "dormitory"])
    device = shop.devices.table.loc[use, "device_id"].to_numpy()
    return pd.DataFrame(
        {
            "ring": rings["ring"],
            "kind": rings["kind"],
            "customer_id": shop.people.table["customer_id"].to_numpy()[rings["person"]],
            "person": rings["person"],
            "device_id": device[rings["ring"]] if len(rings) else [],
            "product_id": shop.catalogue.products["product_id"].to_numpy()[rings["product"]],
        }
    )


def tickets(shop: Shop, tables: dict[str, pa.Table]) -> pd.DataFrame:
    """One row per ticket with what it is really about."""
    return pd.DataFrame(
        {
            "ticket_id": tables["support_tickets"]["ticket_id"].to_pandas(),
            "intent": np.array(INTENTS)[shop.tickets["intent"]],
            "language": shop.tickets["language"],
        }
    )


def products(shop: Shop) -> pd.DataFrame:
    """One row per product with its true quality and popularity."""
    table = shop.catalogue.products
    frame = table[["product_id", "title", "category", "quality", "launch_day"]].copy()
    frame["noun"] = np.array([noun for noun, _, _ in NOUNS])[table["noun"]]
    frame["popularity"] = shop.catalogue.popularity
    return frame


def file_counts(files: Records) -> pd.DataFrame:
    """One row per file: rows = good + quarantined + duplicates, as landing should count them."""
    frame = pd.DataFrame(files)
    for column, outcome in (("rows_quarantined", QUARANTINED), ("rows_duplicate", DUPLICATE)):
        frame[column] = [
            sum(count for kind, count in dirt.items() if OUTCOMES[table, kind] == outcome)
            for table, dirt in zip(frame["table"], frame["dirt"], strict=True)
        ]
    frame["rows_good"] = frame["rows"] - frame["rows_quarantined"] - frame["rows_duplicate"]
    return frame.rename(columns={"rows": "rows_in"}).drop(columns="dirt")


def counts(shop: Shop, tables: dict[str, pa.Table], files: Records) -> dict[str, object]:
    """Per table: rows that happened, undelivered, late, in all files, and dirty rows by kind."""
    result: dict[str, object] = {}
    for name, table in tables.items():
        day = table["_day"].to_numpy()
        happened = np.maximum(table["_seconds"].to_numpy() // 86_400, 0)
        dirt: Counter[str] = Counter()
        for file in files:
            if file["table"] == name:
                dirt.update(file["dirt"])  # type: ignore[call-overload]
        delivered = day < shop.parameters.days
        result[name] = {
            "happened": table.num_rows,
            "undelivered": int((~delivered).sum()),
            "late": int(((day > happened) & delivered).sum()),
            "rows_in_files": sum(int(str(file["rows"])) for file in files if file["table"] == name),
            "dirt": dict(sorted(dirt.items())),
        }
    return result


def parameters(shop: Shop) -> dict[str, object]:
    """Return everything that the shop was made from."""
    return {
        **asdict(shop.parameters),
        "drift_day": shop.parameters.drift_block * BLOCK_DAYS,
        "drift_date": shop.parameters.start + timedelta(days=shop.parameters.drift_block * BLOCK_DAYS),
        "last_date": shop.parameters.start + timedelta(days=shop.parameters.days - 1),
        "time_zone": TIME_ZONE,
        "currency": CURRENCY,
        "event_types": EVENT_TYPES,
        "groups": [asdict(group) for group in GROUPS],
        "offers": [asdict(offer) for offer in OFFERS],
    }


def _write_json(path: Path, content: dict[str, object]) -> None:
    path.write_text(json.dumps(content, indent=2, default=str, ensure_ascii=False) + "\n", encoding="utf-8")

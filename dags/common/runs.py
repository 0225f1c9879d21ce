"""What a DAG run is about: its day, its shops, its id; and the parameters a person may give."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import yaml
from airflow.sdk import Context, Param

import settings
from common import alerts

WAREHOUSE_POOL = "warehouse"
"""One slot. It only saves waiting: the file lock is what guards the warehouse."""

WAREHOUSE_QUEUE = "warehouse"
"""For every task that opens the warehouse: with Celery, one worker on the host of the file."""

TASK_DEFAULTS = {
    "retries": 2,
    "retry_delay": timedelta(seconds=20),
    "retry_exponential_backoff": 2.0,
    "max_retry_delay": timedelta(minutes=10),
    # A hung command is noticed the same morning.
    "execution_timeout": timedelta(hours=2),
    "on_failure_callback": alerts.task_failed,
}


def params(full_refresh: str) -> dict[str, Param]:
    """Return the parameters that every DAG takes; ``full_refresh`` says what it means there."""
    return {
        "shop": Param(
            settings.default_shop(),
            type="string",
            pattern=f"^{settings.SHOP_NAME.pattern}$",
            description="The shop, as named by shops/<shop>.yml. A run that an asset started has its shop.",
        ),
        "as_of_date": Param(
            None,
            type=["null", "string"],
            format="date",
            description="Only what happened and was delivered by then is seen. Empty: the partition key, "
            "else the latest complete day.",
        ),
        "full_refresh": Param(False, type="boolean", description=full_refresh),
    }


def partition_key(day: date, shop: str) -> str:
    """Return the key that an asset event of a shop's day carries.

    Airflow joins the events of one asset and key into one run: keys of their own keep shops apart.
    """
    return f"{day}{settings.KEY_BORDER}{shop}"


def _key_parts(context: Context) -> tuple[str, str]:
    """Return day and shop of the run's partition key, empty where it does not name them."""
    day, _, shop = (context["dag_run"].partition_key or "").partition(settings.KEY_BORDER)
    return day, shop


@dataclass(frozen=True)
class ShopRun:
    """One shop's share of a DAG run.

    Attributes
    ----------
    shop : str
    run_id : str
        The id of the chain: that of the DAG run which began it. Every row it publishes carries it.
    full_refresh : bool
    """

    shop: str
    run_id: str
    full_refresh: bool

    def as_extra(self) -> dict[str, Any]:
        """Return what the next DAG needs to know, for the ``extra`` of an asset event."""
        return {"run_id": self.run_id, "full_refresh": self.full_refresh}


def as_of_date(context: Context) -> date | None:
    """Return the run's day: its partition key, else the parameter, else None for the latest complete day.

    Raises
    ------
    ValueError
        When key and parameter name different days, or the key is no day.
    """
    (key, _), wanted = _key_parts(context), context["params"]["as_of_date"]
    if key and wanted and key != wanted:
        raise ValueError(f"as_of_date {wanted} is not the partition key {key} of this run: give one of them")
    day = key or wanted
    return date.fromisoformat(day) if day else None


def shop_runs(context: Context) -> list[ShopRun]:
    """Return the shops that this run works for, by name.

    It is the one of the partition key. Events sent by hand may have a key without a shop, so a run may have
    several; a run that another DAG asked for has them in its configuration. Otherwise it is the one of the
    parameters.
    """
    given = context["params"]
    _, keyed = _key_parts(context)
    handed: dict[str, dict[str, Any]] = dict((context["dag_run"].conf or {}).get("shops", {}))
    for event in _events(context):
        handed |= event.extra.get("shops", {})
    if not handed:
        return [ShopRun(keyed or given["shop"], _plain(context["dag_run"].run_id), given["full_refresh"])]
    return [
        ShopRun(shop, handed[shop]["run_id"], handed[shop]["full_refresh"] or given["full_refresh"])
        for shop in sorted(handed)
        if keyed in ("", shop)
    ]


def extra(runs: Sequence[ShopRun]) -> dict[str, Any]:
    """Return the ``extra`` of an asset event that hands these shops over."""
    return {"shops": {run.shop: run.as_extra() for run in runs}}


def _events(context: Context) -> list[Any]:
    """Return the triggering events, oldest first, so that the newest decides."""
    by_asset = context["triggering_asset_events"]
    return sorted(
        (event for asset in by_asset for event in by_asset[asset]), key=lambda event: event.timestamp
    )


def _plain(run_id: str) -> str:
    """Return Airflow's run id without what does not belong into a file name."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", run_id)


def shop_time_zone() -> str:
    """Return the time zone that the schedules run in: that of the default shop."""
    shop = yaml.safe_load(settings.ShopPaths(settings.default_shop()).config.read_text(encoding="utf-8"))
    return shop["time_zone"]

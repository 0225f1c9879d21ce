"""Build the inputs of trials at other cuts, in a second warehouse of the shop.

The working warehouse holds the cuts of one as_of_date. Whether a model earns its place is asked at
several: ``judge:`` in ``shops/<shop>.yml`` names them, else they are chosen from the data. The same
models build them, as on any other day, in ``data/<shop>/trials/``, which may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import json
from datetime import date

import warehouse
from cli import ShoalError, UsageError, console
from landing import ledger, shops
from landing.ledger import LedgerFile
from settings import ShopPaths, TrialPaths
from warehouse import dbt, horizon, snapshot
from warehouse.build import build_core_locked, choose_split, shaping
from warehouse.horizon import Trial
from warehouse.snapshot import Snapshot


def choose(shop: str) -> list[Trial]:
    """Return a shop's trials, oldest first: those that its file names, else those that the data allow.

    Raises
    ------
    ShoalError
        When no day is complete yet.
    UsageError
        When a named cut does not fit the data.
    """
    first_day, last_day = ledger.first_day(shop), ledger.latest_complete_day(shop)
    if first_day is None or last_day is None:
        raise ShoalError(
            f"shop {shop} has no complete day yet: "
            f"run `python -m landing receive <folder> --shop {shop}` first"
        )
    named, refunds_after = shops.load(shop).judge, refund_days()
    if not named:
        return horizon.choose_trials(first_day, last_day, refunds_after)
    try:
        return sorted(
            (
                Trial.at(one.cut, one.horizon_days, one.role, first_day, last_day, refunds_after)
                for one in named
            ),
            key=lambda trial: trial.cut,
        )
    except ValueError as error:
        raise UsageError(f"{ShopPaths(shop).config}, judge: {error}") from error


def build(shop: str, trial: Trial) -> Snapshot:
    """Return the snapshot of a trial; it is built where the models, or what was known, have changed."""
    paths = TrialPaths(shop)
    note = paths.snapshots / f"{trial.link}.json"
    found, wanted = snapshot.find(paths, trial.link), _fingerprint(paths, trial)
    if found is not None and note.exists() and json.loads(note.read_text(encoding="utf-8")) == wanted:
        return found
    with warehouse.lock(paths, f"build {trial}"):
        built = build_core_locked(paths, trial)
    aside = note.with_suffix(".tmp")
    aside.write_text(json.dumps(wanted), encoding="utf-8")
    aside.replace(note)
    return built


def build_all(shop: str) -> list[tuple[Trial, Snapshot]]:
    """Build what is missing of a shop's trials."""
    found = [(trial, build(shop, trial)) for trial in choose(shop)]
    if not found:
        console.print(
            f"{shop}: too little history for any trial: {horizon.MIN_HISTORY_DAYS} days and twice "
            f"{min(horizon.HORIZONS_DAYS)} are needed",
            style="yellow",
        )
    return found


def build_last_day(shop: str) -> tuple[date, Snapshot]:
    """Build a shop's latest day beside the working warehouse, for what can be said without any trial."""
    split, paths = choose_split(ShopPaths(shop), None), TrialPaths(shop)
    with warehouse.lock(paths, f"build core as of {split.as_of_date}"):
        return split.as_of_date, build_core_locked(paths, split)


def _fingerprint(paths: ShopPaths, trial: Trial) -> str:
    """Return the hash of all that a trial's snapshot is made from: models, settings, what was delivered."""
    files = sorted(
        (file.file_id, file.decided_at)
        for file in ledger.accepted(paths)
        if _first_known(file) <= trial.as_of_date
    )
    said = [str(trial), dbt.models_digest(shaping(paths)), files]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:16]


def _first_known(file: LedgerFile) -> date:
    return file.delivered_on or min((day.event_date for day in file.tables), default=date.max)


def refund_days() -> int:
    """Return for how many days after a horizon its refunds are waited for."""
    return int(dbt.declared("refund_days"))

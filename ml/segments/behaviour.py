"""The behaviour scheme as one model: encoder, frozen clusters, names and what they mean."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ml import packages
from ml.configs import ClusterConfig, IdentityConfig
from ml.encoder.classifier import Classifier
from ml.segments import identity, naming
from ml.segments.clusters import Clusters, Placement, Trial, fit
from ml.warehouse import Cut, Day


@dataclass(frozen=True)
class BehaviourSegments:
    """Named clusters of BERT embeddings, frozen on the day they were made."""

    classifier: Classifier
    clusters: Clusters
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
    ) -> tuple[BehaviourSegments, list[Trial]]:
        """Cluster the users of a cut; name what was not known before from its profile.

        Parameters
        ----------
        before
            The champion's segments, with the same users; None where there are none.
        """
        fitted, trials = fit(embeddings, config)
        labels = fitted.labels(embeddings)
        profile = naming.profile(cut.features, labels)
        means = naming.means(cut.features, labels)
        if before is None:
            codes = naming.name_clusters(profile, means, rules)
            lineage = identity.Lineage({code: identity.Origin() for code in codes})
        else:
            codes, lineage = _identify(labels, profile, means, rules, before, known_through, how)
        told = zip(codes, naming.describe(profile, "en"), naming.describe(profile, "zh"), strict=True)
        descriptions = {code: {"en": english, "zh": chinese} for code, english, chinese in told}
        return cls(classifier, fitted.named(codes), descriptions, known_through, lineage), trials

    def before(self, version: str, cut: Cut) -> identity.Before:
        """Return these segments as those that others come after, with the users of a cut."""
        vectors = self.classifier.embed(cut.sequences).vectors
        clusters = self.clusters
        return identity.Before(
            version,
            clusters.codes,
            clusters.place(vectors).code,
            clusters.coordinates(vectors),
            clusters.centroids,
            self.lineage,
        )

    def place(self, day: Day) -> tuple[Placement, int, int]:
        """Place every user of a day; also say how many embeddings were computed and how many reused."""
        embedded = self.classifier.embed(day.sequences)
        return self.clusters.place(embedded.vectors), embedded.encoded, embedded.reused

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
            clusters=Clusters.load(folder),
            descriptions=content["descriptions"],
            known_through=date.fromisoformat(content["known_through"]),
            lineage=identity.Lineage.from_json(content.get("lineage", {})),
        )


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

"""The behaviour scheme as one model: encoder, frozen clusters, names and what they mean."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ml import packages
from ml.configs import ClusterConfig
from ml.encoder.classifier import Classifier
from ml.segments import naming
from ml.segments.clusters import Clusters, Placement, Trial, fit
from ml.warehouse import Cut


@dataclass(frozen=True)
class BehaviourSegments:
    """Named clusters of BERT embeddings, frozen on the day they were made."""

    classifier: Classifier
    clusters: Clusters
    descriptions: dict[str, dict[str, str]]
    """By code and language."""
    known_through: date

    @classmethod
    def make(
        cls,
        classifier: Classifier,
        cut: Cut,
        embeddings: NDArray[np.float32],
        known_through: date,
        config: ClusterConfig,
        rules: naming.Rules,
    ) -> tuple[BehaviourSegments, list[Trial]]:
        """Cluster the users of a cut and name the clusters from their profile."""
        fitted, trials = fit(embeddings, config)
        labels = fitted.labels(embeddings)
        profile = naming.profile(cut.features, labels)
        codes = naming.name_clusters(profile, naming.means(cut.features, labels), rules)
        told = zip(codes, naming.describe(profile, "en"), naming.describe(profile, "zh"), strict=True)
        descriptions = {code: {"en": english, "zh": chinese} for code, english, chinese in told}
        return cls(classifier, fitted.named(codes), descriptions, known_through), trials

    def place(self, cut: Cut) -> tuple[Placement, int, int]:
        """Place every user of a cut; also say how many embeddings were computed and how many reused."""
        embedded = self.classifier.embed(cut.sequences)
        return self.clusters.place(embedded.vectors), embedded.encoded, embedded.reused

    def save(self, folder: Path) -> str:
        """Write a sealed package and return its digest."""
        self.classifier.save(folder)
        self.clusters.save(folder)
        packages.write_json(
            folder / "behaviour.json",
            {"descriptions": self.descriptions, "known_through": self.known_through.isoformat()},
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
        )

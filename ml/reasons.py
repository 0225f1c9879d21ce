"""Why a score is what it is: what moved it most, in words, as association and not as cause.

Each kind of model says exactly, or by one backward pass, how far each item moved its log odds
from those of a fixed baseline: tree SHAP (Lundberg et al. 2018), coefficient × value, or
gradient × input (Shrikumar et al. 2017). An item is a feature, or for BERT all of a user's
events together; :mod:`ml.attribution` names single events on demand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from ml.encoder.classifier import Classifier
from ml.encoder.features import numeric
from ml.evaluation.metrics import Floats
from ml.evaluation.rivals import GradientTrees, RfmLogistic, RfmRank
from ml.segments import FEATURES
from ml.words import LANGUAGES, Language, Words

Model = Classifier | GradientTrees | RfmLogistic | RfmRank
Vectors = NDArray[np.float32]
InWords = Mapping[Language, NDArray[np.object_]]
"""Three reasons per user in each language, (users, 3)."""

HISTORY = "history"
"""The item that stands for a user's events in their order, as BERT reads them."""
MISSING = " is missing"
TOP = 3
DIGITS = 6
LEAST = 10.0**-DIGITS
"""What moved less is no difference, and no reason."""

FLAGS = {
    "is_identified": (
        Words("known as a customer", "已识别为客户"),
        Words("known by a device alone", "仅凭设备识别"),
    ),
    "is_outlier": (
        Words("far above others in events or revenue", "行为次数或收入远高于他人"),
        Words("not far above others in events and revenue", "行为次数和收入均未远高于他人"),
    ),
}
"""What a flag says when it is up, and when not."""


@dataclass(frozen=True)
class Contributions:
    """How far each item moved each user's score, (users, items), in log odds; in ranks for rfm_rank."""

    items: list[str]
    moved: Floats

    def top(self, count: int = TOP) -> NDArray[np.int64]:
        """Return the places of the items that moved a score most, strongest first, (users, count).

        Of what differs by less than :data:`LEAST` the earlier item comes first.
        """
        order = np.argsort(-np.abs(np.round(self.moved, DIGITS)), axis=1, kind="stable")
        return order[:, :count]


def contributions(
    model: Model, features: pd.DataFrame, embeddings: Vectors | None = None, usual: Vectors | None = None
) -> Contributions:
    """Return what moved each score.

    Parameters
    ----------
    embeddings, usual
        For BERT: (users, width), and the embedding that counts as usual, (width,).
    """
    if isinstance(model, Classifier):
        assert embeddings is not None and usual is not None
        return _of_bert(model, features, embeddings, usual)
    names, moved = model.contributions(features)
    return _by_feature(names, moved)


def in_words(found: Contributions, features: pd.DataFrame) -> InWords:
    """Return three reasons per user, strongest first; empty where fewer items moved the score.

    Such as ``number of orders 12: goes with a higher score``.
    """
    known, columns = words(), {name: amounts(features, name) for name in found.items}
    said = {language: np.full((len(features), TOP), "", dtype=object) for language in LANGUAGES}
    places = found.top()
    for rank in range(places.shape[1]):
        for row, place in enumerate(places[:, rank]):
            name, moved = found.items[place], found.moved[row, place]
            if abs(moved) < LEAST:
                continue
            item = told(name, columns[name][row], known)
            said["en"][row, rank] = f"{item.en}: goes with a {'higher' if moved > 0 else 'lower'} score"
            said["zh"][row, rank] = f"{item.zh}：与{'较高' if moved > 0 else '较低'}的评分相关"
    return said


def words() -> dict[str, Words]:
    """Return what features are called."""
    known = pd.read_csv(FEATURES)
    called = zip(known["name_en"], known["name_zh"], strict=True)
    return dict(zip(known["feature"], (Words(en, zh) for en, zh in called), strict=True))


def told(name: str, amount: float, known: Mapping[str, Words]) -> Words:
    """Return an item and its value in words.

    >>> orders = told("order_count", 12.0, {"order_count": Words("number of orders", "订单数")})
    >>> orders.en, orders.zh
    ('number of orders 12', '订单数 12')
    >>> print(told("days_since_last_order", float("nan"), {}))
    days since last order unknown
    >>> print(told("net_revenue_amount", 12345.6, {}))
    net revenue amount 12,346
    >>> print(told("is_identified", 0.0, {}))
    known by a device alone
    """
    if name == HISTORY:
        return Words("what was done, in its order", "行为及其先后顺序")
    if name in FLAGS and not np.isnan(amount):
        return FLAGS[name][0 if amount else 1]
    digits = ",.0f" if abs(amount) >= 1000 else ".4g"  # of large numbers .4g makes powers of ten
    plain = name.replace("_", " ")
    called = known.get(name, Words(plain, plain))
    if np.isnan(amount):
        return Words(f"{called.en} unknown", f"{called.zh}未知")
    return Words(f"{called.en} {amount:{digits}}", f"{called.zh} {amount:{digits}}")


def amounts(features: pd.DataFrame, name: str) -> Floats:
    """Return a feature of each user, (users,); unknown for what is no feature."""
    if name not in features:
        return np.full(len(features), np.nan)
    return np.asarray(features[name].to_numpy(dtype="float64", na_value=np.nan))


def _of_bert(model: Classifier, features: pd.DataFrame, embeddings: Vectors, usual: Vectors) -> Contributions:
    """Return gradient × distance from the usual user: one backward pass through the head, for everybody."""
    encoded = torch.from_numpy(model.steps.apply(numeric(features))).requires_grad_()
    behaviour = torch.from_numpy(embeddings.astype(np.float32)).requires_grad_()
    logits = model.encoder.network.judge(behaviour, encoded)[:, 0]
    of_behaviour, of_features = torch.autograd.grad(logits.sum(), (behaviour, encoded))
    history = (of_behaviour * (behaviour - torch.from_numpy(usual))).sum(1)
    moved = (of_features * encoded).detach().numpy()  # encodings are centred: the usual user is 0
    owners, names = model.steps.owners, model.steps.names
    by_feature = [moved[:, owners == place].sum(axis=1) for place in range(len(names))]
    return Contributions(
        [*names, HISTORY], np.stack([*by_feature, history.detach().numpy()], axis=1).astype(np.float64)
    )


def _by_feature(names: Sequence[str], moved: Floats) -> Contributions:
    """Add to a feature what its being missing did."""
    owners = [name.removesuffix(MISSING) for name in names]
    items = list(dict.fromkeys(owners))
    place = np.array([items.index(owner) for owner in owners])
    return Contributions(
        items, np.stack([moved[:, place == index].sum(axis=1) for index in range(len(items))], axis=1)
    )

"""BG/NBD and Gamma-Gamma: how often a customer will buy again, and for how much.

Fader, Hardie, Lee (2005), "Counting Your Customers" the Easy Way, Marketing Science 24 (2), and Fader,
Hardie (2013), The Gamma-Gamma Model of Monetary Value. Written out here because the packages that hold
them are archived or bring a sampler along. They are fitted on purchases before the cut and see no label.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.float64]

DAYS_PER_UNIT = 7
"""Weeks, as in the papers: rates near 1 are kind to the optimiser."""


@dataclass(frozen=True)
class Purchases:
    """Repeat purchases, age at the last one, age now (weeks), orders and mean amount per order, (users,)."""

    repeats: Floats
    last: Floats
    age: Floats
    orders: Floats
    amount: Floats

    @classmethod
    def of(cls, features: pd.DataFrame) -> Purchases:
        """Read them from ``fct_user_features``; who never ordered has no orders and no age."""
        known = {
            name: features[name].to_numpy(dtype="float64", na_value=0.0)
            for name in (
                "order_count",
                "days_between_orders_avg",
                "days_since_last_order",
                "average_order_amount",
            )
        }
        repeats = np.maximum(known["order_count"] - 1, 0.0)
        last = known["days_between_orders_avg"] * repeats / DAYS_PER_UNIT
        age = last + known["days_since_last_order"] / DAYS_PER_UNIT
        return cls(repeats, last, age, known["order_count"], known["average_order_amount"])

    def only(self, rows: NDArray[np.bool_]) -> Purchases:
        """Return some of the users."""
        return Purchases(**{name: values[rows] for name, values in vars(self).items()})


Frequency = tuple[float, float, float, float]
"""r, alpha, a, b of BG/NBD."""


@dataclass(frozen=True)
class BuyTillDie:
    """Both models, fitted: the expected spend of each customer in a horizon."""

    frequency: Frequency
    spend: tuple[float, float, float]
    """p, q, v of Gamma-Gamma, with amounts in units of ``unit``."""
    unit: float

    @classmethod
    def fit(cls, purchases: Purchases, penalty: float) -> BuyTillDie:
        """Maximise both likelihoods; ``penalty`` pulls the logarithms of the parameters towards 0."""
        buyers = purchases.only(purchases.orders > 0)
        payers = buyers.only(buyers.amount > 0)
        unit = float(payers.amount.mean()) if len(payers.amount) else 1.0
        r, alpha, a, b = _maximise(lambda found: _log_likelihood(buyers, *found), 4, penalty)
        p, q, v = _maximise(lambda found: _spend_log_likelihood(payers, unit, *found), 3, penalty)
        return cls((r, alpha, a, b), (p, q, v), unit)

    def expected(self, purchases: Purchases, days: int) -> Floats:
        """Return the expected spend in the next days; 0 for who never bought."""
        p, q, v = self.spend
        amount = np.maximum(purchases.amount, 0.0) / self.unit
        mean = p * (v + purchases.orders * amount) / np.maximum(p * purchases.orders + q - 1, 1e-9)
        orders = expected_orders(self.frequency, purchases, days / DAYS_PER_UNIT)
        return np.where(purchases.orders > 0, orders * mean * self.unit, 0.0)


def expected_orders(
    frequency: tuple[float, float, float, float], purchases: Purchases, weeks: float
) -> Floats:
    """Return the expected number of orders in the next weeks: equation (10) of the paper.

    Euler's transformation of its 2F1 keeps buyers of a hundred orders from overflowing.

    Examples
    --------
    The paper's own customer: two repeats, the last in week 30.43 of 38.86; 1.226 in 39 weeks.

    >>> one = Purchases(*(np.array([value]) for value in (2.0, 30.43, 38.86, 3.0, 1.0)))
    >>> round(float(expected_orders((0.243, 4.414, 0.793, 2.426), one, 39)[0]), 3)
    1.226
    """
    from scipy.special import hyp2f1

    r, alpha, a, b = frequency
    x, last, age = purchases.repeats, purchases.last, purchases.age
    z = weeks / (alpha + age + weeks)
    bought = 1 - (1 - z) ** (a - 1) * hyp2f1(a + b - 1 - r, a - 1, a + b + x - 1, z)
    left = np.where(x > 0, a / np.maximum(b + x - 1, 1e-9) * ((alpha + age) / (alpha + last)) ** (r + x), 0.0)
    return np.asarray((a + b + x - 1) / (a - 1) * bought / (1 + left))


def _log_likelihood(known: Purchases, r: float, alpha: float, a: float, b: float) -> float:
    """Return the mean over customers of equation (6): still a customer, or gone after the last order."""
    from scipy.special import betaln, gammaln

    x = known.repeats
    orders = gammaln(r + x) - gammaln(r) + r * np.log(alpha) - betaln(a, b)
    stays = betaln(a, b + x) - (r + x) * np.log(alpha + known.age)
    left = np.full_like(stays, -np.inf)
    again = x > 0
    left[again] = betaln(a + 1, b + x[again] - 1) - (r + x[again]) * np.log(alpha + known.last[again])
    return float(np.mean(orders + np.logaddexp(stays, left)))


def _spend_log_likelihood(known: Purchases, unit: float, p: float, q: float, v: float) -> float:
    """Return the mean over customers of equation (1a) of the note."""
    from scipy.special import gammaln

    x, amount = known.orders, known.amount / unit
    return float(
        np.mean(
            gammaln(p * x + q)
            - gammaln(p * x)
            - gammaln(q)
            + q * np.log(v)
            + (p * x - 1) * np.log(amount)
            + p * x * np.log(x)
            - (p * x + q) * np.log(v + x * amount)
        )
    )


def _maximise(
    log_likelihood: Callable[[Floats], float], parameters: int, penalty: float
) -> tuple[float, ...]:
    """Return the best positive parameters, found on their logarithms from a neutral start."""
    from scipy.optimize import minimize

    def loss(logs: Floats) -> float:
        return -log_likelihood(np.exp(logs)) + penalty * float(logs @ logs)

    found = minimize(loss, np.full(parameters, 0.1), method="L-BFGS-B", bounds=[(-6.0, 6.0)] * parameters)
    return tuple(float(value) for value in np.exp(found.x))

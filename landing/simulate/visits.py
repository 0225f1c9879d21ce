"""How often people come, and when: totals first, then their arrangement in time.

Totals (visits per person and fortnight, and which of them end in an order) come from the
stream ``totals`` and never see the dial. The arrangement places each visit inside its
fortnight; only there, and in the order of events within a visit, does order_signal act.
"""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pandas as pd

from landing.simulate.parameters import (
    BLOCK_DAYS,
    GROUPS,
    HOLIDAYS,
    NEUTRAL_HOURS,
    PEAK_STRENGTH,
    SECONDS_PER_DAY,
    SPACING_STRENGTH,
    Floats,
    Integers,
    Parameters,
)
from landing.simulate.people import People, alive_share


def holiday_factor(parameters: Parameters) -> Floats:
    """Return each day's factor on visits and orders, 1 on plain days; rises towards the holiday."""
    days = [parameters.start + timedelta(days=number) for number in range(parameters.blocks * BLOCK_DAYS)]
    return np.array([_factor_on(day) for day in days])


def _factor_on(day: date) -> float:
    factor = 1.0
    for holiday in HOLIDAYS:
        ahead = (date(day.year, holiday.month, holiday.day) - day).days
        if 0 <= ahead <= holiday.days_before:
            factor = max(factor, 1 + (holiday.factor - 1) * (1 - ahead / (holiday.days_before + 1)))
    return factor


def draw_visits(people: People, parameters: Parameters, random: np.random.Generator) -> pd.DataFrame:
    """Draw one row per organic visit: person, block, group and whether it ends in an order."""
    everybody = np.arange(len(people))[:, None]
    blocks = np.arange(parameters.blocks)[None, :]
    group = people.group(everybody, blocks, parameters)  # (people, blocks)
    season = _season_by_group(parameters)[group, blocks]
    weekly = np.array([each.visits_per_week for each in GROUPS])[group]
    activity = people.table["activity"].to_numpy()[:, None]
    expected = weekly * BLOCK_DAYS / 7 * activity * np.sqrt(season) * alive_share(people, parameters)
    counts = random.poisson(expected)
    person, block = np.nonzero(counts)
    visits = pd.DataFrame({"person": person, "block": block})
    visits["group"] = group[person, block]
    visits["season"] = season[person, block]
    visits = visits.loc[visits.index.repeat(counts[person, block])].reset_index(drop=True)
    visits["is_order"] = random.random(len(visits)) < _conversion(visits, people, parameters)
    return visits.drop(columns="season")


def _season_by_group(parameters: Parameters) -> Floats:
    """Return the mean holiday factor per group and block, (groups, blocks)."""
    per_day = holiday_factor(parameters).reshape(parameters.blocks, BLOCK_DAYS)
    return np.stack([(per_day**group.holiday_pull).mean(axis=1) for group in GROUPS])


def _conversion(visits: pd.DataFrame, people: People, parameters: Parameters) -> Floats:
    value = people.table["value"].to_numpy()[visits["person"]]
    base = np.array([group.conversion for group in GROUPS])[visits["group"]]
    seasonal = np.sqrt(visits["season"].to_numpy())
    return np.minimum(base * value**parameters.value_on_conversion * seasonal, 0.9)


def arrange_visits(
    visits: pd.DataFrame, people: People, parameters: Parameters, random: np.random.Generator
) -> Integers:
    """Return the second, counted from the start, at which each visit begins.

    Every visit takes the same number of draws whatever the dial says, so two settings of
    order_signal differ only in what they do with the same chances.
    """
    quantile = _spaced_quantile(visits, parameters.order_signal, random)
    day = _day_at(quantile, visits, people, parameters)
    hour = _draw_hours(visits["group"].to_numpy(), parameters.order_signal, random)
    second = np.floor(random.random(len(visits)) * 3_600).astype(np.int64)
    return day * SECONDS_PER_DAY + hour * 3_600 + second


def _spaced_quantile(visits: pd.DataFrame, signal: float, random: np.random.Generator) -> Floats:
    """Return how far through its fortnight each visit lies, in [0, 1).

    Steady visits share the fortnight evenly, bursty ones crowd around one moment of it.
    """
    fortnight = visits.groupby(["person", "block"], sort=False)
    number, size = fortnight.cumcount().to_numpy(), fortnight["group"].transform("size").to_numpy()
    free, chance, jitter = random.random((3, len(visits)))
    anchor = random.random(int(fortnight.ngroups))[fortnight.ngroup().to_numpy()]
    spacing = np.array([group.spacing for group in GROUPS])[visits["group"]]
    follows = chance < SPACING_STRENGTH * signal
    steady = (number + 0.25 + 0.5 * jitter) / size
    bursty = np.clip(anchor + 0.15 * (jitter - 0.5), 0, 0.999)
    quantile = np.where(follows & (spacing == "steady"), steady, free)
    return np.where(follows & (spacing == "bursty"), bursty, quantile)


def _day_at(quantile: Floats, visits: pd.DataFrame, people: People, parameters: Parameters) -> Integers:
    """Turn quantiles into days, by the weights of the group's days and within the person's stay."""
    cumulative = _cumulative_days(parameters)[visits["group"], visits["block"]]  # (visits, 15), from 0 to 1
    start = visits["block"].to_numpy() * BLOCK_DAYS
    arrival, leave = (
        people.table[name].to_numpy()[visits["person"]] for name in ("arrival_day", "leave_day")
    )
    first = np.clip(np.floor(arrival) - start, 0, BLOCK_DAYS - 1).astype(np.int64)
    last = np.minimum(np.ceil(leave), parameters.days) - start
    last = np.clip(last, first + 1, BLOCK_DAYS).astype(np.int64)
    rows = np.arange(len(visits))
    low, high = cumulative[rows, first], cumulative[rows, last]
    target = low + quantile * (high - low)
    return start + np.clip((target[:, None] >= cumulative[:, 1:]).sum(axis=1), first, last - 1)


def _cumulative_days(parameters: Parameters) -> Floats:
    """Return the cumulative weight of a fortnight's days, (groups, blocks, 15)."""
    season = holiday_factor(parameters)
    weekday = (parameters.start.weekday() + np.arange(len(season))) % 7
    tables = []
    for group in GROUPS:
        weekend = 1 + parameters.order_signal * (group.weekend_factor - 1)
        weight = np.where(weekday >= 5, weekend, 1.0) * season ** (group.holiday_pull / 2)
        blocks = weight.reshape(-1, BLOCK_DAYS)
        share = np.cumsum(blocks / blocks.sum(axis=1, keepdims=True), axis=1)
        tables.append(np.pad(share, ((0, 0), (1, 0))))
    return np.stack(tables)


def _draw_hours(group: Integers, signal: float, random: np.random.Generator) -> Integers:
    neutral = np.array(NEUTRAL_HOURS) / sum(NEUTRAL_HOURS)
    tables = []
    for each in GROUPS:
        peak = np.zeros(24)
        peak[list(each.peak_hours)] = 1 / len(each.peak_hours)
        strength = PEAK_STRENGTH * signal
        tables.append(np.cumsum((1 - strength) * neutral + strength * peak))
    cumulative = np.stack(tables)[group]  # (visits, 24)
    return (random.random(len(group))[:, None] > cumulative[:, :-1]).sum(axis=1)

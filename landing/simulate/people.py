"""Who comes to the shop: groups, latent value, tastes, accounts and devices."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from landing.simulate.catalogue import LANGUAGES, NOUNS_PER_CATEGORY, PRODUCTS_PER_NOUN
from landing.simulate.parameters import (
    BLOCK_DAYS,
    COUNTRY,
    GROUPS,
    SECONDS_PER_DAY,
    Flags,
    Floats,
    Integers,
    Parameters,
)
from landing.simulate.words import CATEGORIES, FIRST_NAMES, LAST_NAMES

OTHER_COUNTRIES = ("Malaysia", "China", "Indonesia")
BETA_CONCENTRATION = 4.0  # how closely people keep to their group's mean price sensitivity
DEVICE_KINDS = ("app", "web", "mobile_web")
MAXIMUM_DEVICES = 3


@dataclass(frozen=True)
class People:
    """Everybody who ever visits; a person is a row number."""

    table: pd.DataFrame  # one row per person
    taste: Floats  # (2, people, categories): before and after the drift
    wishes: Integers  # (people, 3): product numbers that come back again and again

    def __len__(self) -> int:
        return len(self.table)

    def period(self, block: Integers, parameters: Parameters) -> Integers:
        """Return 0 before the drift and 1 from it on."""
        return (block >= parameters.drift_block).astype(np.int64)

    def group(self, person: Integers, block: Integers, parameters: Parameters) -> Integers:
        """Return the group as whom each person acts in each block."""
        groups = self.table[["group_before", "group_after"]].to_numpy()
        return groups[person, self.period(block, parameters)]


@dataclass(frozen=True)
class Devices:
    """All devices; a device is a row number."""

    table: pd.DataFrame  # one row per device: device_id, kind, use (own, household, kiosk, ring, dormitory)
    of_person: Integers  # (people, 3), device numbers; a person with fewer repeats the first


def draw_people(
    parameters: Parameters, groups: np.random.Generator, random: np.random.Generator, ids: np.random.Generator
) -> People:
    """Draw everybody. Groups come from their own stream, so that nothing else can echo them."""
    before, after = _draw_groups(parameters, groups)
    table = pd.DataFrame({"group_before": before, "group_after": after})
    table["value"] = random.lognormal(0, parameters.value_sigma, parameters.users)
    table["activity"] = random.gamma(
        parameters.activity_shape, 1 / parameters.activity_shape, parameters.users
    )
    table["price_sensitivity"] = _draw_sensitivity(before, random)
    table["is_chinese"] = random.random(parameters.users) < parameters.chinese_share
    table = table.assign(**_draw_lifetimes(parameters, random), **_draw_accounts(parameters, random))
    table = table.assign(**_draw_identifiers(table["is_chinese"].to_numpy(), random, ids))
    table.loc[~table["is_registered"], "customer_id"] = None
    taste = _draw_tastes(before, after, parameters, random)
    return People(table, taste, _draw_wishes(taste[0], random))


def _draw_groups(parameters: Parameters, random: np.random.Generator) -> tuple[Integers, Integers]:
    """Return everybody's group before and after; who drifts goes to any other group."""
    shares = np.array([group.share for group in GROUPS])
    before = random.choice(len(GROUPS), parameters.users, p=shares)
    drifts = random.random(parameters.users) < parameters.drift_share
    step = random.integers(1, len(GROUPS), parameters.users)
    return before, np.where(drifts, (before + step) % len(GROUPS), before)


def _draw_sensitivity(group: Integers, random: np.random.Generator) -> Floats:
    mean = np.array([each.price_sensitivity for each in GROUPS])[group]
    return random.beta(mean * BETA_CONCENTRATION, (1 - mean) * BETA_CONCENTRATION)


def _draw_lifetimes(parameters: Parameters, random: np.random.Generator) -> dict[str, Floats]:
    """Return the days, counted from the start, on which people begin and cease to come."""
    users = parameters.users
    here = random.random(users) < parameters.present_at_start
    arrival = np.where(here, -random.uniform(1, 365, users), random.uniform(0, parameters.days, users))
    # Whoever was here at the start stays from then on; an exponential has no memory.
    leave = np.maximum(arrival, 0) + random.exponential(parameters.mean_stay_days, users)
    return {"arrival_day": arrival, "leave_day": leave}


def _draw_accounts(
    parameters: Parameters, random: np.random.Generator
) -> dict[str, Floats | Flags | Integers]:
    users = parameters.users
    return {
        "is_registered": random.random(users) >= parameters.never_registers,
        "days_to_register": random.exponential(parameters.days_to_register, users),
        "has_marketing_consent": random.random(users) < parameters.marketing_consent,
        "has_profiling_consent": random.random(users) < parameters.profiling_consent,
        "country": random.choice(4, users, p=(0.85, 0.08, 0.04, 0.03)),
        "change_day": np.where(
            random.random(users) < parameters.profile_changes,
            random.uniform(0, parameters.days, users),
            np.inf,
        ),
    }


def _draw_identifiers(
    is_chinese: Flags, random: np.random.Generator, ids: np.random.Generator
) -> dict[str, list[str]]:
    """Return made-up identities; addresses end in example.com, which nobody can own."""
    numbers = ids.choice(90_000_000, len(is_chinese), replace=False) + 10_000_000
    names = random.integers(20, size=(len(is_chinese), 2))
    phones = ids.integers(80_000_000, 99_999_999, len(is_chinese))
    full_names = [
        LAST_NAMES["zh"][last] + FIRST_NAMES["zh"][first]
        if chinese
        else f"{FIRST_NAMES['en'][first]} {LAST_NAMES['en'][last]}"
        for chinese, (first, last) in zip(is_chinese, names, strict=True)
    ]
    return {
        "customer_id": [f"C{number}" for number in numbers],
        "full_name": full_names,
        "email": [f"user{number * 7 % 99_999_989}@example.com" for number in numbers],
        "phone": [f"+65 {str(number)[:4]} {str(number)[4:]}" for number in phones],
    }


def _draw_tastes(
    before: Integers, after: Integers, parameters: Parameters, random: np.random.Generator
) -> Floats:
    """Return shares of categories, (2, people, categories); only who drifts gets a new taste."""
    names = [category.name for category in CATEGORIES]
    weights = np.array(
        [[2.0 if name in group.favourite_categories else 1.0 for name in names] for group in GROUPS]
    )
    weights = weights / weights.sum(axis=1, keepdims=True) * parameters.taste_concentration
    first, second = (_dirichlet(weights[group], random) for group in (before, after))
    return np.stack([first, np.where((before == after)[:, None], first, second)])


def _dirichlet(alpha: Floats, random: np.random.Generator) -> Floats:
    drawn = random.standard_gamma(alpha) + 1e-9
    return drawn / drawn.sum(axis=1, keepdims=True)


def draw_category(taste: Floats, random: np.random.Generator) -> Integers:
    """Draw one category per row of shares."""
    return (random.random(len(taste))[:, None] > np.cumsum(taste, axis=1)[:, :-1]).sum(axis=1)


def _draw_wishes(taste: Floats, random: np.random.Generator) -> Integers:
    lists = []
    for _ in range(3):
        noun = draw_category(taste, random) * NOUNS_PER_CATEGORY + random.integers(
            NOUNS_PER_CATEGORY, size=len(taste)
        )
        lists.append(noun * PRODUCTS_PER_NOUN + random.integers(PRODUCTS_PER_NOUN, size=len(taste)))
    return np.stack(lists, axis=1)


def draw_devices(
    people: People, parameters: Parameters, random: np.random.Generator, ids: np.random.Generator
) -> Devices:
    """Give everybody one to three devices; some households share one, and kiosks serve all."""
    count = 1 + (random.random(len(people)) < parameters.second_device).astype(np.int64)
    count += (count == 2) & (random.random(len(people)) < parameters.third_device / parameters.second_device)
    first = np.concatenate([[0], np.cumsum(count)[:-1]])
    slot = np.arange(MAXIMUM_DEVICES)
    of_person = first[:, None] + np.where(slot < count[:, None], slot, 0)
    own = int(count.sum())
    use = ["own"] * own + ["kiosk"] * parameters.kiosks
    for guest, host in _draw_households(parameters, random):
        of_person[guest, 0] = of_person[host, 0]
        use[of_person[host, 0]] = "household"
    kinds = random.choice(len(DEVICE_KINDS), len(use), p=(0.35, 0.35, 0.30))
    table = pd.DataFrame({"use": use, "kind": kinds, "device_id": device_ids(len(use), ids)})
    return Devices(table, of_person)


def _draw_households(parameters: Parameters, random: np.random.Generator) -> Integers:
    pairs = int(parameters.users * parameters.household_share)
    return random.permutation(parameters.users)[: 2 * pairs].reshape(-1, 2)


def device_ids(count: int, ids: np.random.Generator) -> list[str]:
    """Return random ids of 48 bits; two alike among a million have odds of 1 to 560."""
    return [f"D{number:012x}" for number in ids.integers(0, 2**48, count)]


def customer_rows(people: People, parameters: Parameters) -> pd.DataFrame:
    """Return the customers' file: a row at registration, another when the profile changes.

    ``seconds`` is the moment of the row's version, counted from the start of the first day;
    accounts older than that are delivered on the first day.
    """
    known = people.table[people.table["is_registered"] & (registered_day(people) < parameters.days)]
    registered = registered_day(people)[known.index]
    opened = known.assign(registered=registered * SECONDS_PER_DAY, seconds=registered * SECONDS_PER_DAY)
    changes = known["change_day"].to_numpy() > registered
    changed = opened[changes & (known["change_day"] < parameters.days)].copy()
    changed["seconds"] = changed["change_day"] * SECONDS_PER_DAY
    changed["has_marketing_consent"] = ~changed["has_marketing_consent"].astype(bool)
    rows = pd.concat([opened, changed], ignore_index=True)
    rows["country"] = np.array((COUNTRY, *OTHER_COUNTRIES))[rows["country"]]
    rows["language"] = np.array(LANGUAGES)[rows["is_chinese"].astype(int)]
    return rows


def registered_day(people: People) -> Floats:
    """Return the day, counted from the start, on which each account is opened; inf for no account."""
    table = people.table
    day = table["arrival_day"].to_numpy() + table["days_to_register"].to_numpy()
    # Whoever came before the start and has an account opened it before the start.
    day = np.where(table["arrival_day"] < 0, np.minimum(day, -0.01), day)
    return np.where(table["is_registered"], day, np.inf)


def alive_share(people: People, parameters: Parameters) -> Floats:
    """Return the share of each block in which each person comes at all, (people, blocks)."""
    start = np.arange(parameters.blocks) * BLOCK_DAYS
    end = np.minimum(start + BLOCK_DAYS, parameters.days)
    arrival = people.table["arrival_day"].to_numpy()[:, None]
    leave = people.table["leave_day"].to_numpy()[:, None]
    days = np.minimum(end, leave) - np.maximum(start, arrival)
    return np.clip(days, 0, BLOCK_DAYS) / BLOCK_DAYS

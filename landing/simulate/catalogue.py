"""The catalogue: ten categories of eight kinds of product, five products of each kind."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from landing.simulate.parameters import GROUPS, Floats, Integers, Parameters
from landing.simulate.words import CATEGORIES, QUERIES

NOUNS = tuple(noun for category in CATEGORIES for noun in category.nouns)
NOUNS_PER_CATEGORY = len(CATEGORIES[0].nouns)
PRODUCTS_PER_NOUN = 5
LANGUAGES = ("en", "zh")


@dataclass(frozen=True)
class Catalogue:
    """Products and the tables that choosing needs. A product's number // 5 is its kind's number."""

    products: pd.DataFrame  # one row per product, in order of its number
    price_cents: Integers  # (blocks, products), the list price in each fortnight
    choice: Floats  # (groups, nouns, 5), cumulative probability of each product within its kind
    popularity: Floats  # (products,), sums to 1; what the recommendation slot shows by
    queries: tuple[str, ...]  # (nouns × languages × templates), row-major

    def query(self, noun: Integers, language: Integers, template: Integers) -> Integers:
        """Return positions in ``queries``."""
        per_language = len(QUERIES["en"])
        return (noun * len(LANGUAGES) + language) * per_language + template


def draw_catalogue(
    parameters: Parameters, random: np.random.Generator, ids: np.random.Generator
) -> Catalogue:
    """Name, price and rank every product."""
    products = _draw_products(parameters, random)
    products["product_id"] = [f"P{number}" for number in ids.permutation(90_000)[: len(products)] + 10_000]
    prices = _draw_prices(products["base_cents"].to_numpy(), parameters, random)
    return Catalogue(
        products=products,
        price_cents=prices,
        choice=_choice_by_group(products),
        popularity=(products["weight"] / products["weight"].sum()).to_numpy(),
        queries=_all_queries(),
    )


def _draw_products(parameters: Parameters, random: np.random.Generator) -> pd.DataFrame:
    rows = []
    for noun_number, (noun, noun_zh, price) in enumerate(NOUNS):
        category = CATEGORIES[noun_number // NOUNS_PER_CATEGORY]
        brands = np.append(random.permutation(len(category.brands)), random.integers(len(category.brands)))
        for position, (adjective, adjective_zh) in enumerate(category.adjectives):
            brand = int(brands[position])
            is_chinese = brand == len(category.brands) - 1
            name = category.brands[brand]
            rows.append(
                {
                    "noun": noun_number,
                    "category": category.name,
                    "brand": name,
                    "title": f"{name} {adjective_zh}{noun_zh}"
                    if is_chinese
                    else f"{name} {adjective} {noun}",
                    "description": f"{adjective.capitalize()} {noun}. {adjective_zh}{noun_zh}。",
                    "usual_cents": price * category.price_level[brand] * 100,
                }
            )
    products = pd.DataFrame(rows)
    count = len(products)
    spread = random.lognormal(0, 0.15, count)
    products["base_cents"] = _to_ninety(products.pop("usual_cents").to_numpy() * spread)
    products["weight"] = random.lognormal(0, 0.9, count)  # a few bestsellers, a long tail
    products["quality"] = random.normal(0, 0.5, count)
    products["launch_day"] = _launch_days(count, parameters, random)
    return products


def _launch_days(count: int, parameters: Parameters, random: np.random.Generator) -> Integers:
    later = random.random(count) < parameters.launched_later
    later[::PRODUCTS_PER_NOUN] = False  # the first of each kind stands in for those yet to come
    return np.where(later, random.integers(14, max(15, parameters.days - 14), count), 0)


def _to_ninety(cents: Floats | Integers) -> Integers:
    """Round to prices that end in .90, the shop's habit."""
    whole: Integers = np.maximum(np.round(cents / 100), 2).astype(np.int64)
    return whole * 100 - 10


def _draw_prices(base: Integers, parameters: Parameters, random: np.random.Generator) -> Integers:
    shape = (parameters.blocks, len(base))
    changed = random.random(shape) < parameters.price_changes
    steps = np.where(changed, random.choice((1 / 1.12, 1.12), shape), 1.0)
    steps[0] = 1.0
    return _to_ninety(base * np.cumprod(steps, axis=0))


def _choice_by_group(products: pd.DataFrame) -> Floats:
    """Within a kind: by popularity, tilted towards cheap or dear by the group."""
    shape = (len(NOUNS), PRODUCTS_PER_NOUN)
    weight = products["weight"].to_numpy().reshape(shape)
    price = products["base_cents"].to_numpy().reshape(shape)
    relative = price / price.mean(axis=1, keepdims=True)
    tilt = np.array([group.price_tilt for group in GROUPS])[:, None, None]
    chosen = weight * relative**tilt  # (nouns, 5) -> (groups, nouns, 5)
    return np.cumsum(chosen / chosen.sum(axis=2, keepdims=True), axis=2)


def _all_queries() -> tuple[str, ...]:
    return tuple(
        _query(number, language, template)
        for number in range(len(NOUNS))
        for language in LANGUAGES
        for template in QUERIES[language]
    )


def _query(number: int, language: str, template: str) -> str:
    category = CATEGORIES[number // NOUNS_PER_CATEGORY]
    is_chinese = language == "zh"
    adjective = category.adjectives[number % len(category.adjectives)][is_chinese]
    brand = category.brands[number % len(category.brands)].lower()
    return template.format(noun=NOUNS[number][is_chinese], adjective=adjective, brand=brand)

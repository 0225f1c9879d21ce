"""Every number of the simulated shop, with the reason why it is this number.

The parameters are frozen: recovery results of different days are only comparable
while they stay. Changing one is a decision, written down with before and after in
``docs/simulated-shop.md``.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

BLOCK_DAYS = 14
"""Totals are drawn per person and block, then arranged inside the block: what the dial
order_signal moves never leaves its fortnight, so totals, labels and offers' effects stay."""

UTC_OFFSET_SECONDS = 8 * 3600
"""The shop is in Singapore: English and Chinese are both at home, and there is no summer time."""

TIME_ZONE, CURRENCY, COUNTRY = "Asia/Singapore", "SGD", "Singapore"

SECONDS_PER_DAY = 86_400

EVENT_TYPES = ("browse", "search", "view", "click", "favourite", "cart", "uncart", "checkout")
BROWSE, SEARCH, VIEW, CLICK, FAVOURITE, CART, UNCART, CHECKOUT = range(len(EVENT_TYPES))


@dataclass(frozen=True)
class Group:
    """What sets one behaviour group apart.

    The first half moves totals: counts, amounts, tastes. Visits and views, of which there
    are many, barely differ; orders, of which there are few, differ much. So plain totals
    know a group only roughly. The second half is order and rhythm, and counts only as far
    as ``order_signal`` says.
    """

    name: str
    share: float  # of all people
    visits_per_week: float  # nearly equal on purpose: visits are plentiful and would tell too much
    conversion: float  # share of visits that end in an order, before personal value
    lines_per_order: float
    pieces_per_line: float
    price_tilt: float  # exponent of relative price when choosing among like products
    price_sensitivity: float  # mean of a Beta(4); decides who waits for discounts
    return_share: float  # of order lines, before the category's own factor
    holiday_pull: float  # exponent on the calendar's holiday factor
    favourite_categories: tuple[str, ...]  # twice the weight of the others
    abandon_factor: float  # on carts left behind

    # Where in a visit each kind of event tends to stand, 0 first, 1 last:
    # browse, search, view, click, favourite, cart.
    places: tuple[float, float, float, float, float, float]
    stay: float  # 1 = finishes one kind of product before the next, 0 = hops
    gap_seconds: float  # median pause between two events of a visit
    peak_hours: tuple[int, ...]
    weekend_factor: float
    spacing: str  # steady, bursty or free: how a fortnight's visits lie to each other


GROUPS = (
    Group(
        name="regulars",
        share=0.22,
        visits_per_week=0.78,
        conversion=0.3,
        lines_per_order=2.0,
        pieces_per_line=1.3,
        price_tilt=0.0,
        price_sensitivity=0.35,
        return_share=0.06,
        holiday_pull=0.5,
        favourite_categories=("grocery", "home", "beauty"),
        abandon_factor=0.8,
        places=(0.8, 0.05, 0.3, 0.9, 0.9, 0.55),
        stay=0.9,
        gap_seconds=20,
        peak_hours=(8, 18),
        weekend_factor=0.6,
        spacing="steady",
    ),
    Group(
        name="bargain_hunters",
        share=0.2,
        visits_per_week=0.82,
        conversion=0.21,
        lines_per_order=2.2,
        pieces_per_line=1.3,
        price_tilt=-0.8,
        price_sensitivity=0.7,
        return_share=0.09,
        holiday_pull=1.2,
        favourite_categories=("fashion", "home", "toys"),
        abandon_factor=1.4,
        places=(0.1, 0.85, 0.6, 0.15, 0.25, 0.35),
        stay=0.2,
        gap_seconds=40,
        peak_hours=(21, 22),
        weekend_factor=1.0,
        spacing="bursty",
    ),
    Group(
        name="researchers",
        share=0.2,
        visits_per_week=0.85,
        conversion=0.07,
        lines_per_order=1.3,
        pieces_per_line=1.0,
        price_tilt=0.3,
        price_sensitivity=0.45,
        return_share=0.05,
        holiday_pull=0.5,
        favourite_categories=("electronics", "sports", "books"),
        abandon_factor=1.1,
        places=(0.6, 0.1, 0.3, 0.5, 0.85, 0.95),
        stay=0.0,
        gap_seconds=110,
        peak_hours=(14, 15),
        weekend_factor=1.8,
        spacing="bursty",
    ),
    Group(
        name="impulse_buyers",
        share=0.15,
        visits_per_week=0.75,
        conversion=0.24,
        lines_per_order=1.3,
        pieces_per_line=1.1,
        price_tilt=0.2,
        price_sensitivity=0.3,
        return_share=0.15,
        holiday_pull=0.8,
        favourite_categories=("fashion", "beauty", "electronics"),
        abandon_factor=1.0,
        places=(0.15, 0.95, 0.55, 0.05, 0.7, 0.25),
        stay=0.4,
        gap_seconds=12,
        peak_hours=(0, 23),
        weekend_factor=1.3,
        spacing="free",
    ),
    Group(
        name="gift_buyers",
        share=0.13,
        visits_per_week=0.72,
        conversion=0.13,
        lines_per_order=2.0,
        pieces_per_line=1.4,
        price_tilt=0.2,
        price_sensitivity=0.4,
        return_share=0.07,
        holiday_pull=3.0,
        favourite_categories=("toys", "books", "grocery"),
        abandon_factor=0.9,
        places=(0.05, 0.2, 0.7, 0.3, 0.4, 0.85),
        stay=0.6,
        gap_seconds=60,
        peak_hours=(12, 13),
        weekend_factor=0.8,
        spacing="bursty",
    ),
    Group(
        name="big_baskets",
        share=0.1,
        visits_per_week=0.78,
        conversion=0.13,
        lines_per_order=5.0,
        pieces_per_line=2.0,
        price_tilt=0.3,
        price_sensitivity=0.35,
        return_share=0.05,
        holiday_pull=0.4,
        favourite_categories=("grocery", "baby", "garden"),
        abandon_factor=0.7,
        places=(0.9, 0.6, 0.45, 0.8, 0.1, 0.4),
        stay=0.8,
        gap_seconds=75,
        peak_hours=(10, 11),
        weekend_factor=2.2,
        spacing="steady",
    ),
)

NEUTRAL_PLACES = (0.15, 0.30, 0.50, 0.45, 0.60, 0.70)  # everybody's, at order_signal 0
NEUTRAL_GAP_SECONDS = 40.0
NEUTRAL_STAY = 0.4
PLACE_NOISE = 0.20  # spread of an event around its place: orders overlap between groups even at 1
SPACING_STRENGTH = 0.8  # share of visits that follow their group's spacing at order_signal 1
PEAK_STRENGTH = 0.6  # share of visits in the group's peak hours at order_signal 1

# Visits per hour of day for everybody: asleep until six, a lunch hill, an evening mountain.
NEUTRAL_HOURS = (2, 1, 1, 1, 1, 1, 2, 3, 4, 4, 5, 5, 6, 6, 5, 5, 5, 5, 6, 7, 8, 8, 6, 4)


@dataclass(frozen=True)
class Offer:
    """An offer, and how it moves the probability of an order within its fortnight."""

    code: str
    percent: float  # off the order
    cents: int  # off the order
    free_shipping: bool
    slope: float  # effect = slope × (price_sensitivity - pivot) …
    pivot: float  # … below which mail annoys


OFFERS = (
    Offer("SAVE10", percent=0.10, cents=0, free_shipping=False, slope=0.35, pivot=0.30),
    Offer("FREESHIP", percent=0.0, cents=0, free_shipping=True, slope=0.20, pivot=0.35),
    Offer("GIFT5", percent=0.0, cents=500, free_shipping=False, slope=0.28, pivot=0.30),
)

ANNOYANCE = 3.0  # factor on negative effects: they only reach those who would have bought, who are few


@dataclass(frozen=True)
class Holiday:
    """A stretch of days with more visits and orders than usual."""

    name: str
    month: int
    day: int
    days_before: int
    factor: float


HOLIDAYS = (
    Holiday("Lunar New Year", 1, 29, 12, 1.8),
    Holiday("Mother's Day", 5, 11, 8, 1.5),
    Holiday("Mid-year sale", 6, 18, 5, 1.6),
    Holiday("National Day", 8, 9, 4, 1.3),
    Holiday("Singles' Day", 11, 11, 4, 2.0),
    Holiday("Christmas", 12, 25, 18, 1.9),
)


@dataclass(frozen=True)
class Parameters:
    """What one simulated shop is made from; the first four are the command's options."""

    users: int = 5_000
    days: int = 240
    seed: int = 7
    order_signal: float = 0.5
    start: date = date(2025, 1, 1)  # fixed, so that bytes do not depend on the day of the run

    # people
    present_at_start: float = 0.45  # the others arrive evenly over the days
    mean_stay_days: float = 400.0  # exponential; recency can then tell who has left
    activity_shape: float = 3.0  # Gamma shape of personal visit rate: spread 58 % of the mean
    value_sigma: float = 0.6  # log-normal spread of latent personal value
    value_on_conversion: float = 0.7  # exponents with which value acts on whether people buy …
    value_on_basket: float = 0.6  # … and on how much: future spend is predictable, and noisy
    taste_concentration: float = 8.0  # Dirichlet; own taste outweighs the group's
    chinese_share: float = 0.30
    never_registers: float = 0.08
    days_to_register: float = 10.0  # mean after arrival; earlier visits are anonymous
    marketing_consent: float = 0.80
    profiling_consent: float = 0.90
    profile_changes: float = 0.05  # share of customers who change consent or country once

    # drift
    drift_day: int | None = None  # None: the block start nearest to 60 % of the days
    drift_share: float = 0.12  # of all people change group on that day; 0 = a run without drift

    # devices
    second_device: float = 0.45
    third_device: float = 0.10
    main_device: float = 0.75  # share of visits on the first device
    household_share: float = 0.03  # of people use another person's first device as their own
    kiosks: int = 4  # devices in the shop that everybody may use …
    kiosk_visits: float = 0.003  # … for this share of visits
    logged_in: float = 0.70  # of registered people's visits without an order
    login_recorded: float = 0.10  # of later log-ins on a known device that write a link again

    # a visit
    browses: float = 0.6
    searches: float = 0.8
    views: float = 2.6  # beyond the first
    favourites: float = 0.30
    carts_left: float = 0.35
    uncart: float = 0.40  # of carts left are taken out again
    checkout_left: float = 0.25  # of visits with a cart left reach the checkout
    in_focus: float = 0.60  # of products looked at are of the kind the visit is about
    wished: float = 0.15  # of products looked at come from a personal list of three
    pause_sigma: float = 0.7  # log-normal spread of pauses
    longest_pause: int = 1_500  # seconds; a visit stays one session of 30 minutes' gap
    exposed: float = 0.20  # of visits show a recommendation slot
    slot_size: int = 4
    click_rate: float = 0.20  # at position 1; divided by the position
    click_taste_factor: float = 2.0  # for a product of one's first category

    # orders
    promotion: float = 0.5  # × price_sensitivity = probability of waiting for a promotion
    promotion_percent: float = 0.15
    shipping_cents: int = 490
    free_shipping_from_cents: int = 6_000
    payment_fails: float = 0.025  # such an order is cancelled the day after
    retry: float = 0.04  # of payments succeed at the second attempt
    price_changes: float = 0.03  # of products per block, by ±12 %
    launched_later: float = 0.15  # of products
    reviewed: float = 0.14  # of order lines
    ticket_per_order: float = 0.06
    ticket_with_contact: float = 0.15  # of tickets carry an e-mail address or phone number to mask

    # campaigns
    first_campaign_block: int = 3
    blocks_between_campaigns: int = 4
    reach: float = 0.80  # of registered people with consent
    treated: float = 0.50  # of the reached
    campaign_click: float = 0.25  # of treated visits begin with a click on the message

    # fraud
    rings_per_1000_users: float = 1.2
    look_alikes_per_1000_users: float = 1.6
    ring_members: tuple[int, int] = (4, 8)
    ring_orders: int = 3  # per member, within two days
    charged_back: float = 0.7

    # deliveries
    late: float = 0.010  # of events, payments and refunds arrive in a later day's file
    dirt: float = 0.0009  # per kind and row of a table; about eight kinds per table
    dirty_rows_per_file: float = 0.02  # never more, so that no file nears the contract's 5 %

    def __post_init__(self) -> None:
        if self.users < 50:
            raise ValueError(f"users {self.users} is too few for six groups: use 50 or more")
        if self.days < 2 * BLOCK_DAYS:
            raise ValueError(f"days {self.days} is too short: use {2 * BLOCK_DAYS} or more")
        for name in ("order_signal", "drift_share"):
            if not 0 <= (value := getattr(self, name)) <= 1:
                raise ValueError(f"{name} {value} is outside 0 to 1")

    @property
    def blocks(self) -> int:
        """Fortnights begun."""
        return -(-self.days // BLOCK_DAYS)

    @property
    def drift_block(self) -> int:
        """The first block in which drifted people act as their new group."""
        day = 0.6 * self.days if self.drift_day is None else self.drift_day
        return round(day / BLOCK_DAYS)


STREAMS = (
    "catalogue",
    "groups",
    "people",
    "devices",
    "totals",
    "orders",
    "campaigns",
    "fraud",
    "events",
    "order",
    "rhythm",
    "voices",
    "ids",
    "row_ids",
    "late",
    "dirt",
    "shuffle",
)


def open_streams(seed: int) -> dict[str, np.random.Generator]:
    """Return one independent random stream per concern.

    A change in how one concern draws then shifts no other. Append new names at the end.
    """
    children = np.random.SeedSequence(seed).spawn(len(STREAMS))
    return {name: np.random.default_rng(child) for name, child in zip(STREAMS, children, strict=True)}

"""What leaves the company betrays no group of fewer than ten, not by sums and not by comparing weeks."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.optimize import linprog

from ml.segments import NAMES
from serving import facts, groups
from settings import ShopPaths

MONDAY = date(2026, 3, 2)
LEAST = groups.LEAST
Placed = dict[str, dict[str, str]]
"""By scheme and user: the segment."""


class Releases:
    """A shop that publishes a snapshot a week; the money of a segment is ten times its users."""

    def __init__(self, paths: ShopPaths, connection: duckdb.DuckDBPyConnection) -> None:
        self.paths, self.connection = paths, connection
        self.weeks: list[Placed] = []

    def publish(self, placed: Placed, day: date | None = None) -> date:
        day = day or MONDAY + timedelta(weeks=len(self.weeks))
        rows = [
            (day, user, scheme, code, code.title(), "名")
            for scheme in placed
            for user, code in placed[scheme].items()
        ]
        names = ("as_of_date", "user_key", "scheme", "segment_code", "segment_name_en", "segment_name_zh")
        self.connection.register(
            "members", pa.table({name: [row[at] for row in rows] for at, name in enumerate(names)})
        )
        self.connection.execute("create or replace table published.bi.user_segment_daily as from members")
        profiles = [(day, scheme, *row) for scheme, users in placed.items() for row in profiled(users)]
        self.connection.execute(
            "create or replace table published.bi.segment_profile_daily (as_of_date date, scheme varchar, "
            "segment_code varchar, segment_name_en varchar, segment_name_zh varchar, users bigint, "
            "net_revenue_amount decimal(18, 2))"
        )
        self.connection.executemany(
            "insert into published.bi.segment_profile_daily values (?, ?, ?, ?, '名', ?, ?)", profiles
        )
        folder = facts.folder(self.paths, day)
        folder.mkdir(parents=True)
        self.connection.execute(
            f"copy published.bi.user_segment_daily to '{folder / 'user_segment_daily.parquet'}'"
        )
        groups.release(self.connection, self.paths, day, f"{len(self.weeks)}")
        self.weeks.append(placed)
        return day

    def restate(self, placed: Placed, day: date, version: str) -> None:
        """Tell a published day anew, of who is in which segment alone."""
        part = facts._new_part(self.paths, day)
        rows = [(scheme, user, code) for scheme in placed for user, code in placed[scheme].items()]
        told = {
            name: [row[at] for row in rows] for at, name in enumerate(("scheme", "user_key", "segment_code"))
        }
        pq.write_table(pa.table(told), part / "user_segment_daily.parquet")
        facts._take_place(self.paths, day, part, {"version": version})

    def released(self, table: str = "segment_weekly") -> list[dict[str, Any]]:
        groups.write_database(self.connection, self.paths, self.paths.root)
        with duckdb.connect(str(self.paths.root / groups.DATABASE), read_only=True) as connection:
            rows = connection.execute(f"select * from bi.{table} order by all").fetchall()
            columns = [name for name, *_ in connection.execute(f"describe bi.{table}").fetchall()]
        (self.paths.root / groups.DATABASE).unlink()
        return [dict(zip(columns, row, strict=True)) for row in rows]

    def users(self, code: str) -> list[int]:
        return [row["users"] for row in self.released() if row["segment_code"] == code]


def profiled(users: dict[str, str]) -> list[tuple[str, str, int, float]]:
    """Return a scheme's profiles as dbt folds them."""
    sizes = sorted(Counter(users.values()).items(), key=lambda one: (one[1], one[0]))
    small = [size for _, size in sizes if size < LEAST]
    taken = len(small) + (0 < sum(small) < LEAST)
    told = [(code, size) for code, size in sizes[taken:]]
    if taken:
        told.append((groups.OTHER, sum(size for _, size in sizes[:taken])))
    return [(code, code.title(), size, 10.0 * size) for code, size in told]


@pytest.fixture
def releases(data_dir: Path) -> Iterator[Releases]:
    with duckdb.connect() as connection:
        connection.execute(
            f"attach '{data_dir / 'published.duckdb'}' as published; create schema published.bi"
        )
        yield Releases(ShopPaths("tiny"), connection)


def crowd(**sizes: int) -> dict[str, str]:
    codes = [code for code, size in sizes.items() for _ in range(size)]
    return {f"u{number}": code for number, code in enumerate(codes)}


def test_small_segments_are_folded_and_figures_are_coarse(releases: Releases) -> None:
    releases.publish({"rfm": crowd(loyal=123, new=41, lost=13, rare=4)})
    rows = {row["segment_code"]: row for row in releases.released()}
    assert {code: row["users"] for code, row in rows.items()} == {"loyal": 125, "new": 40, "_other": 15}
    assert rows["loyal"]["net_revenue_amount"] == 1230 and rows["_other"]["net_revenue_amount"] == 170
    assert rows["_other"]["is_folded"] and not rows["loyal"]["is_folded"]
    assert "user_key" not in rows["loyal"] and not set(groups.INSIDE) & set(rows["loyal"])


def test_scheme_of_a_handful_tells_nothing(releases: Releases) -> None:
    releases.publish({"rfm": crowd(loyal=5, new=4)})
    assert releases.released() == []


def test_figure_moves_once_ten_have_come_or_gone(releases: Releases) -> None:
    placed = crowd(loyal=60, new=60)
    for moved in range(12):
        releases.publish(
            {"rfm": {user: "new" if int(user[1:]) < moved else code for user, code in placed.items()}}
        )
    assert releases.users("loyal") == [60] * 10 + [50, 50]
    assert releases.users("new") == [60] * 10 + [70, 70]


def test_members_who_swap_count_though_their_number_stays(releases: Releases) -> None:
    placed = crowd(loyal=62, new=62)
    releases.publish({"rfm": placed})
    swapped = (
        placed
        | {f"u{number}": "new" for number in range(4)}
        | {f"u{62 + number}": "loyal" for number in range(3)}
    )
    releases.publish({"rfm": swapped})
    assert releases.users("loyal") == [60, 60]
    last = groups._rows(groups._files(releases.paths)[-1:])
    assert {row["shown_as_of"] for row in last} == {MONDAY}


def test_figure_of_a_day_that_was_restated_still_changes_by_ten(releases: Releases) -> None:
    """The figure is about those who were there when it was told, not about those of whom it is said today."""
    placed = crowd(loyal=60, new=60)
    releases.publish({"rfm": placed})
    releases.restate({"rfm": placed | {f"u{number}": "new" for number in range(20)}}, MONDAY, "1")
    releases.publish({"rfm": placed | {f"u{number}": "new" for number in range(4)}})
    assert releases.users("loyal") == [60, 60]
    # Of releases that did not note their version the first telling counts, as a week is released with it.
    for file in groups._files(releases.paths):
        pq.write_table(pq.read_table(file).drop_columns("shown_version"), file)
    releases.publish({"rfm": placed | {f"u{number}": "new" for number in range(9)}})
    releases.publish({"rfm": placed | {f"u{number}": "new" for number in range(10)}})
    assert releases.users("loyal") == [60, 60, 60, 50]


@pytest.mark.parametrize("between", [{"value": crowd(top=62)}, {"rfm": crowd(loyal=4, new=58)}])
def test_cell_that_was_not_told_for_a_while_still_changes_by_ten(
    releases: Releases, between: dict[str, dict[str, str]]
) -> None:
    """Its scheme was absent, or it was folded."""
    releases.publish({"rfm": crowd(loyal=62)})
    releases.publish(between)
    releases.publish({"rfm": crowd(loyal=63)})
    assert releases.users("loyal") == [60, 60]


def test_week_is_released_once_and_never_a_past_one(releases: Releases) -> None:
    releases.publish({"rfm": crowd(loyal=60)})
    releases.publish({"rfm": crowd(loyal=90)}, MONDAY + timedelta(days=3))
    releases.publish({"rfm": crowd(loyal=90)}, MONDAY - timedelta(days=7))
    assert releases.users("loyal") == [60]
    releases.publish({"rfm": crowd(loyal=90)}, MONDAY + timedelta(days=7))
    assert releases.users("loyal") == [60, 90]


def test_segments_are_explained_by_the_vocabulary_and_only_where_they_are_told(releases: Releases) -> None:
    """Whoever reads that a segment exists knows no more than its figures say; a folded one has no row."""
    releases.publish({"rfm": crowd(champions=60, not_bought=90, new_small_buyers=4), "value": crowd(high=5)})
    with NAMES.open(encoding="utf-8", newline="") as file:
        words = {(row["scheme"], row["segment_code"]): row for row in csv.DictReader(file)}
    told = releases.released("segment_meaning")
    assert [row["segment_code"] for row in told] == ["not_bought"]  # the others are told together
    for row in told:
        assert row.items() <= words[row["scheme"], row["segment_code"]].items()
    # Other members, the same words: what is told of ten more is a figure, never a description.
    releases.publish({"rfm": crowd(champions=70, not_bought=110, new_small_buyers=4)})
    assert releases.released("segment_meaning") == told


def test_significant_digits_keep_the_sign() -> None:
    assert [groups.significant(Decimal(each)) for each in ("0.4", "999.6", "-1234567")] == [0, 1000, -1230000]


class Attack:
    """What whoever knows the rules can find out: the least and the most that each hidden number may be.

    The unknowns are the sizes of all segments in all weeks. A figure that is new bounds its cell by the
    rounding; one that stays also allows for nine who came or went. All schemes have equally many users.
    """

    def __init__(self, rows: list[dict[str, Any]], weeks: list[Placed], slack: int, hold: int) -> None:
        self.places: dict[tuple[int, str, str], int] = {}
        for week, placed in enumerate(weeks):
            for scheme, users in placed.items():
                for code in sorted(set(users.values())):
                    self.places[week, scheme, code] = len(self.places)
        self.upper: list[tuple[dict[int, float], float]] = []
        self.equal: list[dict[int, float]] = []
        shown: dict[tuple[str, str], int] = {}
        told = {(row["week"], row["scheme"], row["segment_code"]): row["users"] for row in rows}
        for week, placed in enumerate(weeks):
            before, shown = shown, {}
            for scheme, users in placed.items():
                codes = sorted(set(users.values()))
                seen = [code for code in codes if (MONDAY + timedelta(weeks=week), scheme, code) in told]
                cells = {code: [code] for code in seen}
                cells["_other"] = [code for code in codes if code not in seen]
                for cell, members in cells.items():
                    figure = told.get((MONDAY + timedelta(weeks=week), scheme, cell))
                    if figure is None:
                        continue
                    shown[scheme, cell] = figure
                    wide = slack + (hold if before.get((scheme, cell)) == figure else 0)
                    terms = {self.places[week, scheme, code]: 1.0 for code in members}
                    self.upper.append((terms, figure + wide))
                    self.upper.append((dict.fromkeys(terms, -1.0), wide - figure))
            first, *others = placed
            for scheme in others:
                terms = {self.places[week, scheme, code]: 1.0 for code in set(placed[scheme].values())}
                for code in set(placed[first].values()):
                    terms[self.places[week, first, code]] = -1.0
                self.equal.append(terms)

    def interval(self, terms: dict[int, float]) -> tuple[float, float]:
        """Return between what the sum of some unknowns lies."""
        count = len(self.places)

        def matrix(rows: list[dict[int, float]]) -> np.ndarray:
            result = np.zeros((len(rows), count))
            for at, row in enumerate(rows):
                for place, value in row.items():
                    result[at, place] = value
            return result

        goal = matrix([terms])[0]
        ends = []
        for sign in (1, -1):
            found = linprog(
                sign * goal,
                A_ub=matrix([row for row, _ in self.upper]),
                b_ub=[bound for _, bound in self.upper],
                A_eq=matrix(self.equal) if self.equal else None,
                b_eq=np.zeros(len(self.equal)) if self.equal else None,
                bounds=(0, None),
            )
            ends.append(sign * found.fun if found.status == 0 else sign * -np.inf)
        return ends[0], ends[1]

    def betrayed(self, weeks: list[Placed]) -> list[str]:
        """Name each group of one to nine that is known to be one: small segments, and small moves."""
        found = []
        for (week, scheme, code), place in self.places.items():
            members = {user for user, its in weeks[week][scheme].items() if its == code}
            low, high = self.interval({place: 1.0})
            if 0 < len(members) < LEAST and low > 0.5 and high < LEAST - 0.5:
                found.append(f"week {week}: {scheme} {code} has {low:.0f} to {high:.0f}")
            before = self.places.get((week - 1, scheme, code))
            if before is None:
                continue
            earlier = {user for user, its in weeks[week - 1][scheme].items() if its == code}
            low, high = self.interval({place: 1.0, before: -1.0})
            moved = (low > 0.5 and high < LEAST - 0.5) or (high < -0.5 and low > -LEAST + 0.5)
            if 0 < len(members ^ earlier) < LEAST and moved:
                found.append(f"week {week}: {scheme} {code} moved by {low:.0f} to {high:.0f}")
        return found


def wandering(seed: int, weeks: int = 5, users: int = 300) -> list[Placed]:
    """Draw users in three schemes, of whom a few move each week, and a few come."""
    random = np.random.default_rng(seed)
    shares = {"rfm": [0.6, 0.3, 0.08, 0.02], "value": [0.2, 0.75, 0.05], "lifecycle": [0.5, 0.5]}

    def draw(scheme: str) -> str:
        return f"{scheme}{random.choice(len(shares[scheme]), p=shares[scheme])}"

    now = {scheme: {f"u{number}": draw(scheme) for number in range(users)} for scheme in shares}
    told = []
    for week in range(weeks):
        told.append({scheme: dict(placed) for scheme, placed in now.items()})
        moving = random.choice(users, size=random.integers(1, 20), replace=False)
        coming = [f"w{week}-{number}" for number in range(random.integers(0, 4))]
        for scheme, placed in now.items():
            placed |= {user: draw(scheme) for user in (*(f"u{number}" for number in moving), *coming)}
    return told


@pytest.mark.parametrize("seed", range(3))
def test_attack_on_several_weeks_finds_no_small_group(releases: Releases, seed: int) -> None:
    weeks = wandering(seed)
    for placed in weeks:
        releases.publish(placed)
    rows = releases.released()
    assert Attack(rows, weeks, slack=2, hold=LEAST - 1).betrayed(weeks) == []


def test_the_same_attack_on_exact_figures_finds_small_groups() -> None:
    weeks = wandering(0)
    rows = [
        {
            "week": MONDAY + timedelta(weeks=week),
            "scheme": scheme,
            "segment_code": code,
            "users": list(placed[scheme].values()).count(code),
        }
        for week, placed in enumerate(weeks)
        for scheme in placed
        for code in set(placed[scheme].values())
    ]
    found = Attack(rows, weeks, slack=0, hold=0).betrayed(weeks)
    assert any("has" in one for one in found) and any("moved" in one for one in found)


def test_attack_finds_the_segment_that_a_fold_of_one_would_leave_open() -> None:
    """Whoever hides one small cell of a scheme tells it by the others: their sum is known elsewhere."""
    weeks = [{"rfm": crowd(loyal=60, rare=4), "value": crowd(high=30, low=34)}]
    rows = [
        {"week": MONDAY, "scheme": scheme, "segment_code": code, "users": size}
        for scheme, code, size in (("rfm", "loyal", 60), ("value", "high", 30), ("value", "low", 34))
    ]
    assert Attack(rows, weeks, slack=0, hold=0).betrayed(weeks) == ["week 0: rfm rare has 4 to 4"]

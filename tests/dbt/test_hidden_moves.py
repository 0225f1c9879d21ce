"""Tables of groups betray no few users: not by a row, nor by another table, day or scheme beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import product

import duckdb
import numpy as np
import pandas as pd
import pytest
from scipy.optimize import linprog

from serving.dashboard import folds
from settings import ShopPaths
from warehouse import dbt

LEAST = 10
CAUSES = ("behaviour", "model")
NOWHERE = ("NEW", "ABSENT")
MODEL = dbt.PROJECT / "models/marts/bi/segment_migration.sql"
SEEDS = range(40)

Ask = Callable[[pd.DataFrame], pd.DataFrame]
Move = tuple[str, str, str]
"""From where, to where, for which cause."""
COLUMNS = ["from_code", "to_code", "cause", "users"]


@dataclass(frozen=True)
class Scheme:
    """Segments of one scheme, and which of them each kind of user may be in."""

    name: str
    segments: tuple[str, ...]
    is_never_ordered: Callable[[str], bool]


FREE = Scheme("s", ("a", "b", "c", "d", "e"), lambda code: False)
RFM = Scheme(
    "rfm", ("not_bought", "champions", "new_small_buyers", "gone"), lambda code: code == "not_bought"
)
LIFECYCLE = Scheme(
    "lifecycle",
    ("aware", "interested", "purchased", "loyal"),
    lambda code: code in ("aware", "interested"),
)
JOINT = [
    (one, other)
    for one, other in product(RFM.segments, LIFECYCLE.segments)
    if RFM.is_never_ordered(one) == LIFECYCLE.is_never_ordered(other)
]
"""Where users may be in both schemes of rules: who has never ordered hasn't in either."""


def size(random: np.random.Generator, rare: float) -> int:
    kind = random.choice(3, p=[rare, 0.5, 0.5 - rare])
    return int((random.integers(1, LEAST), random.integers(LEAST, 50), 0)[kind])


def draw(seed: int) -> pd.DataFrame:
    """Return moves of one scheme: most users stay, some move, come and go; few moves are small."""
    random = np.random.default_rng(seed)
    rare = random.uniform(0.02, 0.3)
    rows = []
    for code in FREE.segments:
        rows.append((code, code, "none", int(random.choice([4, 15, 60, 400]))))
        for to in (*FREE.segments, "ABSENT"):
            for cause in ("none",) if to == "ABSENT" else CAUSES:
                if to != code:
                    rows.append((code, to, cause, size(random, rare)))
    if seed % 5 == 0:  # hardly anybody left
        rows = [row for row in rows if row[1] != "ABSENT"] + [("a", "ABSENT", "none", 3)]
    for code in FREE.segments:
        rows.append(("NEW", code, "none", size(random, rare)))
    return with_days(pd.DataFrame(rows, columns=COLUMNS).assign(scheme=f"s{seed}"))


def draw_in_two_schemes(seed: int) -> pd.DataFrame:
    """Return moves of users between what they are in both schemes of rules, in columns of tuples."""
    random = np.random.default_rng(1000 + seed)
    rare = random.uniform(0.02, 0.3)
    rows = []
    returns = random.choice([0, 0.3])
    for state in JOINT:
        rows.append((state, state, "none", int(random.choice([2, 6, 15, 60, 400]))))
        rows.append((("NEW", "NEW"), state, "none", size(random, rare)))
        rows.append((state, ("ABSENT", "ABSENT"), "none", size(random, rare)))
        for to in JOINT:
            # Whoever has ordered has not so after a correction alone.
            is_return = RFM.is_never_ordered(to[0]) and not RFM.is_never_ordered(state[0])
            if to != state and random.random() < (returns if is_return else 0.3):
                rows.append((state, to, "behaviour", size(random, rare)))
    return with_days(pd.DataFrame(rows, columns=COLUMNS))


def with_days(moves: pd.DataFrame) -> pd.DataFrame:
    day = pd.Timestamp("2026-03-01")
    moves = moves[moves["users"] > 0].assign(from_date=day, to_date=day + pd.Timedelta(days=7))
    return moves.assign(net_amount=moves["users"] * 2.0)


def seen_in(moves: pd.DataFrame, place: int) -> pd.DataFrame:
    """Return the moves as one of the two schemes sees them."""
    told = moves.assign(**{end: moves[end].str[place] for end in ("from_code", "to_code")})
    told.loc[told["from_code"] == told["to_code"], "cause"] = "none"
    names = [name for name in told.columns if name not in ("users", "net_amount")]
    return told.groupby(names, as_index=False)[["users", "net_amount"]].sum()


@pytest.fixture(scope="module")
def hide(tmp_path_factory: pytest.TempPathFactory) -> Ask:
    """Fold and hide by the model's own SQL."""
    text = MODEL.read_text(encoding="utf-8")
    text = text[text.index("{%- set pair") : text.index("find_names as (")].rstrip().rstrip(",")
    text = text.replace("{{ ref('int_segment_moves_counted') }}", "rows_given")
    return asker(text + " select * from sum_moves", tmp_path_factory)


@pytest.fixture(scope="module")
def fold(tmp_path_factory: pytest.TempPathFactory) -> Ask:
    """Fold segments as all tables about groups do."""
    return asker(
        "with {{ fold_small('rows_given', 'segment_code', ['scheme', 'draw']) }} "
        "select scheme, draw, folded_segment_code as segment_code, cast(sum(users) as integer) as users "
        "from fold_segment_code group by all",
        tmp_path_factory,
    )


def asker(text: str, folders: pytest.TempPathFactory) -> Ask:
    """Return what asks dbt's SQL of some rows."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHOAL_DATA", str(folders.mktemp("hidden")))
        result = dbt.invoke(ShopPaths("world"), ["compile", "--inline", text, "--quiet"], {})
    compiled = result.result.results[0].node.compiled_code

    def ask(rows: pd.DataFrame) -> pd.DataFrame:
        with duckdb.connect() as connection:
            connection.register("rows_given", rows)
            return connection.sql(compiled).df()

    return ask


@pytest.fixture(scope="module")
def told(hide: Ask) -> tuple[pd.DataFrame, pd.DataFrame]:
    moves = pd.concat([draw(seed) for seed in SEEDS], ignore_index=True)
    return moves, hide(moves)


def profile(moves: pd.DataFrame, column: str, scheme: Scheme) -> dict[str, int]:
    """Return the sizes of a day's segments as their profile tells them; of the folded together."""
    there = moves[moves[column].isin(scheme.segments)].groupby(column)["users"].sum()
    sizes = sorted((int(users), str(code)) for code, users in there.items())
    folded = set()
    for is_side in (True, False):
        side = [(users, code) for users, code in sizes if scheme.is_never_ordered(code) == is_side]
        small = [users for users, _ in side if users < LEAST]
        folded |= {code for _, code in side[: len(small) + (0 < sum(small) < LEAST)]}
    rest = [code for _, code in sizes if code not in folded]
    if 0 < sum(users for users, code in sizes if code in folded) < LEAST:
        folded |= {*rest[:1]}
    told = {code: users for users, code in sizes if code not in folded}
    return told | ({"_other": sum(users for users, code in sizes if code in folded)} if folded else {})


@dataclass
class Attack:
    """The unknowns are how many users made each possible move; known is what is told of sums of them."""

    places: list[tuple[object, object, str]]
    terms: list[set[int]] = field(default_factory=list)
    sums: list[int] = field(default_factory=list)

    def know(self, scheme: Scheme, moves: pd.DataFrame, rows: pd.DataFrame, view: int | None = None) -> None:
        """Take in a scheme's rows and both days' profiles; the scheme sees the part ``view`` of a place."""
        seen = [self._seen(place, view) for place in self.places]
        shown = {*rows["from_code"]} - {"_other"}
        for code in {*shown, "_other"}:
            of_row = rows[rows["from_code"] == code]
            every = {
                at
                for at, move in enumerate(seen)
                if (move[0] == code if code != "_other" else move[0] not in shown)
            }
            told = {(row.to_code, row.cause): row.users for row in of_row.itertuples()}
            hidden = told.pop(("_other", "none"), 0)
            for ends, users in told.items():
                self._know({at for at in every if seen[at][1:] == ends}, users)
            self._know({at for at in every if seen[at][1:] not in told}, hidden)
        for end, column in enumerate(("from_code", "to_code")):
            self.know_sizes(scheme, profile(moves, column, scheme), view, end)

    def know_sizes(self, scheme: Scheme, known: Mapping[str, int], view: int | None, end: int = 0) -> None:
        """Take in how many users each segment has where moves begin, or where they end."""
        ends = [self._seen(place, view)[end] for place in self.places]
        for code in {*known} | {"_other"}:
            named = {code} if code != "_other" else {*scheme.segments} - {*known}
            self._know({at for at, found in enumerate(ends) if found in named}, known.get(code, 0))

    @staticmethod
    def _seen(place: tuple[object, object, str], view: int | None) -> Move:
        start, end, cause = place
        if view is None:
            return str(start), str(end), cause
        start, end = start[view], end[view]  # type: ignore[index]
        return start, end, "none" if start == end else cause

    def _know(self, moves: set[int], users: int) -> None:
        self.terms.append(moves)
        self.sums.append(int(users))

    def betrayed(self, true: Mapping[Move, int], view: int | None = None) -> list[str]:
        """Name each of these moves of one to nine users that is known to be one."""
        matrix = np.array([[at in known for at in range(len(self.places))] for known in self.terms], float)
        seen = [self._seen(place, view) for place in self.places]
        found = []
        for move, users in true.items():
            if users >= LEAST:
                continue
            goal = np.array([place[: len(move)] == move for place in seen], dtype=float)
            least, most = (
                linprog(sign * goal, A_eq=matrix, b_eq=self.sums, bounds=(0, None)) for sign in (1, -1)
            )
            assert least.status == most.status == 0, (least.message, most.message)
            if least.fun > 0.5 and -most.fun < LEAST - 0.5:
                found.append(f"{' '.join(move)}: {least.fun:.0f} to {-most.fun:.0f}")
        return found


def attack(moves: pd.DataFrame, rows: pd.DataFrame) -> list[str]:
    """Attack one scheme's table alone."""
    starts, ends = ({*FREE.segments, *moves[end]} for end in ("from_code", "to_code"))
    places = [move for move in product(sorted(starts), sorted(ends), (*CAUSES, "none")) if can_be(*move)]
    attacked = Attack(list(places))
    attacked.know(FREE, moves, rows)
    return attacked.betrayed(sizes(moves))


def sizes(moves: pd.DataFrame) -> dict[Move, int]:
    """Return how many users made each move, and each whatever its cause."""
    found = moves.groupby(["from_code", "to_code", "cause"])["users"].sum()
    return {**found.to_dict(), **found.groupby(["from_code", "to_code"]).sum().to_dict()}


def can_be(start: str, end: str, cause: str) -> bool:
    """Return what everybody knows: only who changes segments has a cause, and who has just come is there."""
    is_moved = start != end and start not in NOWHERE and end not in NOWHERE
    return is_moved == (cause != "none") and not (start == "NEW" and end == "ABSENT")


@pytest.mark.parametrize("seed", SEEDS)
def test_no_small_move_is_betrayed(told: tuple[pd.DataFrame, pd.DataFrame], seed: int) -> None:
    moves, rows = (table[table["scheme"] == f"s{seed}"] for table in told)
    assert attack(moves, rows) == []


@pytest.mark.parametrize("seed", range(12))
def test_no_small_move_nor_segment_is_betrayed_by_the_other_scheme(hide: Ask, seed: int) -> None:
    """Both tell how many have never ordered, so a small segment of one is what the other leaves over."""
    drawn = draw_in_two_schemes(seed)
    starts, ends = [("NEW", "NEW"), *JOINT], [*JOINT, ("ABSENT", "ABSENT")]
    places = [(start, end, cause) for start in starts for end in ends if (cause := cause_of(start, end))]
    attacked, views = Attack(places), {}
    for view, scheme in enumerate((RFM, LIFECYCLE)):
        moves = seen_in(drawn, view).assign(scheme=scheme.name)
        attacked.know(scheme, moves, hide(moves), view)
        views[view] = moves
    for view, moves in views.items():
        segments = {(code,): users for code, users in moves.groupby("from_code")["users"].sum().items()}
        assert attacked.betrayed(sizes(moves) | segments, view) == []


@pytest.mark.parametrize("seed", range(12))
def test_no_small_move_between_any_two_days_is_betrayed_by_the_other_scheme(seed: int) -> None:
    """Of days that bi.segment_migration does not pair, the dashboard counts and folds by itself."""
    drawn = draw_in_two_schemes(seed)
    starts, ends = [("NEW", "NEW"), *JOINT], [*JOINT, ("ABSENT", "ABSENT")]
    places = [(start, end, "none") for start in starts for end in ends if cause_of(start, end)]
    attacked, views = Attack(places), {}
    for view, scheme in enumerate((RFM, LIFECYCLE)):
        moves = seen_in(drawn.assign(cause="none"), view)
        placed = moves.copy()
        for end in ("from_code", "to_code"):
            known = {*profile(moves, end, scheme), *NOWHERE}
            placed[end] = placed[end].where(placed[end].isin(known), "_other")
        rows = folds.fold(placed.groupby(["from_code", "to_code"], as_index=False)["users"].sum())
        attacked.know(scheme, moves, rows.assign(cause="none"), view)
        views[view] = moves
    for view, moves in views.items():
        segments = {(code,): users for code, users in moves.groupby("from_code")["users"].sum().items()}
        assert attacked.betrayed(sizes(moves) | segments, view) == []


def cause_of(start: tuple[str, str], end: tuple[str, str]) -> str | None:
    """Return why users of both schemes may have moved; None where nobody can have."""
    if start[0] == "NEW" or end[0] == "ABSENT":
        return None if start[0] == "NEW" and end[0] == "ABSENT" else "none"
    return "none" if start == end else "behaviour"


def test_no_small_segment_is_betrayed_by_the_other_scheme(fold: Ask) -> None:
    """In profiles, and in each day and channel of the funnel."""
    random = np.random.default_rng(11)
    drawn = pd.DataFrame(
        [
            (draw, one, other, int(random.choice([0, random.integers(1, LEAST), random.integers(LEAST, 60)])))
            for draw in range(120)
            for one, other in JOINT
        ],
        columns=["draw", "rfm", "lifecycle", "users"],
    )
    drawn = drawn[drawn.groupby("draw")["users"].transform("sum") >= LEAST]
    parts = [
        drawn.rename(columns={scheme: "segment_code"})
        .groupby(["draw", "segment_code"], as_index=False)["users"]
        .sum()
        .assign(scheme=scheme)
        for scheme in ("rfm", "lifecycle")
    ]
    rows = pd.concat(parts, ignore_index=True).query("users > 0")
    told, totals = fold(rows), drawn.groupby("draw")["users"].sum()
    assert told.groupby(["draw", "scheme"])["users"].sum().unstack().eq(totals, axis=0).all(axis=None)
    assert told["users"].min() >= LEAST
    assert told["segment_code"].ne("_other").mean() > 0.6
    assert [found for draw in totals.index for found in betrayed_by_sizes(rows, told, int(draw))] == []


def betrayed_by_sizes(rows: pd.DataFrame, told: pd.DataFrame, draw: int) -> list[str]:
    """Name each segment of one to nine users that both schemes' sizes together betray."""
    rows, told = (table[table["draw"] == draw] for table in (rows, told))
    attacked = Attack([(state, state, "none") for state in JOINT])
    for view, scheme in enumerate((RFM, LIFECYCLE)):
        known = told[told["scheme"] == scheme.name].set_index("segment_code")["users"].to_dict()
        attacked.know_sizes(scheme, known, view)
    true = {
        view: {(row.segment_code,): row.users for row in rows[rows["scheme"] == scheme.name].itertuples()}
        for view, scheme in enumerate((RFM, LIFECYCLE))
    }
    return [f"{draw}: {name}" for view in true for name in attacked.betrayed(true[view], view)]


def test_totals_stay_and_nothing_told_is_small(told: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    moves, rows = told
    assert totals(rows, "users") == totals(moves, "users")
    assert rows["users"].min() >= LEAST
    # Whoever stays in a large segment is told in most of the tables.
    assert (rows["from_code"] == rows["to_code"]).groupby(rows["scheme"]).any().mean() > 0.5


def test_money_adds_up_but_for_that_of_few_who_left(told: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    """The later profile tells the money of all others."""
    moves, rows = told
    left = moves[moves["to_code"] == "ABSENT"].groupby("scheme")["users"].sum()
    few = {*left[left < LEAST].index}
    assert few, "no table of few who left"
    expected = moves[~((moves["to_code"] == "ABSENT") & moves["scheme"].isin(few))]
    assert totals(rows, "net_amount") == totals(expected, "net_amount")


def totals(table: pd.DataFrame, name: str) -> dict[str, float]:
    return table.groupby("scheme")[name].sum().to_dict()


def table(rows: Iterable[tuple[str, str, str, int]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=COLUMNS)


def test_hiding_by_rows_alone_is_betrayed_by_the_later_profile() -> None:
    """As it was: three who fell were told with twelve others, and missing from where they fell to."""
    moves = table(
        [
            ("a", "a", "none", 25),
            ("a", "b", "behaviour", 3),
            ("a", "c", "behaviour", 12),
            ("b", "b", "none", 11),
        ]
    )
    rows = table([("a", "a", "none", 25), ("a", "_other", "none", 15), ("b", "b", "none", 11)])
    assert attack(moves, rows) == ["a b: 3 to 3"]

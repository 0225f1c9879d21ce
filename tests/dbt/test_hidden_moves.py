"""A table of moves betrays no few users: not by a row, not by what is known of both days beside it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import duckdb
import numpy as np
import pandas as pd
import pytest
from scipy.optimize import linprog

from settings import ShopPaths
from warehouse import dbt

LEAST = 10
SEGMENTS = ("a", "b", "c", "d", "e")
CAUSES = ("behaviour", "model", "none")
MODEL = dbt.PROJECT / "models/marts/bi/segment_migration.sql"


def draw(seed: int) -> pd.DataFrame:
    """Return moves of one scheme: most users stay, some move, come and go; few moves are small."""
    random = np.random.default_rng(seed)
    rare = random.uniform(0.02, 0.3)

    def size() -> int:
        kind = random.choice(3, p=[rare, 0.5, 0.5 - rare])
        return int((random.integers(1, LEAST), random.integers(LEAST, 50), 0)[kind])

    rows = []
    for code in SEGMENTS:
        rows.append((code, code, "none", int(random.choice([4, 15, 60, 400]))))
        for to in (*SEGMENTS, "ABSENT"):
            for cause in ("none",) if to == "ABSENT" else CAUSES[:2]:
                if to != code:
                    rows.append((code, to, cause, size()))
        rows.append(("NEW", code, "none", size()))
    found = pd.DataFrame(rows, columns=["from_code", "to_code", "cause", "users"])
    day = pd.Timestamp("2026-03-01")
    found = found[found["users"] > 0].assign(
        scheme=f"s{seed}", from_date=day, to_date=day + pd.Timedelta(days=7)
    )
    return found.assign(net_amount=found["users"] * 2.0)


SEEDS = range(40)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[pd.DataFrame, pd.DataFrame]]:
    """Fold and hide all tables that are drawn, by the model's own SQL."""
    text = MODEL.read_text(encoding="utf-8")
    text = text[text.index("{%- set pair") : text.index("find_names as (")].rstrip().rstrip(",")
    text = text.replace("{{ ref('int_segment_moves_counted') }}", "moves") + " select * from sum_moves"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHOAL_DATA", str(tmp_path_factory.mktemp("moves")))
        result = dbt.invoke(ShopPaths("world"), ["compile", "--inline", text, "--quiet"], {})
    moves = pd.concat([draw(seed) for seed in SEEDS], ignore_index=True)
    with duckdb.connect() as connection:
        connection.register("moves", moves)
        yield moves, connection.sql(result.result.results[0].node.compiled_code).df()


def profile(moves: pd.DataFrame, column: str) -> dict[str, int]:
    """Return the sizes of a day's segments as their profile tells them; of the folded together."""
    there = moves[moves[column].isin(SEGMENTS)].groupby(column)["users"].sum().sort_values(kind="stable")
    sizes = sorted((int(size), str(code)) for code, size in there.items())
    small = [size for size, _ in sizes if size < LEAST]
    folded = len(small) + (0 < sum(small) < LEAST)
    sizes_told = {code: size for size, code in sizes[folded:]}
    return sizes_told | ({"_other": sum(size for size, _ in sizes[:folded])} if folded else {})


def can_be(start: str, end: str, cause: str) -> bool:
    """Return what everybody knows: only who changes segments has a cause, and who has just come is there."""
    is_moved = start != end and start in SEGMENTS and end in SEGMENTS
    return is_moved == (cause != "none") and not (start == "NEW" and end == "ABSENT")


class Attack:
    """The unknowns are all moves; known are the rows that are told, and both days' profiles."""

    def __init__(self, moves: pd.DataFrame, rows: pd.DataFrame) -> None:
        self.moves = moves
        starts = sorted({*SEGMENTS, *moves["from_code"]})
        ends = sorted({*SEGMENTS, *moves["to_code"]})
        possible = (move for move in product(starts, ends, CAUSES) if can_be(*move))
        self.places = {move: at for at, move in enumerate(possible)}
        self.terms: list[set[tuple[str, str, str]]] = []
        self.sums: list[int] = []
        before, after = profile(moves, "from_code"), profile(moves, "to_code")
        shown = {*rows["from_code"]} - {"_other"}
        for code in {*shown, "_other"}:
            of_row = rows[rows["from_code"] == code]
            members = {code} if code != "_other" else {*starts} - shown
            seen = {(row.to_code, row.cause): row.users for row in of_row.itertuples()}
            hidden = seen.pop(("_other", "none"), 0)
            every = {move for move in self.places if move[0] in members}
            for (end, cause), users in seen.items():
                self._know({move for move in every if move[1:] == (end, cause)}, users)
            self._know({move for move in every if move[1:] not in seen}, hidden)
        for known, place in ((before, 0), (after, 1)):
            for code in {*known} | {"_other"}:
                named = {code} if code != "_other" else {*SEGMENTS} - {*known}
                self._know({move for move in self.places if move[place] in named}, known.get(code, 0))

    def _know(self, moves: set[tuple[str, str, str]], users: int) -> None:
        self.terms.append(moves)
        self.sums.append(int(users))

    def betrayed(self) -> list[str]:
        """Name each move of one to nine users that is known to be one."""
        matrix = np.array([[move in known for move in self.places] for known in self.terms], dtype=float)
        found = []
        by_cause = self.moves.groupby(["from_code", "to_code", "cause"])["users"].sum()
        for move, users in [*by_cause.items(), *by_cause.groupby(["from_code", "to_code"]).sum().items()]:
            if users >= LEAST:
                continue
            goal = np.array([place[: len(move)] == move for place in self.places], dtype=float)
            least, most = (
                linprog(sign * goal, A_eq=matrix, b_eq=self.sums, bounds=(0, None)) for sign in (1, -1)
            )
            assert least.status == most.status == 0, (least.message, most.message)
            if least.fun > 0.5 and -most.fun < LEAST - 0.5:
                found.append(f"{' '.join(move)}: {least.fun:.0f} to {-most.fun:.0f}")
        return found


@pytest.mark.parametrize("seed", SEEDS)
def test_no_small_move_is_betrayed(told: tuple[pd.DataFrame, pd.DataFrame], seed: int) -> None:
    moves, rows = (table[table["scheme"] == f"s{seed}"] for table in told)
    assert Attack(moves, rows).betrayed() == []


def test_totals_stay_and_nothing_told_is_small(told: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    moves, rows = told
    for name in ("users", "net_amount"):
        assert rows.groupby("scheme")[name].sum().to_dict() == moves.groupby("scheme")[name].sum().to_dict()
    assert rows["users"].min() >= LEAST
    # Whoever stays in a large segment is told in most of the tables.
    assert (rows["from_code"] == rows["to_code"]).groupby(rows["scheme"]).any().mean() > 0.5


def test_hiding_by_rows_alone_is_betrayed_by_the_later_profile() -> None:
    """As it was: three who fell were told with twelve others, and missing from where they fell to."""
    moves = pd.DataFrame(
        [
            ("a", "a", "none", 25),
            ("a", "b", "behaviour", 3),
            ("a", "c", "behaviour", 12),
            ("b", "b", "none", 11),
        ],
        columns=["from_code", "to_code", "cause", "users"],
    )
    rows = pd.DataFrame(
        [("a", "a", "none", 25), ("a", "_other", "none", 15), ("b", "b", "none", 11)],
        columns=["from_code", "to_code", "cause", "users"],
    )
    assert Attack(moves, rows).betrayed() == ["a b: 3 to 3"]

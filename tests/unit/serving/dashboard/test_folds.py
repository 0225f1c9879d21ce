"""What pages add up, so that no group of fewer than ten users is told of."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import date
from itertools import permutations, product
from types import SimpleNamespace
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from serving.dashboard.folds import cross, fold
from serving.dashboard.views import flows, segment
from serving.groups import LEAST, OTHER
from serving.small_groups import NEVER_ORDERED, few
from warehouse import dbt


def moves(*rows: tuple[str, str, int]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["from_code", "to_code", "users"])


def as_dict(frame: pd.DataFrame) -> dict[tuple[str, str], int]:
    return {(row.from_code, row.to_code): row.users for row in frame.itertuples()}


def test_flows_of_ten_users_stay_as_they_are() -> None:
    told = moves(("a", "a", 10), ("a", "b", 12), ("b", "b", 40))
    assert as_dict(fold(told)) == as_dict(told)


def test_one_small_flow_hides_a_second_of_its_row_and_of_its_column_and_where_they_cross() -> None:
    # a → b is small. Of what leaves a, a → c goes with it; of what reaches b, b → b does; so b → c does too.
    told = moves(
        ("a", "a", 90), ("a", "b", 3), ("a", "c", 20), ("b", "b", 50), ("b", "c", 60), ("c", "c", 70)
    )
    shown = as_dict(fold(told))
    assert shown["a", OTHER] == 3 + 20
    assert ("a", "b") not in shown
    assert shown["b", OTHER] == 50 + 60
    assert shown["a", "a"] == 90


def test_what_leaves_a_segment_still_adds_up() -> None:
    told = moves(
        ("a", "a", 90), ("a", "b", 3), ("a", "c", 20), ("b", "b", 50), ("b", "c", 60), ("c", "c", 70)
    )
    shown = fold(told)
    assert shown.groupby("from_code")["users"].sum().to_dict() == {"a": 113, "b": 110, "c": 70}


def test_small_segments_are_told_together_and_still_add_up() -> None:
    assert as_dict(fold(moves(("a", "a", 100), ("b", "b", 5)))) == {(OTHER, OTHER): 100 + 5}
    assert as_dict(fold(moves(("a", "a", 100), ("b", "b", 5), ("c", "c", 5)))) == {
        ("a", "a"): 100,
        (OTHER, OTHER): 5 + 5,
    }


def test_of_under_ten_users_in_all_nothing_is_told() -> None:
    assert fold(moves(("a", "a", 4), ("b", "b", 5))).empty


def test_what_is_told_together_anyway_takes_the_small_ones_in() -> None:
    shown = as_dict(fold(moves(("a", "a", 90), ("a", "b", 3), ("a", OTHER, 40), ("b", "b", 50))))
    # a → b hides b → b, the other flow to b; a → _other is told with a → b, in one row.
    assert shown == {("a", "a"): 90, ("a", OTHER): 3 + 40, ("b", OTHER): 50}


def test_pages_and_tables_fold_along_the_same_border() -> None:
    assert tuple(dbt.declared("never_ordered")) == NEVER_ORDERED
    assert dbt.declared("smallest_group") == LEAST


def test_a_small_flow_is_hidden_with_others_on_its_side_of_what_every_scheme_tells() -> None:
    # loyal → purchased is small; as large as loyal → aware is loyal → loyal, which another scheme can't tell.
    told = moves(
        *(("loyal", "purchased", 3), ("loyal", "aware", 20), ("loyal", "loyal", 90), ("aware", "aware", 50)),
        *(("aware", "purchased", 30), ("purchased", "aware", 15), ("purchased", "purchased", 70)),
    )
    shown = as_dict(fold(told))
    assert ("loyal", "aware") not in shown and shown["loyal", "loyal"] == 90
    assert shown["aware", "purchased"] == 30  # who left purchased is on the side of who left loyal
    assert ("purchased", "purchased") not in shown


def test_nobody_is_said_to_have_stayed_or_moved_of_whom_that_is_not_known() -> None:
    told = moves(
        *(("a", "a", 100), ("a", "b", 20), ("b", "b", 60), ("NEW", "a", 11), ("a", "ABSENT", 12)),
        *(("IDENTIFIED", "a", 50), ("a", "IDENTIFIED", 40), ("b", "ERASED", 15)),
        *((OTHER, OTHER, 30), ("a", OTHER, 13), (OTHER, "b", 14), ("NEW", OTHER, 16), (OTHER, "ERASED", 17)),
    )
    assert flows.count(told) == flows.Counts(
        stayed=100 + 60, moved=20, untold=30 + 13 + 14, came=11 + 16, gone=12
    )


def test_the_model_moved_none_but_those_who_are_told_to_have_moved() -> None:
    moved = moves(
        *(("a", "a", 50), ("a", "b", 12), ("a", "c", 3), ("b", "b", 40), ("b", "c", 30), ("c", "c", 60)),
        ("c", "a", 30),
    )
    moved["by_model"] = [0, 12, 3, 0, 25, 0, 25]
    told = fold(moved[["from_code", "to_code", "users"]])
    assert ("a", "b") not in as_dict(told), "hidden with the three who went from a to c"
    assert flows.count(told).moved == 30
    assert flows.by_model(told, moved) == 25
    assert flows._beside(25, 30) == "> 20", "five whom their behaviour moved would be known by subtraction"


CODES = st.sampled_from("abcd")


@settings(deadline=None)
@given(st.dictionaries(st.tuples(CODES, CODES | st.just(OTHER)), st.integers(1, 40), min_size=1))
def test_all_users_are_told_of_and_no_few_of_them(cells: dict[tuple[str, str], int]) -> None:
    told = moves(*((*pair, users) for pair, users in cells.items()))
    shown = fold(told)
    assert (shown["users"] >= LEAST).all()
    assert shown["users"].sum() == (told["users"].sum() if told["users"].sum() >= LEAST else 0)
    assert not shown.duplicated(["from_code", "to_code"]).any()


@settings(deadline=None)
@given(st.dictionaries(st.tuples(CODES, CODES), st.integers(1, 40), min_size=1))
def test_a_small_flow_may_be_of_ten_users_for_all_that_is_told(cells: dict[tuple[str, str], int]) -> None:
    told = moves(*((*pair, users) for pair, users in cells.items()))
    sums = [told.groupby(end)["users"].sum() for end in ("from_code", "to_code")]
    shown = {flow: users for flow, users in as_dict(fold(told)).items() if OTHER not in flow}
    for one, other in (flow for flow in cells if cells[flow] < LEAST):
        assert _most((one, other), shown, sums) >= min(LEAST, sums[0][one], sums[1][other])


def _most(flow: tuple[str, str], shown: dict[tuple[str, str], int], sums: list[pd.Series]) -> float:
    """Return how many users a flow has at most, for one who knows how many left and reached each segment."""
    unknown = [pair for pair in product(*(totals.index for totals in sums)) if pair not in shown]
    ends = [(end, code) for end in (0, 1) for code in sums[end].index]
    left = [sums[end][code] - sum(shown[pair] for pair in shown if pair[end] == code) for end, code in ends]
    answer = linprog(
        [-1 if pair == flow else 0 for pair in unknown],
        A_eq=[[pair[end] == code for pair in unknown] for end, code in ends],
        b_eq=left,
    )
    return -float(answer.fun)


SCHEMES = {
    "behaviour": ("night_owls", "searchers", "newcomers"),
    "rfm": ("not_bought", "champions", "gone"),
    "lifecycle": ("aware", "interested", "purchased", "loyal"),
}
STATES = [
    state
    for state in product(*SCHEMES.values())
    if (state[1] in NEVER_ORDERED) == (state[2] in NEVER_ORDERED)
]


@pytest.mark.parametrize("seed", range(20))
def test_no_few_users_are_betrayed_by_all_tables_of_where_users_are_in_two_schemes(seed: int) -> None:
    """Whoever looks at each segment's page of one day has every pair of schemes, by rows and by columns."""
    random = np.random.default_rng(seed)
    sizes = random.choice([0, 4, 15, 60, 300], len(STATES), p=[0.3, 0.2, 0.2, 0.2, 0.1])
    terms, sums, small = [], [], []

    def know(users: int, **where: Collection[str]) -> np.ndarray:
        """Take in how many users are in one of some segments of each of some schemes."""
        places = {scheme: at for at, scheme in enumerate(SCHEMES)}
        told = [all(state[places[scheme]] in codes for scheme, codes in where.items()) for state in STATES]
        terms.append(told)
        sums.append(users)
        return np.array(told)

    def count(**where: str) -> int:
        users = int(sizes[know(0, **{scheme: [code] for scheme, code in where.items()})].sum())
        del terms[-1], sums[-1]
        return users

    for scheme, codes in SCHEMES.items():
        alone = pd.Series({code: count(**{scheme: code}) for code in codes})
        folded = few(alone[alone > 0])
        for code in codes:
            if not folded.get(code, False):
                know(alone[code], **{scheme: [code]})
        know(int(alone[folded.index[folded]].sum()), **{scheme: list(folded.index[folded])})
    for one, other in permutations(SCHEMES, 2):
        cells = {
            pair: count(**{one: pair[0], other: pair[1]}) for pair in product(SCHEMES[one], SCHEMES[other])
        }
        small += [{one: pair[0], other: pair[1]} for pair, users in cells.items() if 0 < users < LEAST]
        told = cross(moves(*((*pair, users) for pair, users in cells.items() if users)), one > other)
        rows = as_dict(told)
        named = {start for start, _ in rows} - {OTHER}
        for start in named:
            ends = {end for first, end in rows if first == start} - {OTHER}
            for end in ends:
                know(rows[start, end], **{one: [start], other: [end]})
            rest = [code for code in SCHEMES[other] if code not in ends]
            know(rows.get((start, OTHER), 0), **{one: [start], other: rest})
    matrix = np.array(terms, dtype=float)
    for where in small:
        count(**where)
        goal = know(0, **{scheme: [code] for scheme, code in where.items()}).astype(float)
        ends = [
            linprog(sign * goal, A_eq=matrix, b_eq=sums[: len(matrix)], bounds=(0, None)) for sign in (1, -1)
        ]
        assert [end.status for end in ends] == [0, 0]
        assert ends[0].fun < 0.5 or -ends[1].fun > LEAST - 0.5, f"{where}: {ends[0].fun} to {-ends[1].fun}"


@pytest.fixture
def published() -> Iterator[duckdb.DuckDBPyConnection]:
    """Give two days of the scheme rfm: a and b 40 users each, c 5 and d 6, told as _other."""
    with duckdb.connect() as connection:
        connection.execute("""
            create schema bi;
            create table bi.user_segment_daily as
            select date '2026-03-01' + n::integer as as_of_date, 'rfm' as scheme, 'u' || user as user_key,
                case when user < 40 then 'a' when user < 80 then 'b' when user < 85 then 'c' else 'd' end
                    as segment_code
            from range(2) as days (n), range(91) as users (user);
            insert into bi.user_segment_daily
            -- Of a, 37 are loyal, three were never seen elsewhere.
            select as_of_date, 'lifecycle', user_key, 'loyal' from bi.user_segment_daily
            where user_key not in ('u0', 'u1', 'u2');
            create table bi.segment_profile_daily as
            select distinct as_of_date, scheme,
                case when segment_code in ('c', 'd') then '_other' else segment_code end as segment_code
            from bi.user_segment_daily;
            create table bi.user_score_daily as
            select as_of_date, user_key, 'high_value' as score_name,
                case when user_key in ('u3', 'u4', 'u5', 'u6') then 1 when user_key in ('u7', 'u47') then 2
                    when segment_code = 'a' then 3 else 4 end as decile
            from bi.user_segment_daily where scheme = 'rfm' and user_key not in ('u0', 'u1', 'u2');
        """)
        yield connection


ASKED = {"scheme": "rfm", "from_day": date(2026, 3, 1), "to_day": date(2026, 3, 2)}
SEEN = {"scheme": "rfm", "day": date(2026, 3, 1)}


def test_users_of_small_segments_are_counted_as_in_their_profiles(published: Any) -> None:
    assert as_dict(published.execute(flows.MOVED, ASKED).df()) == {
        ("a", "a"): 40,
        ("b", "b"): 40,
        (OTHER, OTHER): 5 + 6,
    }


def test_every_user_of_a_segment_is_in_one_of_its_tenths(published: Any) -> None:
    told = as_dict(fold(published.execute(segment.DECILES, SEEN).df()))
    # Three have no score, four are in the best tenth, two in the second: told with the third, which has 32.
    # One of b is there, so how many of b are in the fourth is not told either.
    assert told == {("a", OTHER): 3 + 4 + 1 + 32, ("b", OTHER): 1 + 39, (OTHER, "4"): 11}


def test_every_user_of_a_segment_is_somewhere_in_another_scheme(published: Any) -> None:
    rows = published.execute(segment.ELSEWHERE, SEEN | {"other": "lifecycle"}).df()
    told = as_dict(cross(rows, is_turned=True))
    # Three are nowhere, and would be found beside the loyal.
    assert told == {("a", OTHER): 37 + 3, ("b", OTHER): 40, (OTHER, OTHER): 11}


def test_value_is_told_by_tenths_alone_and_who_never_ordered_by_the_tenths_of_one_scheme(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Tiers that are whole tenths, or two schemes' tenths, would give away what each of the two hides."""
    shown: set[tuple[str, str]] = set()

    def crossed(view: Any, query: str, asked: dict[str, Any], tell: Any) -> dict[str, int]:
        shown.add((asked["scheme"], asked["other"] if query == segment.ELSEWHERE else "tenths"))
        return {}

    monkeypatch.setattr(segment, "_crossed", crossed)
    for name in ("told", "nothing", "table", "chart"):
        monkeypatch.setattr(segment, name, lambda *_: None)
    profile = pd.DataFrame(columns=["segment_code", "segment_name_en"])
    monkeypatch.setattr(segment.segments, "profile_of", lambda *_: profile)
    schemes = ["behaviour", "value", "rfm", "lifecycle"]
    view: Any = SimpleNamespace(say=lambda *_, **__: "", schemes=lambda: schemes, name="segment_name_en")
    for scheme in schemes:
        for tell in (segment._deciles, segment._elsewhere):
            tell(view, {"scheme": scheme, "day": date(2026, 3, 1)})
    told = ["behaviour", "rfm", "lifecycle"]
    tenths = {(scheme, "tenths") for scheme in ("behaviour", "value", "rfm")}
    assert shown == {*permutations(told, 2)} | tenths


def test_reasons_of_few_users_are_told_together_and_without_their_days() -> None:
    rows = pd.DataFrame(
        [("still_there", 90, 30.0), ("behaviour", 20, 12.0), ("erased", 4, 3.0)],
        columns=["reason", "users", "days_median"],
    )
    told = segment.stays_told(rows)
    assert told["reason"].tolist() == ["still_there", OTHER]
    assert told["users"].tolist() == [90, 20 + 4]
    assert told["days_median"].isna().tolist() == [False, True]
    assert segment.stays_told(rows.tail(1)).empty


def test_a_user_who_came_back_counts_once_and_as_of_the_day() -> None:
    with duckdb.connect() as connection:
        connection.execute("""
            create schema bi;
            create table bi.user_segment_history as
            select 'rfm' as scheme, 'a' as segment_code, *
            from (values
                ('u1', date '2026-02-01', date '2026-02-11', 'behaviour'),
                ('u1', date '2026-02-21', null, null),
                ('u2', date '2026-02-01', date '2026-03-05', 'model'),
                ('u3', date '2026-02-01', date '2026-02-05', 'erased'),
                ('u4', date '2026-03-02', null, null)
            ) as stays (user_key, valid_from, valid_to, exit_reason)
        """)
        asked = {"scheme": "rfm", "code": "a", "day": date(2026, 3, 1)}
        # u2 left after the day, and u4 had not come yet.
        assert connection.execute(segment.STAYS, asked).fetchall() == [
            ("still_there", 2, (8 + 28) / 2),
            ("erased", 1, 4.0),
        ]


def test_a_flow_is_worth_what_is_published_of_it_and_nothing_where_others_are_told_with_it() -> None:
    moved = moves(
        ("a", "a", 90), ("a", "b", 3), ("a", "c", 20), ("b", "b", 50), ("b", "c", 60), ("c", "c", 70)
    )
    moved["net_revenue_amount"] = 100.0 * moved["users"]
    told = flows.worth(fold(moved[["from_code", "to_code", "users"]]), moved)
    amounts = dict(zip(zip(told["from_code"], told["to_code"], strict=True), told[flows.WORTH], strict=True))
    assert amounts["a", "a"] == 90 * 100
    assert amounts["c", "c"] == 70 * 100
    assert np.isnan(amounts["a", OTHER]) and np.isnan(amounts["b", OTHER])
    assert flows.WORTH not in flows.worth(
        told[["from_code", "to_code", "users"]], moved.drop(columns=flows.WORTH)
    )

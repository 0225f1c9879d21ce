"""The simulated shop: its bytes are reproducible, its counts add up, and only behaviour betrays a group."""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
from collections import Counter
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow.parquet
import pytest
from scipy import stats
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from cli import ShoalError, UsageError
from landing import contracts, simulate
from landing.simulate import Parameters, Shop, drops
from landing.simulate.deliver import DELIVERIES, tabulate
from landing.simulate.dirt import DIRT
from landing.simulate.parameters import (
    BLOCK_DAYS,
    EVENT_TYPES,
    GROUPS,
    SEARCH,
    SECONDS_PER_DAY,
    VIEW,
    open_streams,
)
from landing.simulate.people import customer_rows, registered_day

SMALL = Parameters(users=300, days=42, seed=3)
USUAL = Parameters()


@pytest.fixture(scope="module")
def shop() -> Shop:
    """Return the shop that `make demo` uses."""
    return simulate.imagine(USUAL)


@pytest.fixture(scope="module")
def dials() -> dict[float, Shop]:
    """Return one shop at both ends of the dial."""
    return {signal: simulate.imagine(Parameters(users=3_000, order_signal=signal)) for signal in (0.0, 1.0)}


@pytest.fixture(scope="module")
def dropped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the root of one written simulation, large enough for every common kind of dirt."""
    root = tmp_path_factory.mktemp("simulated")
    simulate.simulate(Parameters(users=1_500, days=70, seed=5), root / "drops", root / "truth")
    return root


def _digest(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def _lines(path: Path) -> list[str]:
    text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return text.decode().splitlines()


# Files


def test_same_seed_gives_same_bytes_and_another_seed_does_not(tmp_path: Path) -> None:
    for name, seed in (("first", 3), ("again", 3), ("other", 4)):
        simulate.simulate(
            replace(SMALL, users=100, seed=seed), tmp_path / name / "drops", tmp_path / name / "truth"
        )
    for part in ("drops", "truth"):
        first, again, other = (_digest(tmp_path / name / part) for name in ("first", "again", "other"))
        assert first == again
        assert first != other


def test_every_contract_is_delivered_with_exactly_its_columns(dropped: Path) -> None:
    known = contracts.load()
    assert set(DELIVERIES) == set(known)
    for name, delivery in DELIVERIES.items():
        path = max((dropped / "drops").glob(f"{name}_20*"))
        # The shop corrects by telling anew and deletes nothing; its orders alone tell a currency.
        expected = [
            each for each, column in known[name].columns.items() if each != "op" and not column.only_judged
        ]
        assert _columns(path, delivery.extension) == expected, name


def _columns(path: Path, extension: str) -> list[str]:
    if extension == "parquet":
        return list(pyarrow.parquet.read_schema(path).names)
    first = _lines(path)[0]
    return list(json.loads(first)) if "json" in extension else first.replace('"', "").split(",")


def test_daily_tables_drop_a_file_on_every_day_however_quiet(tmp_path: Path) -> None:
    simulate.simulate(Parameters(users=50, days=28), tmp_path / "drops", tmp_path / "truth")
    for name in ("events", "orders", "order_lines", "payments", "refunds"):
        assert len(list((tmp_path / "drops").glob(f"{name}_*"))) == 28, name


def test_rows_of_each_file_are_good_quarantined_or_duplicate(dropped: Path) -> None:
    files = pd.read_parquet(dropped / "truth" / "files.parquet")
    assert len(files) == len(list((dropped / "drops").iterdir()))
    for row in files.itertuples():
        path, extension = dropped / "drops" / row.file_name, DELIVERIES[row.table].extension
        if extension == "parquet":
            assert pyarrow.parquet.read_metadata(path).num_rows == row.rows_in
        else:
            lines = _lines(path)[("csv" in extension) :]
            assert len(lines) == row.rows_in, path.name
            assert len(lines) - len(set(lines)) == row.rows_duplicate, path.name
        assert row.rows_in == row.rows_good + row.rows_quarantined + row.rows_duplicate


def test_dirt_in_the_files_is_what_the_truth_counts(dropped: Path) -> None:
    """Count the damage again, from the bytes of the events files alone."""
    truth = json.loads((dropped / "truth" / "dirt.json").read_text())["events"]["dirt"]
    found: Counter[str] = Counter()
    seen: set[str] = set()
    for path in sorted((dropped / "drops").glob("events_*")):
        lines = _lines(path)[1:]
        found["exact_duplicate"] += len(lines) - len(set(lines))
        for line in dict.fromkeys(lines):
            kind = _damage_of(line.split(","))
            found[kind] += 1
            if kind == "good":
                found["repeated_delivery"] += line in seen
                seen.add(line)
    assert len(seen) == found.pop("good") - found["repeated_delivery"]
    assert dict(found) == truth


def _damage_of(cells: list[str]) -> str:
    if len(cells) != 12:
        return "broken_line"
    time, price = cells[2], cells[10]
    if cells[1] not in EVENT_TYPES:
        return "unknown_event_type"
    if not cells[3] and not cells[4]:
        return "nobody"
    if price.startswith("-"):
        return "negative_price"
    if not time or time.startswith("2045"):
        return "future_time" if time else "missing_time"
    return "unreadable_time" if time.startswith("yesterday") else "good"


def test_every_kind_of_dirt_is_planted_in_the_usual_shop_and_stays_rare(dropped: Path) -> None:
    truth = json.loads((dropped / "truth" / "dirt.json").read_text())
    large = {"events", "orders", "order_lines", "exposures", "products"}
    planted = {(table, kind) for table, counts in truth.items() for kind in counts["dirt"]}
    assert planted <= {(each.table, each.kind) for each in DIRT}
    assert {(each.table, each.kind) for each in DIRT if each.table in {"events", "exposures"}} <= planted
    for table in large:
        assert sum(truth[table]["dirt"].values()) < 0.015 * truth[table]["rows_in_files"]
    files = pd.read_parquet(dropped / "truth" / "files.parquet")
    dirty = files["rows_in"] - files["rows_good"]
    assert (dirty <= 0.02 * files["rows_in"] + 1).all()  # + 1: repeats come from the file before


def test_dirt_and_lateness_shift_nothing_that_happened() -> None:
    clean = _good_rows(replace(SMALL, dirt=0.0))
    assert _good_rows(replace(SMALL, dirt=0.01)) == clean
    assert simulate.imagine(SMALL).events.equals(simulate.imagine(replace(SMALL, late=0.2)).events)


def _good_rows(parameters: Parameters) -> list[str]:
    streams = open_streams(parameters.seed)
    table = tabulate(simulate.imagine(parameters), streams["row_ids"], streams["late"])["events"]
    packed = drops.pack("events", table, parameters, streams["dirt"], streams["shuffle"])
    kinds = np.array(packed["_kind"].to_pylist())
    return sorted(np.array(packed["event_id"].to_pylist())[kinds == ""])


def test_late_rows_come_in_a_later_file_and_never_in_an_earlier_one(dropped: Path) -> None:
    late = 0
    for path in sorted((dropped / "drops").glob("events_*")):
        for cells in (line.split(",") for line in _lines(path)[1:]):
            if _damage_of(cells) == "good":
                days = (date.fromisoformat(path.name[7:17]) - date.fromisoformat(cells[2][:10])).days
                assert days >= 0
                late += days > 0
    counts = json.loads((dropped / "truth" / "dirt.json").read_text())["events"]
    repeated = counts["dirt"]["repeated_delivery"]
    assert counts["late"] <= late <= counts["late"] + repeated + counts["dirt"]["exact_duplicate"]
    assert late > 0


def test_landing_counts_what_the_truth_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from landing import ledger, shops
    from landing.receive import receive
    from settings import ShopPaths

    monkeypatch.setenv("SHOAL_DATA", str(tmp_path))
    simulate.simulate(Parameters(users=700, days=28, dirt=0.003), tmp_path / "drops", tmp_path / "truth")
    receive(shops.load("simulated"), tmp_path / "drops")
    landed = {
        Path(file.file_name).name: (
            file.status,
            file.rows_in,
            file.rows_good,
            file.rows_quarantined,
            file.rows_duplicate,
        )
        for file in ledger.files(ShopPaths("simulated"))
    }
    truth = pd.read_parquet(tmp_path / "truth" / "files.parquet")
    assert truth["rows_quarantined"].sum() > 50
    assert landed == {
        row.file_name: ("accepted", row.rows_in, row.rows_good, row.rows_quarantined, row.rows_duplicate)
        for row in truth.itertuples()
    }


# Nothing but behaviour betrays a group


def _bytes_of(ids: pd.Series) -> npt.NDArray[np.float64]:
    return np.array([list(text.encode()) for text in ids], dtype=float)


def _accuracy_beyond_chance(features: npt.NDArray[np.float64], group: npt.NDArray[np.int64]) -> float:
    """Return the cross-validated accuracy in standard errors above that on shuffled groups."""
    random = np.random.default_rng(1)
    forest = RandomForestClassifier(15, max_depth=8, min_samples_leaf=5, random_state=1)
    # Shuffled folds: contiguous ones ask for extrapolation along the row number.
    folds = StratifiedKFold(4, shuffle=True, random_state=1)
    hits = (cross_val_predict(forest, features, group, cv=folds) == group).mean()
    shuffled = [random.permutation(group) for _ in range(2)]
    chance = np.mean(
        [(cross_val_predict(forest, features, each, cv=folds) == each).mean() for each in shuffled]
    )
    return float((hits - chance) / np.sqrt(chance * (1 - chance) / len(group)))


def test_ids_rows_and_other_streams_predict_the_group_at_chance(shop: Shop) -> None:
    """Everything about a person that is no behaviour: ids, contact data, position, consent, device."""
    people = shop.people.table
    customers = customer_rows(shop.people, shop.parameters).sort_values("seconds")
    position = customers.reset_index(drop=True).reset_index().groupby("customer_id")["index"].first()
    known = people[people["customer_id"].isin(position.index)]
    device = shop.devices.table.iloc[shop.devices.of_person[known.index, 0]]
    traits = known[["is_chinese", "has_marketing_consent", "has_profiling_consent", "country", "arrival_day",
                    "days_to_register"]]  # fmt: skip
    features = np.column_stack(
        [
            _bytes_of(known["customer_id"]),
            _bytes_of(known["phone"]),
            _bytes_of(device["device_id"]),
            device["kind"],
            known.index,
            known.index % 2 + 2 * (known.index % 3),
            position.reindex(known["customer_id"]),
            traits.astype(float),
        ]
    )
    assert abs(_accuracy_beyond_chance(features, known["group_before"].to_numpy())) < 3


def test_a_leak_in_the_ids_would_be_found(shop: Shop) -> None:
    people = shop.people.table
    group = people["group_before"].to_numpy()
    leaking = np.random.default_rng(1).integers(0, 10, (len(people), 8)).astype(float)
    leaking[:, 3] = group + leaking[:, 3] % 2
    assert _accuracy_beyond_chance(leaking, group) > 10


def test_row_ids_and_positions_predict_the_group_at_chance(shop: Shop) -> None:
    """An event's id, and its place among the events of the same second's file, say nothing."""
    streams = open_streams(shop.parameters.seed)
    table = tabulate(shop, streams["row_ids"], streams["late"])["events"].slice(0, 60_000)
    packed = drops.pack("events", table, shop.parameters, streams["dirt"], streams["shuffle"])
    good = packed.filter(pyarrow.array(np.array(packed["_kind"].to_pylist()) == ""))
    clock = np.array([text[17:] for text in good["occurred_at"].to_pylist()])
    ids = pd.Series(good["event_id"].to_pylist())
    row_of = {text: row for row, text in enumerate(table["event_id"].to_pylist())}
    visit = shop.events["visit"].to_numpy()[ids.map(row_of)]
    one_each = np.unique(visit, return_index=True)[1][:4_000]
    group = shop.visits["group"].to_numpy()[visit[one_each]]
    features = np.column_stack([_bytes_of(ids.iloc[one_each]), clock[one_each].astype(float)])
    assert abs(_accuracy_beyond_chance(features, group)) < 3


# The dial


def _person_type_counts(shop: Shop) -> npt.NDArray[np.int64]:
    person = shop.visits["person"].to_numpy()[shop.events["visit"]]
    return np.bincount(
        person * len(EVENT_TYPES) + shop.events["type"], minlength=len(shop.people) * len(EVENT_TYPES)
    )


def test_totals_of_every_person_are_equal_whatever_the_dial_says(dials: dict[float, Shop]) -> None:
    none, full = dials[0.0], dials[1.0]
    assert (_person_type_counts(none) == _person_type_counts(full)).all()
    for frame, columns in (
        ("orders", ["visit", "paid_cents", "coupon"]),
        ("lines", ["visit", "product", "quantity"]),
        ("refunds", ["visit", "refund_cents"]),
        ("contacts", ["person", "orders_if_untreated", "orders_if_treated", "paid_cents"]),
    ):
        assert getattr(none, frame)[columns].equals(getattr(full, frame)[columns]), frame


def test_visits_never_leave_their_fortnight(dials: dict[float, Shop]) -> None:
    for shop in dials.values():
        visits = shop.visits[shop.visits["ring"] < 0]
        assert (visits["start"] // (BLOCK_DAYS * SECONDS_PER_DAY) == visits["block"]).all()


def _search_first(shop: Shop) -> list[npt.NDArray[np.float64]]:
    """Return, per group, the share of (search, view) pairs of a visit in which the search comes first."""
    events = shop.events.assign(place=np.arange(len(shop.events)))
    searches, views = (events.loc[events["type"] == kind, ["visit", "place"]] for kind in (SEARCH, VIEW))
    pairs = searches.merge(views, on="visit")
    share = (pairs["place_x"] < pairs["place_y"]).groupby(pairs["visit"]).mean()
    group = shop.visits["group"].to_numpy()[share.index]
    return [share.to_numpy()[group == number] for number in range(len(GROUPS))]


def test_order_of_events_differs_between_groups_only_with_the_dial(dials: dict[float, Shop]) -> None:
    none, full = (_search_first(dials[signal]) for signal in (0.0, 1.0))
    assert stats.f_oneway(*none).pvalue > 0.001
    assert np.ptp([each.mean() for each in none]) < 0.03
    assert np.ptp([each.mean() for each in full]) > 0.4


def test_hours_weekends_and_pauses_differ_between_groups_only_with_the_dial(dials: dict[float, Shop]) -> None:
    for signal, differs in ((0.0, False), (1.0, True)):
        shop = dials[signal]
        visits = shop.visits[(shop.visits["ring"] < 0) & shop.visits["happens"]]
        hour = visits["start"] // 3_600 % 24
        weekday = (shop.parameters.start.weekday() + visits["start"] // SECONDS_PER_DAY) % 7
        visit, seconds = shop.events["visit"].to_numpy(), shop.events["seconds"].to_numpy()
        follows = visit[1:] == visit[:-1]
        pause_group = shop.visits["group"].to_numpy()[visit[1:][follows]]
        pauses = pd.Series(np.diff(seconds)[follows]).groupby(pause_group).median()
        assert (stats.chi2_contingency(pd.crosstab(visits["group"], hour)).pvalue < 1e-9) == differs
        assert (pauses.max() > 2 * pauses.min()) == differs
        if differs:  # at 0 holidays still pull some groups to some days
            assert stats.chi2_contingency(pd.crosstab(visits["group"], weekday >= 5)).pvalue < 1e-9


def test_checkout_follows_every_cart_and_an_uncart_follows_its_cart(shop: Shop) -> None:
    events = shop.events.assign(
        place=np.arange(len(shop.events)), name=np.array(EVENT_TYPES)[shop.events["type"]]
    )
    last = events.groupby(["visit", "name"])["place"].max().unstack()
    assert not (last["checkout"] < last[["cart", "uncart"]].max(axis=1)).any()
    assert (events.groupby("visit")["seconds"].diff().dropna() >= 1).all()
    uncarts = events[events["name"] == "uncart"]
    pairs = uncarts.merge(events[events["name"] == "cart"], on=["visit", "product"])
    first_cart = pairs.groupby("place_x")["place_y"].min()
    assert len(first_cart) == len(uncarts) > 1_000
    assert (first_cart < first_cart.index).all()


# Drift


def test_drift_shows_on_its_date_and_only_in_those_who_drift(dials: dict[float, Shop]) -> None:
    shop = dials[1.0]
    people, visits = shop.people.table, shop.visits
    drifts = (people["group_before"] != people["group_after"]).to_numpy()
    assert abs(drifts.mean() - shop.parameters.drift_share) < 0.03
    first_day = visits["start"] // SECONDS_PER_DAY
    before = (first_day < shop.parameters.drift_block * BLOCK_DAYS) & (visits["ring"] < 0)
    own = np.where(
        before,
        people["group_before"].to_numpy()[visits["person"]],
        people["group_after"].to_numpy()[visits["person"]],
    )
    assert (visits["group"] == own)[visits["ring"] < 0].all()
    number = {group.name: position for position, group in enumerate(GROUPS)}
    becomes_researcher = drifts & (people["group_after"] == number["researchers"]).to_numpy()
    shares = _search_first_of(shop, becomes_researcher, before.to_numpy())
    assert shares[False] > shares[True] + 0.05  # researchers search before they look


def _search_first_of(
    shop: Shop, chosen: npt.NDArray[np.bool_], before: npt.NDArray[np.bool_]
) -> dict[bool, float]:
    events = shop.events.assign(place=np.arange(len(shop.events)))
    events = events[chosen[shop.visits["person"].to_numpy()[events["visit"]]]]
    searches, views = (events.loc[events["type"] == kind, ["visit", "place"]] for kind in (SEARCH, VIEW))
    pairs = searches.merge(views, on="visit")
    first = (pairs["place_x"] < pairs["place_y"]).groupby(before[pairs["visit"]]).mean()
    return {bool(key): float(value) for key, value in first.items()}


def test_without_a_drift_share_nobody_drifts() -> None:
    people = simulate.imagine(replace(SMALL, drift_share=0.0)).people.table
    assert (people["group_before"] == people["group_after"]).all()


# Campaigns


def test_what_happened_is_the_potential_outcome_of_the_assigned_arm(shop: Shop) -> None:
    contacts = shop.contacts
    real = shop.orders.merge(shop.visits[["contact"]], left_on="visit", right_index=True)
    per_contact = real[real["contact"] >= 0].groupby("contact")
    for column, found in (
        ("orders", per_contact.size()),
        ("paid_cents", per_contact["paid_cents"].sum()),
        ("redemptions", per_contact["coupon"].apply(lambda each: (each >= 0).sum())),
    ):
        assert (found.reindex(contacts.index, fill_value=0) == contacts[column]).all(), column
    for arm, treated in (("treated", True), ("untreated", False)):
        rows = contacts[contacts["treated"] == treated]
        assert (rows["orders"] == rows[f"orders_if_{arm}"]).all()
    assert contacts.loc[~contacts["treated"], "redemptions"].sum() == 0
    assert not (shop.orders["coupon"].to_numpy() >= 0)[
        ~shop.visits["is_treated"].to_numpy()[shop.orders["visit"]]
    ].any()


def test_arms_are_random_and_their_difference_is_the_true_effect(shop: Shop) -> None:
    contacts = shop.contacts
    treated = contacts["treated"]
    assert stats.binomtest(int(treated.sum()), len(treated), 0.5).pvalue > 0.001
    value = shop.people.table["value"].to_numpy()[contacts["person"]]
    assert stats.ks_2samp(value[treated], value[~treated]).pvalue > 0.001
    buys, would_buy = contacts["orders_if_treated"] > 0, contacts["orders_if_untreated"] > 0
    effect = (buys.astype(int) - would_buy).mean()
    seen = (contacts["orders"] > 0)[treated].mean() - (contacts["orders"] > 0)[~treated].mean()
    assert abs(seen - effect) < 3 * np.sqrt(0.25 / treated.sum() + 0.25 / (~treated).sum())


def test_offers_win_some_and_annoy_others(shop: Shop) -> None:
    contacts = shop.contacts
    won = contacts["orders_if_treated"] > contacts["orders_if_untreated"]
    lost = contacts["orders_if_treated"] < contacts["orders_if_untreated"]
    assert won.sum() > 100
    assert lost.sum() > 20
    assert (contacts.loc[won, "effect"] > 0).all()
    assert (contacts.loc[lost, "effect"] < 0).all()


# Money and identity


def test_the_usual_shop_has_enough_high_value_users_at_the_test_cut(shop: Shop) -> None:
    """Net revenue in the 90 days after day 150 ≥ the 80th percentile of buyers' in the 90 before."""
    before, after = _net_cents(shop, 60, 150), _net_cents(shop, 150, 240)
    threshold = np.quantile(before[before > 0], 0.8)
    positives = after >= threshold
    assert positives.sum() >= 100
    value = shop.people.table["value"].to_numpy()
    assert value[positives].mean() > 1.2 * value[~positives].mean()


def _net_cents(shop: Shop, start: int, stop: int) -> npt.NDArray[np.float64]:
    person = shop.visits["person"].to_numpy()
    net = np.zeros(len(shop.people))
    paid = shop.orders[~shop.orders["fails"]]
    for frame, column, sign in ((paid, "paid_cents", 1), (shop.refunds, "refund_cents", -1)):
        inside = frame[
            frame["seconds"].between(start * SECONDS_PER_DAY, stop * SECONDS_PER_DAY, inclusive="left")
        ]
        net += sign * np.bincount(person[inside["visit"]], inside[column], minlength=len(net))
    return net


def test_payments_and_refunds_agree_with_the_orders(shop: Shop) -> None:
    lines = shop.lines
    goods = (lines["quantity"] * lines["unit_cents"] - lines["discount_cents"]).groupby(lines["visit"]).sum()
    orders = shop.orders.set_index("visit")
    assert (goods == orders["goods_cents"]).all()
    assert (
        orders["paid_cents"] == orders["goods_cents"] - orders["discount_cents"] + orders["shipping_cents"]
    ).all()
    succeeded = shop.payments[shop.payments["status"] == "succeeded"]
    assert succeeded["visit"].is_unique
    assert set(succeeded["visit"]) == set(shop.orders.loc[~shop.orders["fails"], "visit"])
    refunded = shop.refunds.groupby("visit")["refund_cents"].sum()
    assert (refunded <= orders["goods_cents"].reindex(refunded.index)).all()


def test_nobody_is_known_before_having_an_account(shop: Shop) -> None:
    known = shop.visits[shop.visits["is_known"]]
    opened = registered_day(shop.people)[known["person"]] * SECONDS_PER_DAY
    assert (known["start"] >= opened).all()
    happened = shop.visits[shop.visits["happens"]]
    assert 0.5 < happened["is_known"].mean() < 0.8
    linked = set(zip(shop.links["device"], shop.links["person"], strict=True))
    used = happened[happened["is_known"]]
    assert linked == set(zip(used["device"], used["person"], strict=True))


def test_some_devices_are_shared_by_two_and_some_by_many(shop: Shop) -> None:
    users = shop.links.groupby("device")["person"].nunique()
    use = shop.devices.table["use"].reindex(users.index)
    assert (users[use == "own"] == 1).all()
    assert (users[use == "household"] == 2).sum() > 50
    assert (users[use.isin(["kiosk", "ring", "dormitory"])] > 2).all()


def test_rings_are_charged_back_and_look_alikes_are_not(shop: Shop) -> None:
    rings = shop.rings
    assert rings.groupby("kind")["ring"].nunique().to_dict() == {"ring": 6, "dormitory": 8}
    assert rings["person"].is_unique
    kind = rings.groupby("ring")["kind"].first()
    payments = shop.payments.assign(ring=shop.visits["ring"].to_numpy()[shop.payments["visit"]])
    back = payments[payments["status"] == "charged_back"]
    assert (back.loc[back["ring"] >= 0, "ring"].map(kind) == "ring").mean() > 0.9
    assert (back["ring"] >= 0).sum() > 50


# The command


def _arguments(*argv: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    simulate.add_arguments(parser)
    return parser.parse_args(argv)


def test_command_writes_both_folders_and_may_be_repeated(tmp_path: Path) -> None:
    where = ("--out", str(tmp_path / "drops"), "--truth", str(tmp_path / "truth"))
    simulate.act(_arguments("--users", "60", "--days", "28", *where))
    first = _digest(tmp_path / "drops")
    simulate.act(_arguments("--users", "60", "--days", "28", *where))
    assert _digest(tmp_path / "drops") == first
    parameters = json.loads((tmp_path / "truth" / "parameters.json").read_text())
    assert (parameters["users"], parameters["days"], parameters["seed"]) == (60, 28, 7)


def test_command_refuses_a_folder_with_other_files(tmp_path: Path) -> None:
    (tmp_path / "precious.txt").write_text("mine")
    with pytest.raises(ShoalError, match=r"precious\.txt"):
        simulate.simulate(SMALL, tmp_path, tmp_path.parent / "truth")
    assert (tmp_path / "precious.txt").read_text() == "mine"


def test_command_refuses_to_put_the_truth_where_the_pipeline_reads(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="truth"):
        simulate.simulate(SMALL, tmp_path / "drops", tmp_path / "drops" / "truth")


@pytest.mark.parametrize(
    "option", [("--users", "5"), ("--days", "10"), ("--order-signal", "1.5"), ("--drift-share", "3.0")]
)
def test_command_refuses_what_it_cannot_simulate(option: tuple[str, str], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=option[1]):
        simulate.act(_arguments(*option, "--out", str(tmp_path / "d"), "--truth", str(tmp_path / "t")))

"""Held, refused and quarantined: what a person or a later day makes good, without loss or doubling."""

from __future__ import annotations

import json
from datetime import date
from threading import Thread

import duckdb
import pytest

import cli
from landing import contracts, ledger, quarantine, repair, shops
from landing.__main__ import parser
from landing.receive import receive
from landing.workplace import workplace

from .world import CORNER, VIEW, make_shop, write_rows

DAY = "2024-03-01"


def events(count: int, bad: int = 0, day: str = DAY) -> list[dict[str, str]]:
    """Make rows of which the last ``bad`` have an event type that no contract knows."""
    made = [
        VIEW | {"event_id": f"{day} e{number}", "occurred_at": f"{day} 10:00:00"} for number in range(count)
    ]
    return made[: count - bad] + [row | {"event_type": "buy"} for row in made[count - bad :]]


@pytest.fixture
def shoal(corner):
    return lambda *argv: cli.run(parser(), [*argv, "--shop", "corner"])


@pytest.fixture
def know_buy(tmp_path, monkeypatch):
    """Change the mapping, so that `buy` is a word for `cart`."""

    def change():
        source = {"name": "events", "files": ["events_*"]}
        event_type = {"from": "event_type", "values": {"buy": "cart"}}
        tables = {"events": {"as_contract": True, "columns": {"event_type": event_type}}}
        return make_shop(tmp_path, monkeypatch, CORNER | {"sources": [source | {"tables": tables}]})

    return change


def only(paths):
    (file,) = ledger.files(paths)
    return file


def conserved(file) -> bool:
    return file.rows_in == file.rows_good + file.rows_quarantined + file.rows_duplicate


def rows_of_ledger(paths) -> int:
    return sum(day.rows_written for file in ledger.accepted(paths) for day in file.tables)


# --- the share


@pytest.mark.parametrize(
    ("count", "bad", "code"),
    [
        (100, 5, cli.DONE),  # exactly 5 %
        (100, 6, cli.GATE_STOPPED),
        (10, 4, cli.DONE),  # four typing errors
        (10, 5, cli.GATE_STOPPED),
        (2, 2, cli.GATE_STOPPED),  # no row is good
    ],
)
def test_more_bad_rows_than_the_contract_allows_hold_the_file(
    shoal, paths, drops, write_csv, count, bad, code
):
    write_csv(f"events_{DAY}.csv", events(count, bad))
    assert shoal("receive", str(drops)) == code
    assert only(paths).status == ("held" if code else "accepted")
    assert ledger.latest_complete_day("corner") == (None if code else date(2024, 3, 1))
    # Asked again, the answer is the same: nothing was decided meanwhile.
    assert shoal("receive", str(drops)) == code
    assert len(paths.ledger.read_text().splitlines()) == 1


def test_rows_that_are_only_early_hold_no_file(shoal, paths, drops, write_csv):
    write_csv(f"events_{DAY}.csv", [row | {"occurred_at": "2024-03-09"} for row in events(10)])
    assert shoal("receive", str(drops)) == cli.DONE
    assert (only(paths).status, only(paths).due_on) == ("accepted", date(2024, 3, 9))


def test_a_held_file_says_why_and_how_to_go_on(shoal, paths, drops, write_csv, capsys):
    write_csv(f"events_{DAY}.csv", events(100, 6))
    shoal("receive", str(drops))
    said = capsys.readouterr().err
    assert "6 of 100 rows quarantined, allowed 5%: not_allowed:event_type 6" in said
    assert f"python -m landing accept|replay {only(paths).batch_id} --shop corner" in said
    assert "withdraw <file>" in said  # a batch may hold files that count


def test_a_refused_file_of_another_table_is_said_to_degrade_the_run(shoal, drops, write_csv, capsys):
    write_csv(f"events_{DAY}.csv", events(1))
    write_csv(f"reviews_{DAY}.csv", [{"review": "x"}])
    assert shoal("receive", str(drops)) == cli.DONE
    said = capsys.readouterr().err
    assert "degraded" in said and f"reviews_{DAY}.csv" in said


# --- accept and withdraw


@pytest.mark.parametrize("key", ["batch_id", "file_id", "file_name"])
def test_accept_lets_a_held_file_count_by_batch_id_or_name(shoal, paths, drops, write_csv, key):
    write_csv(f"events_{DAY}.csv", events(10, 5))
    shoal("receive", str(drops))
    assert shoal("accept", getattr(only(paths), key), "--reason", "a test day") == cli.DONE
    assert (only(paths).status, only(paths).reasons) == ("accepted", ("a test day",))
    assert (only(paths).rows_good, only(paths).rows_quarantined) == (5, 5)
    assert shoal("receive", str(drops)) == cli.DONE
    lines = len(paths.ledger.read_text().splitlines())
    assert shoal("accept", only(paths).batch_id) == cli.DONE  # again: nothing is left to decide
    assert len(paths.ledger.read_text().splitlines()) == lines == 2


def test_withdraw_takes_a_file_out_and_accept_brings_it_back(shoal, paths, drops, write_csv):
    write_csv(f"events_{DAY}.csv", events(10, 5))
    shoal("receive", str(drops))
    name = f"events_{DAY}.csv"
    assert shoal("withdraw", name) == cli.DONE
    assert only(paths).status == "withdrawn"
    assert list(quarantine.rows(paths)) == []
    assert shoal("receive", str(drops)) == cli.DONE  # left alone
    assert only(paths).status == "withdrawn"
    assert shoal("accept", name) == cli.DONE
    assert only(paths).status == "accepted"


def test_withdrawn_content_counts_again_under_another_name(shoal, paths, drops, write_csv):
    """So a day is read with the mapping of now; while it counts, its content is a duplicate delivery."""
    write_csv(f"events_{DAY}.csv", events(2))
    shoal("receive", str(drops))
    (drops / f"events_{DAY}.csv").rename(drops / f"events_{DAY}_again.csv")
    shoal("receive", str(drops))
    assert only(paths).file_name == f"events_{DAY}.csv"
    shoal("withdraw", f"events_{DAY}.csv")
    shoal("receive", str(drops))
    assert [(file.file_name, file.status) for file in ledger.files(paths)] == [
        (f"events_{DAY}.csv", "withdrawn"),
        (f"events_{DAY}_again.csv", "accepted"),
    ]


def test_withdrawing_a_refused_file_lets_the_chain_go_on_without_it(shoal, paths, drops, write_csv):
    write_csv(f"events_{DAY}.csv", [{"event_id": "e1"}])
    assert shoal("receive", str(drops)) == cli.GATE_STOPPED
    assert shoal("withdraw", f"events_{DAY}.csv") == cli.DONE
    assert shoal("receive", str(drops)) == cli.DONE


def test_a_refused_file_cannot_be_accepted(shoal, drops, write_csv, capsys):
    write_csv(f"events_{DAY}.csv", [{"event_id": "e1"}])
    shoal("receive", str(drops))
    capsys.readouterr()
    assert shoal("accept", f"events_{DAY}.csv") == cli.WRONG_USAGE
    assert "refused, so nothing of it was landed" in capsys.readouterr().err


def test_held_files_of_a_batch_are_decided_though_others_of_it_are_refused_or_wait(
    shoal, paths, drops, write_csv
):
    """As `receive` and `serving status` print it: by the batch."""
    write_csv(f"events_{DAY}.csv", events(10, 5))
    write_csv(f"reviews_{DAY}.csv", [{"review": "x"}])
    (drops / f"orders_{DAY}.csv").write_text("order_id,customer")
    shoal("receive", str(drops))
    (batch,) = {file.batch_id for file in ledger.files(paths)}
    states = []
    for verb in ("accept", "withdraw"):
        assert shoal(verb, batch) == cli.DONE
        states.append({file.source: file.status for file in ledger.files(paths)})
    assert states == [
        {"events": "accepted", "reviews": "refused", "orders": "waiting"},
        {"events": "withdrawn", "reviews": "withdrawn", "orders": "waiting"},
    ]


@pytest.mark.parametrize("verb", ["accept", "withdraw", "replay"])
def test_an_unknown_target_is_wrong_usage(shoal, verb, capsys):
    assert shoal(verb, "../etc/passwd") == cli.WRONG_USAGE
    assert "python -m landing ledger --shop corner" in capsys.readouterr().err


# --- replay


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_replay_lands_what_a_new_mapping_understands_and_doubles_nothing(
    shoal, paths, drops, landed, write_csv, know_buy, ending
):
    rows = [*events(20, 2), VIEW | {"event_id": "", "event_type": "?", "page": "Grüße, 1.10"}]
    rows = [{"page": ""} | row for row in rows]
    path = write_csv(f"events_{DAY}.csv", rows)
    if ending == "jsonl":
        path.unlink()
        path.with_suffix(".jsonl").write_text(
            "".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8"
        )
    elif ending == "parquet":
        read = duckdb.connect().read_csv(str(path), all_varchar=True)
        read.write_parquet(str(path.with_suffix(".parquet")))
        path.unlink()
    assert shoal("receive", str(drops)) == cli.DONE
    before = paths.ledger.read_bytes()
    first = landed("events")

    assert shoal("replay", f"events_{DAY}.{ending}") == cli.DONE  # nothing has changed: nothing becomes good
    assert (only(paths).rows_good, only(paths).rows_quarantined) == (18, 3)
    assert landed("events") == first
    assert paths.ledger.read_bytes() == before

    know_buy()
    for lines in (2, 2):
        assert shoal("replay", only(paths).batch_id) == cli.DONE
        assert (only(paths).rows_good, only(paths).rows_quarantined) == (20, 1)
        assert conserved(only(paths))
        assert [row["row_number"] for row in landed("events")] == list(range(1, 21))
        assert rows_of_ledger(paths) == 20
        assert len(paths.ledger.read_bytes().splitlines()) == lines
    assert {str(row["delivered_on"]) for row in landed("events")} == {DAY}
    assert paths.ledger.read_bytes().startswith(before)  # further lines, never edits
    assert only(paths).mapping_version == shops.load("corner").sources[0].version
    assert [row["row_number"] for row in quarantine.rows(paths)] == [21]
    assert shoal("receive", str(drops)) == cli.DONE
    assert rows_of_ledger(paths) == 20


def test_replay_lets_a_file_count_that_was_held_for_its_share(shoal, paths, drops, write_csv, know_buy):
    write_csv(f"events_{DAY}.csv", events(100, 50))
    assert shoal("receive", str(drops)) == cli.GATE_STOPPED
    assert shoal("replay", f"events_{DAY}.csv") == cli.GATE_STOPPED
    assert "50 of 100" in only(paths).reasons[0]
    know_buy()
    assert shoal("replay", f"events_{DAY}.csv") == cli.DONE
    assert (only(paths).status, only(paths).rows_good, only(paths).held_at) == ("accepted", 100, None)


def test_replay_leaves_held_what_the_border_held(shoal, paths, drops, write_csv, know_buy):
    write_csv(f"events_{DAY}.csv", events(20, 1))
    shoal("receive", str(drops))
    ledger.set_status(paths, [only(paths).file_id], "held", ["volume halved"])
    know_buy()
    assert shoal("replay", f"events_{DAY}.csv") == cli.GATE_STOPPED
    assert (only(paths).status, only(paths).reasons, only(paths).rows_good) == (
        "held",
        ("volume halved",),
        20,
    )


def test_replay_reads_a_refused_file_again_once_the_mapping_fits(
    shoal, paths, drops, write_csv, tmp_path, monkeypatch
):
    rows = [{"kind" if name == "event_type" else name: value for name, value in VIEW.items()}]
    write_csv(f"events_{DAY}.csv", rows)
    assert shoal("receive", str(drops)) == cli.GATE_STOPPED
    assert shoal("replay", f"events_{DAY}.csv") == cli.GATE_STOPPED
    tables = {"events": {"as_contract": True, "columns": {"event_type": "kind"}}}
    source = {"name": "events", "files": ["events_*"], "tables": tables}
    make_shop(tmp_path, monkeypatch, CORNER | {"sources": [source]})
    assert shoal("replay", f"events_{DAY}.csv") == cli.DONE
    assert (only(paths).status, only(paths).rows_good) == ("accepted", 1)


@pytest.mark.parametrize(
    ("told", "known_on"),
    [
        (["--history"], {"2024-02-01", DAY}),
        (["--delivered-on", "2024-03-05"], {"2024-03-05"}),
    ],
)
def test_replay_of_a_refused_file_goes_by_the_day_that_its_last_receive_was_told(
    shoal, paths, drops, write_csv, landed, tmp_path, monkeypatch, told, known_on
):
    days = ("2024-02-01", DAY)
    rows = [VIEW | {"event_id": day, "occurred_at": f"{day} 10:00:00"} for day in days]
    renamed = [{"kind" if name == "event_type" else name: row[name] for name in row} for row in rows]
    write_csv(f"events_{DAY}.csv", renamed)
    for options in ([], told):
        assert shoal("receive", str(drops), *options) == cli.GATE_STOPPED
    tables = {"events": {"as_contract": True, "columns": {"event_type": "kind"}}}
    source = {"name": "events", "files": ["events_*"], "tables": tables}
    make_shop(tmp_path, monkeypatch, CORNER | {"sources": [source]})
    assert shoal("replay", f"events_{DAY}.csv") == cli.DONE
    assert {str(row["delivered_on"]) for row in landed("events")} == known_on


def test_replay_of_a_refused_file_that_is_gone_says_so(shoal, drops, write_csv, capsys):
    write_csv(f"events_{DAY}.csv", [{"event_id": "e1"}])
    shoal("receive", str(drops))
    (drops / f"events_{DAY}.csv").unlink()
    capsys.readouterr()
    assert shoal("replay", f"events_{DAY}.csv") == cli.WRONG_USAGE
    assert "no longer there" in capsys.readouterr().err


def test_replay_by_an_expression_that_cannot_take_a_value_says_so_and_does_not_quote_it(
    shoal, paths, drops, write_csv, tmp_path, monkeypatch, capsys
):
    write_csv(f"events_{DAY}.csv", events(20, 1))
    shoal("receive", str(drops))
    columns = {"event_type": {"sql": "strptime(customer_id, '%Y')::varchar"}}
    tables = {"events": {"as_contract": True, "columns": columns}}
    make_shop(
        tmp_path, monkeypatch, CORNER | {"sources": [{"name": "events", "files": ["e*"], "tables": tables}]}
    )
    before = only(paths)
    capsys.readouterr()
    assert shoal("replay", f"events_{DAY}.csv") == cli.WRONG_USAGE
    said = capsys.readouterr().err
    assert f"events_{DAY}.csv" in said and "some expression of source 'events'" in said and "c1" not in said
    assert only(paths) == before


def test_rows_that_could_not_be_taken_apart_stay_in_the_quarantine(shoal, paths, drops, know_buy):
    header = "event_id,event_type,occurred_at,customer_id\n"
    lines = ["e1,view,2024-03-01,c1", "e2,view", 'e3,"view,2024-03-01,c1', "e4,buy,2024-03-01,c1"]
    (drops / f"events_{DAY}.csv").write_text(header + "\n".join(lines) + "\n", encoding="utf-8")
    shoal("receive", str(drops))
    know_buy()
    shoal("replay", f"events_{DAY}.csv")
    assert (only(paths).rows_good, only(paths).rows_quarantined) == (2, 2)
    assert sorted(row["reasons"][0] for row in quarantine.rows(paths)) == ["broken_quotes", "ragged_row"]


def test_a_replay_that_is_killed_before_its_line_never_was(
    shoal, paths, drops, write_csv, landed, know_buy, monkeypatch
):
    write_csv(f"events_{DAY}.csv", events(20, 2))
    shoal("receive", str(drops))
    before, quarantined = only(paths), list(quarantine.rows(paths))
    shop = know_buy()
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt), workplace(shop, drops) as place:
        patch.setattr(ledger, "commit", _die)
        repair.replay_all(place, [before])
    assert only(paths) == before
    assert list(quarantine.rows(paths)) == quarantined
    receive(shop, drops)
    assert len(landed("events")) == 18  # what it wrote is swept away
    assert shoal("replay", f"events_{DAY}.csv") == cli.DONE
    assert len(landed("events")) == rows_of_ledger(paths) == 20
    receive(shop, drops)
    assert len(list(paths.quarantine.iterdir())) == 1  # bad rows of before the replay name people too


def test_a_file_that_is_withdrawn_while_it_is_replayed_stays_withdrawn(
    shoal, paths, drops, write_csv, know_buy
):
    write_csv(f"events_{DAY}.csv", events(20, 2))
    shoal("receive", str(drops))
    before, shop = only(paths), know_buy()
    other = Thread(target=repair.withdraw, args=(paths, before.file_id, "not ours"))
    with workplace(shop, drops) as place:
        other.start()
        other.join(timeout=1)  # as long as nobody decides while others land, it waits
        repair.replay_all(place, [before])
    other.join()
    assert (only(paths).status, only(paths).rows_good) == ("withdrawn", 20)


def _die(*_: object) -> None:
    raise KeyboardInterrupt


# --- rows whose day has not come


def deliver(drops, day: str, *rows: dict[str, str]) -> None:
    write_rows(drops / f"events_{day}.csv", rows)


def test_future_rows_release_themselves_when_their_day_is_complete(shoal, paths, drops, landed):
    early = VIEW | {"event_id": "early", "occurred_at": "2024-03-03 08:00:00"}
    later = VIEW | {"event_id": "later", "occurred_at": "2024-03-09 08:00:00"}
    deliver(drops, DAY, VIEW, early, later, early | {"event_id": "bad", "event_type": "buy"})
    seen = []
    for day in (DAY, "2024-03-02", "2024-03-03", "2024-03-04"):
        if day != DAY:
            deliver(drops, day, VIEW | {"event_id": day, "occurred_at": f"{day} 10:00:00"})
        assert shoal("receive", str(drops)) == cli.DONE
        statuses = {row["row_number"]: row["status"] for row in quarantine.rows(paths)}
        seen.append((len(landed("events")), statuses))
    waiting = {2: "waiting", 3: "waiting", 4: "open"}
    assert seen == [
        (1, waiting),
        (2, waiting),
        (4, {3: "waiting", 4: "open"}),
        (5, {3: "waiting", 4: "open"}),
    ]
    (released,) = [row for row in landed("events") if row["event_id"] == "early"]
    assert (released["event_date"], released["delivered_on"]) == (date(2024, 3, 3), date(2024, 3, 3))
    first = next(file for file in ledger.files(paths) if str(file.delivered_on) == DAY)
    assert conserved(first) and (first.rows_good, first.due_on) == (2, date(2024, 3, 9))
    before = paths.ledger.read_bytes()
    shoal("receive", str(drops))
    assert paths.ledger.read_bytes() == before  # released once


def test_a_row_that_was_early_for_a_day_long_gone_is_released_at_once(shoal, drops, landed):
    deliver(drops, "2024-03-03", VIEW | {"occurred_at": "2024-03-03 10:00:00"})
    shoal("receive", str(drops))
    deliver(drops, DAY, VIEW | {"event_id": "early", "occurred_at": "2024-03-02 08:00:00"})
    shoal("receive", str(drops))
    assert [str(row["delivered_on"]) for row in landed("events") if row["event_id"] == "early"] == [
        "2024-03-02"
    ]


def test_every_table_of_a_released_row_knows_it_from_its_day_on(shop_with, drops, landed):
    columns = {"order_id": "id", "ordered_at": "at", "customer_id": "who"}
    source = {
        "name": "orders",
        "files": ["orders_*"],
        "tables": {"orders": {"columns": columns}, "customers": {"columns": {"customer_id": "who"}}},
    }
    shop = shop_with(sources=[source], required=["orders"], daily=["orders"])
    for day, order in ((DAY, "2024-03-02 10:00"), ("2024-03-02", "2024-03-02 11:00")):
        write_rows(drops / f"orders_{day}.csv", [{"id": day, "at": order, "who": day}])
        receive(shop, drops)
    for table in ("orders", "customers"):
        assert {str(row["delivered_on"]) for row in landed(table)} == {"2024-03-02"}
        assert {str(row["event_date"]) for row in landed(table)} == {"2024-03-02"}


def test_contracts_say_the_share_that_receive_goes_by(monkeypatch, shoal, paths, drops, write_csv):
    lenient = contracts.load()["events"].model_copy(update={"max_quarantined_share": 0.6})
    monkeypatch.setitem(contracts.load(), "events", lenient)
    write_csv(f"events_{DAY}.csv", events(100, 60))
    assert shoal("receive", str(drops)) == cli.DONE

"""``python -m landing`` as a person types it."""

from __future__ import annotations

import json

import pytest

import cli
from landing.__main__ import parser


@pytest.fixture
def shoal(corner):
    return lambda *argv: cli.run(parser(), [*argv, "--shop", "corner"])


def test_receive_lands_and_sums_up(shoal, write_csv, drops, view, capsys):
    write_csv("events_2024-03-01.csv", [view, view | {"event_type": "buy"}])
    assert shoal("receive", str(drops)) == cli.DONE
    seen = capsys.readouterr()
    assert seen.out == ""
    assert "not_allowed:event_type" in seen.err
    assert "no rows so far in" in seen.err and "reviews" in seen.err
    assert shoal("receive", str(drops)) == cli.DONE
    assert "nothing new was landed" in capsys.readouterr().err


def test_ignored_files_are_told_with_why_and_what_to_do(shoal, write_csv, drops, view, capsys):
    write_csv("events_2024-03-01.csv", [view])
    write_csv("notes.csv", [view])
    for name in ("customers_a.xls", "customers_b.XLS", "orders.zip", "products.json", "README"):
        (drops / name).write_bytes(b"x")
    assert shoal("receive", str(drops)) == 0
    said = " ".join(capsys.readouterr().err.split())
    excel = "ignored, no reader for .xls files: save as .xlsx or .csv: 2 files"
    assert f"{excel} (customers_a.xls, customers_b.XLS)" in said
    assert "no reader for .zip files: unpack it and deliver what is in it: 1 files (orders.zip)" in said
    assert "no reader for .json files: write one object a line, as .jsonl: 1 files (products.json)" in said
    assert "no reader for files without an ending: deliver one of .csv, .csv.gz," in said
    assert "ignored, no source of the shop has such a name: 1 files (notes.csv)" in said


def test_refused_file_of_a_required_table_stops_the_chain(shoal, write_csv, drops, capsys):
    write_csv("events_2024-03-01.csv", [{"event_id": "e1"}])
    assert shoal("receive", str(drops)) == cli.GATE_STOPPED
    assert "'event_type' and 'occurred_at' is missing" in capsys.readouterr().err


def test_refused_file_of_another_table_does_not(shoal, write_csv, drops, view):
    write_csv("events_2024-03-01.csv", [view])
    write_csv("reviews_2024-03-01.csv", [{"review": "x"}])
    assert shoal("receive", str(drops)) == cli.DONE


def test_latest_day_prints_the_day_alone(shoal, write_csv, drops, view, capsys):
    assert shoal("latest-day") == cli.DONE
    seen = capsys.readouterr()
    assert (seen.out, "no complete day" in seen.err) == ("", True)
    write_csv("events_2024-03-01.csv", [view])
    shoal("receive", str(drops))
    capsys.readouterr()
    assert shoal("latest-day") == cli.DONE
    assert capsys.readouterr().out == "2024-03-01\n"


def test_ledger_and_quarantine_speak_json(shoal, write_csv, drops, view, capsys):
    write_csv("events_2024-03-01.csv", [view, view | {"event_type": "buy"}])
    shoal("receive", str(drops))
    capsys.readouterr()
    shoal("ledger", "--json")
    assert json.loads(capsys.readouterr().out)["rows_quarantined"] == 1
    shoal("quarantine", "--json")
    assert json.loads(capsys.readouterr().out)["reasons"] == ["not_allowed:event_type"]
    shoal("ledger")
    shoal("quarantine")
    assert "not_allowed" in capsys.readouterr().out


def test_what_tells_no_currency_beside_an_order_in_another_is_told(shoal, drops, write_csv, capsys):
    order = {"order_id": "o1", "ordered_at": "2024-03-01 10:00:00", "customer_id": "c1", "currency": "EUR"}
    write_csv("orders_2024-03-01.csv", [order, order | {"order_id": "o2", "currency": "USD"}])
    assert shoal("receive", str(drops)) == cli.DONE
    said = capsys.readouterr().err
    assert "quarantined: 1 rows, other_currency:currency" in said
    assert "tells none counts as EUR: map the currency of lines, payments and refunds too" in said


@pytest.mark.parametrize("argv", [["receive", "/nowhere"], ["latest-day", "--shop", "nowhere"]])
def test_wrong_usage_is_said_in_one_line(corner, argv, capsys):
    assert cli.run(parser(), argv if "--shop" in argv else [*argv, "--shop", "corner"]) == cli.WRONG_USAGE
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_help_teaches(capsys):
    with pytest.raises(SystemExit):
        parser().parse_args(["receive", "-h"])
    manual = capsys.readouterr().out
    for word in ("quarantine", "ledger", "--delivered-on", "--history", "exit codes"):
        assert word in manual

"""The on-call page of a shop: every line that names trouble names the command that repairs it."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

import cli
import journal
from landing import ledger, quarantine
from landing.ledger import LandedDay, LedgerFile
from ml import waiting
from serving import versions
from serving.__main__ import parser
from serving.publish import publish
from serving.recorded import in_chinese
from serving.status import UNPUBLISHED_SHOWN, lines
from settings import ShopPaths
from tests.chinese import english_left

FIRST = date(2026, 3, 1)
NEXT = FIRST + timedelta(days=1)


@pytest.fixture
def deliver(paths, monkeypatch):
    """Deliver the shop's one daily table."""
    monkeypatch.setattr(ledger, "complete_days", lambda shop: _days(ShopPaths(shop)))

    def deliver(
        day: date, status: str = "accepted", quarantined: int = 0, reasons: tuple[str, ...] = ()
    ) -> None:
        file = LedgerFile(
            file_id=f"f{day}",
            batch_id=f"b{day}",
            shop=paths.shop,
            source="events",
            file_name=f"events-{day}.csv",
            content_hash="x",
            status=status,
            rows_quarantined=quarantined,
            delivered_on=day,
            landed_at=journal.now(),
            contract_version="1",
            mapping_version="1",
            delivers=("events",),
            tables=(LandedDay(table="events", event_date=day, rows_written=1),),
            reasons=reasons,
            decided_at=journal.now(),
        )
        if quarantined:
            row = {
                "table": "events",
                "row_number": 1,
                "reasons": ["missing:event_id"],
                "columns": {},
                "raw": "…",
            }
            quarantine.write(paths, file.file_id, [row] * quarantined)
        ledger.commit(paths, [file])

    return deliver


def _days(paths: ShopPaths) -> set[date]:
    return {file.delivered_on for file in ledger.accepted(paths) if file.delivered_on}


def page(paths) -> dict[str, tuple[str, str | None]]:
    told = lines(paths)
    for text in {text for line in told for text in (line.subject, line.state, line.repair) if text}:
        assert english_left(in_chinese(text)) == [], text
    return {line.subject: (line.state, line.repair) for line in told}


def test_an_empty_shop_is_told_how_to_begin(paths, deliver):
    assert page(paths) == {
        "last complete day": ("none", "python -m landing receive <folder> --shop simulated"),
        "version": ("nothing published", "python -m serving publish --shop simulated"),
    }


def test_a_healthy_shop_has_nothing_to_repair(working, paths, deliver):
    deliver(FIRST)
    working.build(FIRST)
    publish(paths, FIRST)
    assert [line.repair for line in lines(paths)] == [None, None]


def rerun(day: date) -> str:
    return (
        "python -m orchestrate airflow dags trigger land_behaviour "
        f"""--conf '{{"shop": "simulated", "as_of_date": "{day}"}}'"""
    )


def test_a_complete_day_that_is_not_published_is_named_with_the_command_that_runs_it(working, paths, deliver):
    deliver(FIRST)
    deliver(NEXT)
    working.build(FIRST)
    publish(paths, FIRST)
    state, repair = page(paths)[f"day {NEXT}"]
    assert state == "complete, not published"
    assert repair is not None and repair.endswith(rerun(NEXT))
    assert page(paths)["version"][1] is None


def test_a_day_lost_between_published_ones_is_named_until_it_is_published(working, paths, deliver):
    """The day before the first published one is history; the last but one of four met a paused DAG."""
    before, lost, last = FIRST - timedelta(days=1), NEXT + timedelta(days=1), NEXT + timedelta(days=2)
    for day in (before, FIRST, NEXT, lost, last):
        deliver(day)
    for day in (FIRST, NEXT, last):
        working.build(day)
        publish(paths, day)
    missing = {subject: told for subject, told in page(paths).items() if subject.startswith("day ")}
    assert list(missing) == [f"day {lost}"]
    state, repair = missing[f"day {lost}"]
    assert state == f"complete, not published, while {last} is"
    assert "unpause" in repair and repair.endswith(rerun(lost))
    working.build(lost)
    publish(paths, lost)
    assert [subject for subject in page(paths) if subject.startswith("day ")] == []


def test_a_day_whose_publish_broke_off_after_it_was_kept_is_named_until_readers_see_it(
    working, paths, deliver, monkeypatch
):
    """As on a full disk: the history knows what was said, and no version says it."""
    for day in (FIRST, NEXT):
        deliver(day)
        working.build(day)
    publish(paths, FIRST)

    def break_off(*_: object) -> None:
        raise OSError("No space left on device")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space left"):
        patch.setattr(versions, "finish", break_off)
        publish(paths, NEXT)
    assert page(paths)[f"day {NEXT}"][0] == "complete, not published"
    publish(paths, NEXT)
    assert f"day {NEXT}" not in page(paths)


def test_of_many_days_that_are_not_published_the_newest_are_named_and_the_others_counted(
    working, paths, deliver
):
    days = [FIRST + timedelta(days=number) for number in range(UNPUBLISHED_SHOWN + 3)]
    for day in days:
        deliver(day)
    working.build(FIRST)
    publish(paths, FIRST)
    found = [(line.subject, line.state) for line in lines(paths) if line.subject.startswith("day")]
    assert found == [
        ("days before", f"2 more, from {days[1]} to {days[2]}, are complete and not published"),
        *((f"day {day}", "complete, not published") for day in days[3:]),
    ]
    assert page(paths)["days before"][1].endswith(rerun(days[1]))


def test_a_pin_is_named_with_what_waits_behind_it(working, paths, deliver):
    deliver(FIRST)
    for day in (FIRST, NEXT):
        working.build(day)
        publish(paths, day)
    pinned = versions.rollback(paths, None)
    assert page(paths)["pin"] == (
        f"pinned to {pinned.name}; 1 newer built and not shown",
        "python -m serving release --shop simulated",
    )


def test_held_batches_and_quarantine_are_counted_by_reason(paths, deliver):
    few = "3 rows, median of the days before 900"
    deliver(FIRST, quarantined=3)
    deliver(NEXT, status="held", reasons=(f"expect_volume: {NEXT}: {few}",))
    found = page(paths)
    assert found[f"held batch b{NEXT}"][0] == (f"1 files (events-{NEXT}.csv): expect_volume: {NEXT}: {few}")
    assert found["quarantine, open"] == ("3 rows of events: missing:event_id 3", None)
    assert f"python -m landing accept b{NEXT} --shop simulated" in found[f"held batch b{NEXT}"][1]
    assert f"python -m landing withdraw f{NEXT} --shop simulated" in found[f"held batch b{NEXT}"][1]
    assert "python -m landing replay <file> --shop simulated" in found["quarantine"][1]


def test_a_missing_quarantine_file_is_named_with_its_repair_and_hides_nothing_else(paths, deliver):
    deliver(FIRST, quarantined=3)
    deliver(NEXT, quarantined=2)
    gone = quarantine.path(paths, f"f{FIRST}")
    gone.unlink()
    found = page(paths)
    assert found["quarantine, missing"] == (
        f"3 bad rows of events-{FIRST}.csv: {gone} is not there",
        f"put it back from a backup; else python -m landing withdraw f{FIRST} --shop simulated, "
        "and receive the file again under another name",
    )
    assert found["quarantine, open"] == ("2 rows of events: missing:event_id 2", None)
    with pytest.raises(cli.ShoalError, match=f"the bad rows in {gone} are missing: put that file back"):
        list(quarantine.rows(paths))


def test_refused_and_waiting_files_are_named_until_one_of_their_name_is_accepted(paths, deliver):
    deliver(FIRST, status="refused", reasons=("required column 'event_type' is missing",))
    deliver(NEXT, status="waiting", reasons=("its last line is not finished",))
    found = page(paths)
    state, repair = found[f"refused batch b{FIRST}"]
    assert "'event_type' is missing" in state and f"python -m landing replay b{FIRST}" in repair
    state, repair = found[f"waiting batch b{NEXT}"]
    assert "since 20" in state and "seconds ago" in state and "last line" in state
    assert "python -m landing receive" in repair
    for day in (FIRST, NEXT):
        deliver(day)
    assert [subject for subject in page(paths) if "batch" in subject] == []


def test_only_the_last_validation_of_a_gate_is_shown(paths, deliver):
    def judge(validation: str, outcome: str, severity: str = "error") -> journal.Record:
        return {
            "border": "bi",
            "validation_id": validation,
            "as_of_date": f"{FIRST}",
            "expectation": "no_unnamed_segment",
            "table": "user_segment_daily",
            "column": None,
            "outcome": outcome,
            "severity": severity,
            "observed": 4,
        }

    records = [judge("v1", "fail"), judge("v2", "pass"), judge("v2", "could_not_check")]
    journal.append(paths.ops / "data_quality.jsonl", records)
    found = [line for line in lines(paths) if line.subject == "gate bi"]
    assert [line.state for line in found] == [
        "as of 2026-03-01: 1 pass, 1 could_not_check",
        "could_not_check: no_unnamed_segment on user_segment_daily: found 4",
    ]
    assert found[1].repair == (
        "repair what it names, then python -m expectations bi --shop simulated --as-of 2026-03-01"
    )


def test_training_that_mlflow_keeps_waiting_is_named_until_a_date_as_late_was_trained_for(paths):
    def named() -> list[str]:
        return [line.subject for line in lines(paths) if line.subject.startswith("training")]

    for day in (NEXT, FIRST):
        waiting.begin(paths, day, "MLflow at http://127.0.0.1 failed")
    (line, _) = (line for line in lines(paths) if line.subject.startswith("training"))
    assert "waits for MLflow since 20" in line.state
    assert line.state.endswith("MLflow at http://127.0.0.1 failed")
    assert line.repair.endswith(f"python -m ml train --shop {paths.shop} --as-of {NEXT}")
    waiting.end(paths, FIRST)
    assert named() == [f"training {NEXT}"]
    waiting.begin(paths, FIRST, "again")
    waiting.end(paths, NEXT)
    assert named() == []


def test_the_verbs_say_what_they_did(working, paths, deliver, capsys):
    deliver(FIRST)
    working.build(FIRST)
    assert cli.run(parser(), ["publish"]) == cli.DONE
    assert "as of 2026-03-01: 3 users" in capsys.readouterr().out
    assert cli.run(parser(), ["publish"]) == cli.DONE
    assert "nothing changed but run ids" in capsys.readouterr().out
    working.build(NEXT)
    assert cli.run(parser(), ["publish", "--as-of", f"{NEXT}"]) == cli.DONE
    assert cli.run(parser(), ["rollback"]) == cli.DONE
    assert cli.run(parser(), ["versions"]) == cli.DONE
    assert "pinned" in capsys.readouterr().out
    assert cli.run(parser(), ["status"]) == cli.DONE
    assert "→ python -m serving release" in capsys.readouterr().out
    assert cli.run(parser(), ["release"]) == cli.DONE
    assert cli.run(parser(), ["query", "select count(*) as n from user_segment_current"]) == cli.DONE
    assert capsys.readouterr().out.splitlines()[-3:] == ["─", "6", "(1 row)"]
    assert cli.run(parser(), ["query", "select"]) == cli.WRONG_USAGE


def test_publish_stopped_by_a_check_exits_with_3(working, paths, deliver):
    deliver(FIRST)
    working.build(FIRST)
    working.execute("delete from bi.segment_profile_daily")
    assert cli.run(parser(), ["publish"]) == cli.GATE_STOPPED

"""What each border does around its verdict: find the data, judge, record, show, stop."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import date

import duckdb
from rich.markup import escape

import warehouse
from cli import DONE, GateStoppedError, ShoalError, console
from expectations import bi as bi_suite
from expectations import bi_facts, data_docs, deliveries, incoming_facts, ml_inputs_facts, validate
from expectations import incoming as incoming_suite
from expectations import ml_inputs as ml_inputs_suite
from expectations.adapter import Validator, reason
from expectations.validate import Finding, Outcome, Verdict
from landing import ledger, workplace
from settings import ShopPaths
from warehouse import snapshot

COLOURS = {
    Outcome.PASS: "green",
    Outcome.FAIL: "red",
    Outcome.COULD_NOT_CHECK: "magenta",
    Outcome.NOT_APPLICABLE: "dim",
}


def incoming(paths: ShopPaths, as_of: date | None) -> int:
    """Judge landed files and hold those at fault."""
    found = deliveries.find(paths, as_of)
    if not found.judged:
        console.print(f"incoming of {paths.shop}: no accepted file to judge")
        return DONE
    started = time.monotonic()
    run_id = validate.new_run_id()
    with duckdb.connect() as connection, validate.validator(connection) as on:
        connection.execute("set TimeZone = 'UTC'")
        findings = validate.judge(
            on,
            connection,
            "incoming",
            incoming_suite.EXPECTATIONS,
            lambda: incoming_facts.prepare(connection, paths, found),
            run_id,
        )
        verdict = Verdict(
            "incoming", run_id, as_of or found.newest_day, tuple(findings), tuple(found.batch_ids)
        )
        names = {file.file_id: file.file_name for file in found.judged}
        _hold(paths, verdict)
        return _conclude(paths, on, verdict, started, names)


def ml_inputs(paths: ShopPaths, as_of: date | None) -> int:
    """Judge the snapshot of an as_of_date."""
    day = _as_of(paths, as_of)
    found = snapshot.read(paths, day)
    started = time.monotonic()
    run_id = validate.new_run_id()
    with duckdb.connect() as connection, validate.validator(connection) as on:
        connection.execute("set TimeZone = 'UTC'")
        findings = validate.judge(
            on,
            connection,
            "ml_inputs",
            ml_inputs_suite.EXPECTATIONS,
            lambda: ml_inputs_facts.prepare(connection, paths, found),
            run_id,
        )
        return _conclude(paths, on, Verdict("ml_inputs", run_id, day, tuple(findings)), started)


def bi(paths: ShopPaths, as_of: date | None) -> int:
    """Judge the bi tables of the working warehouse, reading only, under its lock."""
    day = _as_of(paths, as_of)
    if not paths.warehouse.exists():
        raise ShoalError(
            f"there is no warehouse {paths.warehouse} to judge: run "
            f"`python -m warehouse build core --shop {paths.shop}` and the steps after it first"
        )
    run_id = validate.new_run_id()
    with warehouse.connect(paths, "expectations bi", read_only=True) as connection:
        started = time.monotonic()
        with validate.validator(connection) as on:
            findings = validate.judge(
                on,
                connection,
                "bi",
                bi_suite.EXPECTATIONS,
                lambda: bi_facts.prepare(connection, day),
                run_id,
            )
    return _conclude(paths, on, Verdict("bi", run_id, day, tuple(findings)), started)


def _as_of(paths: ShopPaths, as_of: date | None) -> date:
    day = as_of or ledger.latest_complete_day(paths.shop)
    if day is None:
        raise ShoalError(
            f"no day of {paths.shop} is complete: land a delivery of every daily table first, "
            f"`python -m landing receive <folder> --shop {paths.shop}`, or say --as-of"
        )
    return day


def _hold(paths: ShopPaths, verdict: Verdict) -> None:
    by_file: dict[str, list[str]] = {}
    for finding in verdict.stops:
        for file_id in finding.file_ids:
            by_file.setdefault(file_id, []).append(f"{finding.expectation}: {finding.observed}")
    # Files held for the same reasons share one decision: a bad batch is one append, not hundreds.
    alike: dict[tuple[str, ...], list[str]] = {}
    for file_id, reasons in by_file.items():
        alike.setdefault(tuple(reasons), []).append(file_id)
    if alike:
        with workplace.alone(paths):
            for shared, file_ids in alike.items():
                ledger.set_status(paths, file_ids, "held", shared)


def _conclude(
    paths: ShopPaths, on: Validator, verdict: Verdict, started: float, names: dict[str, str] | None = None
) -> int:
    validate.record(paths, verdict)
    page = _docs(paths, on, verdict)
    _show(verdict, time.monotonic() - started, page)
    if verdict.stops:
        raise GateStoppedError(_message(paths, verdict, names or {}))
    return DONE


def _docs(paths: ShopPaths, on: Validator, verdict: Verdict) -> str:
    try:
        return str(data_docs.build(on.context, paths, verdict.border))
    except Exception as error:  # a page that can't be drawn changes no verdict
        return f"not built ({reason(error)})"


def _show(verdict: Verdict, seconds: float, page: str) -> None:
    counts = dict.fromkeys(Outcome, 0)
    alike: dict[tuple[str, str, str], list[str]] = {}
    for finding in verdict.findings:
        counts[finding.outcome] += 1
        if finding.outcome is not Outcome.PASS:
            alike.setdefault((_outcome(finding), finding.expectation, finding.observed), []).append(
                finding.table
            )
    for (outcome, expectation, observed), tables in alike.items():
        console.print(f"{outcome} {escape(_named(expectation, tables))}: {escape(observed)}", soft_wrap=True)
    told = ", ".join(f"{count} {outcome.value.replace('_', ' ')}" for outcome, count in counts.items())
    console.print(
        f"{verdict.border} as of {verdict.as_of_date}: {told} in {seconds:.1f} s; Data Docs: {page}",
        soft_wrap=True,
    )


def _named(expectation: str, tables: Sequence[str]) -> str:
    return f"{expectation} ({', '.join(tables)})" if any(tables) else expectation


def _outcome(finding: Finding) -> str:
    is_mere_warning = finding.severity == "warning" and finding.outcome is not Outcome.NOT_APPLICABLE
    colour = "yellow" if is_mere_warning else COLOURS[finding.outcome]
    word = finding.outcome.value.replace("_", " ") + (" (warning)" if is_mere_warning else "")
    return f"[{colour}]{word}[/]"


def _message(paths: ShopPaths, verdict: Verdict, names: dict[str, str]) -> str:
    rules = sorted({_named(finding.expectation, [finding.table]) for finding in verdict.stops})
    told = f"the border {verdict.border} stopped the chain: {'; '.join(rules)}. "
    if verdict.file_ids:
        held = [f"{names.get(file_id, file_id)} ({file_id})" for file_id in verdict.file_ids]
        told += (
            f"Held: {_few(held)}. Compare the files with their source; where they are right: "
            f"`python -m landing accept <id> --shop {paths.shop}`; where they are wrong: `withdraw <id>` "
            "and receive corrected ones. "
        )
    elif verdict.border == "incoming":
        told += "No single file is at fault. Repair the cause, then rerun. "
    else:
        told += "Repair the cause, rebuild, then rerun. "
    return told + "Nothing was published; readers keep the version they have"


def _few(names: Sequence[str], shown: int = 10) -> str:
    more = len(names) - shown
    return ", ".join(names[:shown]) + (f" and {more} more" if more > 0 else "")

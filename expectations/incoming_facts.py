"""What the border ``incoming`` judges by: ledger, daily measures, and rows with a fault.

Each table is read in two passes; the expectations then ask small relations, each of them more than once.
Table and column names come from the contracts, values are parameters.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path

import duckdb

from expectations.deliveries import Delivery
from expectations.facts import create_header, insert_rows
from landing import contracts, empty, shops
from landing.ledger import LedgerFile
from settings import ShopPaths

EMAIL = r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+[.][A-Za-z][A-Za-z]+"
# Narrower than what landing masks, so that what it means to leave in place raises no alarm: an
# international prefix and eight digits or more, or a Chinese mobile number standing alone.
PHONE = (
    r"(^|[^0-9A-Za-z])([+]|00)[1-9][0-9]([ ().-]*[0-9])([ ().-]*[0-9])([ ().-]*[0-9])"
    r"([ ().-]*[0-9])([ ().-]*[0-9])([ ().-]*[0-9])"
    r"|(^|[^0-9A-Za-z])1[3-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9]([^0-9A-Za-z]|$)"
)

THRESHOLDS = {
    # Design: volume and drift look at the trailing 28 days, four whole weeks.
    "trailing_days": 28,
    # A week: with less, a Sunday has met no other Sunday.
    "min_baseline_days": 7,
    # Measured on the 219 days of UCI Online Retail, each judged by the days before it: beyond a fifth
    # and five times lie three Sundays and eves of holidays, beyond a tenth and ten times lies nothing.
    "max_volume_ratio": 10.0,
    "usual_volume_ratio": 3.0,
    # Cents for euros are a hundredfold; the daily median of refunds moves twelvefold in honest shops.
    "max_amount_ratio": 20.0,
    # Out of line is also asked to be beyond half a low day and twice a high one, so that a shop
    # which is nearly closed on Sundays passes its Sundays.
    "beyond_extremes": 2.0,
    # Guests come and go (in the same data by up to 42 points); a join that broke moves the share to one.
    "max_unknown_user_shift": 0.5,
    # Shares and medians of fewer rows jump by chance.
    "min_rows_for_shares": 50,
    # More days than a long weekend's delivery: a history load.
    "history_load_days": 7,
    "max_odd_day_share": 0.05,
    # A day that is late is incomplete and simply not processed; beyond that, the source is down.
    "max_lag_days": 3,
}


def prepare(connection: duckdb.DuckDBPyConnection, paths: ShopPaths, found: Delivery) -> None:
    """Lay out the facts that the expectations judge: ledger, daily measures, rows with a fault."""
    known = contracts.load()
    _write_ledger(connection, paths, found)
    tables = sorted({day.table for file in found.accepted for day in file.tables})
    _write_subjects(connection, shops.load(paths.shop), known, tables)
    _point_at_parquet(connection, paths, tables)
    _write_days(connection, [known[table] for table in tables])
    _write_trailing(connection)


def _write_ledger(connection: duckdb.DuckDBPyConnection, paths: ShopPaths, found: Delivery) -> None:
    judged = {file.file_id for file in found.judged}
    connection.execute(
        "create temp table accepted_file (file_id varchar, file_name varchar, is_judged boolean, "
        "rows_in bigint, rows_good bigint, rows_quarantined bigint, rows_duplicate bigint, "
        "delivered_on date, delivers varchar[])"
    )
    connection.execute(
        "create temp table accepted_day (file_id varchar, table_name varchar, event_date date, "
        "rows_written bigint, paths varchar[])"
    )
    insert_rows(
        connection,
        "accepted_file",
        [
            (
                file.file_id,
                file.file_name,
                file.file_id in judged,
                file.rows_in,
                file.rows_good,
                file.rows_quarantined,
                file.rows_duplicate,
                file.delivered_on,
                list(file.delivers),
            )
            for file in found.accepted
        ],
    )
    insert_rows(
        connection,
        "accepted_day",
        [
            (file.file_id, table, day, rows, places)
            for file in found.accepted
            for (table, day), (rows, places) in _rows_by_day(paths, file).items()
        ],
    )
    connection.execute("create temp view judged_file as select * from accepted_file where is_judged")
    connection.execute(
        "create temp view judged_day as select d.* from accepted_day as d "
        "join judged_file as f on f.file_id = d.file_id"
    )
    create_header(connection, THRESHOLDS, newest_day=found.newest_day)


def _rows_by_day(paths: ShopPaths, file: LedgerFile) -> dict[tuple[str, date], tuple[int, list[str]]]:
    """Count a file's rows and name their Parquet; a table delivered without any row has an empty day."""
    found: dict[tuple[str, date], tuple[int, list[str]]] = {}
    for day in file.tables:
        rows, places = found.get((day.table, day.event_date), (0, []))
        places = [*places, str(day.path(paths, file.file_id))] if day.rows_written else places
        found[day.table, day.event_date] = (rows + day.rows_written, places)
    if file.delivered_on:
        for table in file.delivers:
            found.setdefault((table, file.delivered_on), (0, []))
    return found


def _write_subjects(
    connection: duckdb.DuckDBPyConnection,
    shop: shops.Shop,
    known: dict[str, contracts.Contract],
    tables: Sequence[str],
) -> None:
    connection.execute(
        "create temp table contract (table_name varchar, is_daily boolean, has_user_key boolean, "
        "has_amount boolean)"
    )
    insert_rows(
        connection,
        "contract",
        [
            (
                table,
                table in shop.daily,
                "user_key" in known[table].landed_columns,
                bool(_amounts(known[table])),
            )
            for table in sorted({*tables, *shop.daily, *shop.required})
        ],
    )
    connection.execute(
        """
        create temp table subject as
        select
            c.*,
            exists (
                select 1 from judged_file as f where list_contains(f.delivers, c.table_name)
            ) as is_delivered,
            (
                select max(coalesce(f.delivered_on, d.event_date))
                from accepted_file as f
                left join accepted_day as d on d.file_id = f.file_id and d.table_name = c.table_name
                where list_contains(f.delivers, c.table_name)
            ) as last_day
        from contract as c
        """
    )


def _point_at_parquet(connection: duckdb.DuckDBPyConnection, paths: ShopPaths, tables: Sequence[str]) -> None:
    """Make two views per table, the judged files and their whole window; a missing file counts as empty."""
    if not all(empty.path(paths, table).exists() for table in tables):
        empty.write(paths)
    first = connection.execute(
        "select min(event_date) - any_value(b.trailing_days) from judged_day, border as b"
    ).fetchall()[0][0]
    for table in tables:
        found = connection.execute(
            "select unnest(d.paths), f.is_judged from accepted_day as d "
            "join accepted_file as f on f.file_id = d.file_id "
            "where d.table_name = ? and d.event_date >= ? and d.rows_written > 0",
            [table, first],
        ).fetchall()
        judged = [place for place, is_judged in found if is_judged]
        window = [place for place, _ in found]
        for view, places in ((f"judged_{table}", judged), (f"window_{table}", window)):
            names = [place for place in places if Path(place).exists()] or [str(empty.path(paths, table))]
            connection.execute(f'set variable "{view}" = ?', [names])
            connection.execute(
                f'create temp view "{view}" as '  # noqa: S608 - tables of the contracts
                f"select * from read_parquet(getvariable('{view}'), hive_partitioning = false)"
            )


def _write_days(connection: duckdb.DuckDBPyConnection, tables: Sequence[contracts.Contract]) -> None:
    """Search each table's judged files and measure its window, by file and day: a pass each."""
    connection.execute(
        "create temp table landed_day (table_name varchar, file_id varchar, event_date date, "
        "row_count bigint)"
    )
    connection.execute(
        "create temp table landed_fault (fault varchar, table_name varchar, column_name varchar, "
        "file_id varchar, row_count bigint)"
    )
    connection.execute(
        "create temp table measure (table_name varchar, measure varchar, column_name varchar, "
        "event_date date, value double, row_count bigint)"
    )
    connection.execute(
        """
        insert into measure
        select table_name, 'rows', null, event_date, sum(rows_written), null
        from accepted_day group by table_name, event_date
        """
    )
    for contract in tables:
        _search_rows(connection, contract)
        _measure_days(connection, contract)


def _search_rows(connection: duckdb.DuckDBPyConnection, contract: contracts.Contract) -> None:
    """Count a table's judged rows, and those with a fault."""
    faults = list(_faults(contract))
    conditions = [condition for _, _, condition, _ in faults]
    parameters = {name: value for *_, values in faults for name, value in values.items()}
    counts = "".join(
        f", count(*) filter ({condition}) as fault_{number}" for number, condition in enumerate(conditions)
    )
    connection.execute(
        "create or replace temp table searched as "  # noqa: S608 - columns of the contracts
        f"select file_id, event_date, count(*) as row_count {counts} "
        f'from "judged_{contract.table}" group by file_id, event_date',
        parameters,
    )
    connection.execute(
        "insert into landed_day select ?, file_id, event_date, row_count from searched", [contract.table]
    )
    for number, (fault, column, _, _) in enumerate(faults):
        connection.execute(
            "insert into landed_fault "  # noqa: S608 - a number
            f"select ?, ?, ?, file_id, sum(fault_{number}) from searched "
            f"where fault_{number} > 0 group by file_id",
            [fault, contract.table, column],
        )


def _faults(contract: contracts.Contract) -> Iterator[tuple[str, str, str, dict[str, object]]]:
    """Yield what may be wrong with a row: fault, column, the SQL that is true then, and its parameters."""
    names_nobody = not any(column.is_identifying for column in contract.columns.values())
    for name, column in contract.columns.items():
        if column.type != "text" or not column.is_landed:
            continue
        landed = contracts.landed_name(name, column)
        value = f'"{landed}"'
        if column.identifies:
            yield "no_pseudonym", landed, f"not regexp_full_match({value}, '[0-9a-f]{{64}}')", {}
        elif column.allowed:
            allowed = f"allowed_{landed}"
            yield (
                "unknown_word",
                landed,
                f"not list_contains(${allowed}, {value})",
                {allowed: list(column.allowed)},
            )
        elif not column.derive and not names_nobody:
            # A catalogue may print its brand's address; it is nobody's.
            has_contact = f"contains({value}, '@') and regexp_matches({value}, $email)"
            patterns: dict[str, object] = {"email": EMAIL}
            if column.mask:
                has_contact = f"({has_contact}) or regexp_matches({value}, $phone)"
                patterns["phone"] = PHONE
            yield "contact_details", landed, has_contact, patterns


def _measure_days(connection: duckdb.DuckDBPyConnection, contract: contracts.Contract) -> None:
    """Measure a table's days: all measures in one scan, then laid under one another."""
    measures = _measures(contract)
    if not measures:
        return
    columns = ", ".join(
        f"{value} as value_{number}, {count} as count_{number}"
        for number, (_, _, value, count) in enumerate(measures)
    )
    connection.execute(
        f"create or replace temp table measured_day as select event_date, {columns} "  # noqa: S608 - as above
        f'from "window_{contract.table}" group by event_date'
    )
    for number, (measure, column, _, _) in enumerate(measures):
        connection.execute(
            "insert into measure "  # noqa: S608 - a number
            f"select ?, ?, ?, event_date, value_{number}, count_{number} from measured_day",
            [contract.table, measure, column],
        )


def _measures(contract: contracts.Contract) -> list[tuple[str, str | None, str, str]]:
    """Say what is measured per day: measure, column, its SQL and the SQL of the rows behind it.

    An amount of zero (no discount, a gift) says nothing about the unit of the others.
    """
    measures: list[tuple[str, str | None, str, str]] = [
        (
            "amount_median",
            column,
            f'(median("{column}") filter ("{column}" <> 0))::double',
            f'count(*) filter ("{column}" <> 0)',
        )
        for column in _amounts(contract)
    ]
    if "user_key" in contract.landed_columns:
        measures.append(("unknown_user_share", None, "avg((user_key is null)::int)", "count(*)"))
    return measures


def _amounts(contract: contracts.Contract) -> list[str]:
    return [name for name, column in contract.columns.items() if column.type == "money"]


def _write_trailing(connection: duckdb.DuckDBPyConnection) -> None:
    """Set each judged day beside the days before it; a day is judged if the judged files made it.

    A few late rows of an older day are no new day. Low and high leave out the two outermost
    of 28 days, so that one odd day does not excuse the next, and keep the four Sundays.
    """
    connection.execute(
        """
        create temp table trailing_measure as
        with made as (
            select d.table_name, d.event_date
            from accepted_day as d join accepted_file as f on f.file_id = d.file_id
            group by d.table_name, d.event_date
            having coalesce(sum(d.rows_written) filter (where f.is_judged), 0) * 2 >= sum(d.rows_written)
                and bool_or(f.is_judged)
        )
        select
            m.table_name, m.measure, m.column_name, m.event_date,
            any_value(m.value) as value,
            count(p.event_date) as baseline_days,
            median(p.value) as baseline_median,
            quantile_disc(p.value, 0.1) as baseline_low,
            quantile_disc(p.value, 0.9) as baseline_high
        from measure as m cross join border as b
        join made on made.table_name = m.table_name and made.event_date = m.event_date
        left join measure as p
            on p.table_name = m.table_name and p.measure = m.measure
            and p.column_name is not distinct from m.column_name
            and p.event_date between m.event_date - b.trailing_days and m.event_date - 1
            and (p.row_count is null or p.row_count >= b.min_rows_for_shares)
        where m.value is not null and (m.row_count is null or m.row_count >= b.min_rows_for_shares)
        group by m.table_name, m.measure, m.column_name, m.event_date
        """
    )

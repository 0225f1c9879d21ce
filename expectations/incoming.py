"""The border ``incoming``: landed files, before dbt reads them.

Judged are the accepted files whose batch has not passed this border yet, else those of the
newest batch. Their days are compared with the 28 days before each of them. In a history
load the early days have nothing behind them, and some later ones are odd in any shop
(Christmas, a launch): there, up to 5 % of the days may be out of line.
A file that was held here and accepted by a person afterwards is not judged again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

import duckdb

import journal
from expectations.facts import create_header, insert_rows
from expectations.rules import BorderExpectation
from landing import contracts, empty, shops
from landing.ledger import LedgerFile
from landing.ledger import files as ledger_files
from settings import ShopPaths

THRESHOLDS = {
    # Design: volume and drift look at the trailing 28 days, four whole weeks.
    "trailing_days": 28,
    # A week: with less, a Sunday has met no other Sunday.
    "min_baseline_days": 7,
    # A fifth or five times the median is outside of what weekdays and seasons do to a shop.
    "max_ratio": 5.0,
    # Out of line is also asked to be beyond half the lowest and twice the highest day, so that
    # a shop which is nearly closed on Sundays passes its Sundays.
    "beyond_extremes": 2.0,
    # Guests come and go with campaigns; a join that broke moves this share to one or zero.
    "max_unknown_user_shift": 0.3,
    # Medians of fewer rows jump by chance.
    "min_rows_for_shares": 30,
    # More days than a long weekend's delivery: a history load.
    "history_load_days": 7,
    "max_odd_day_share": 0.05,
    # Under five rows, one typo would stop the shop.
    "min_quarantined_rows": 5,
    # A day that is late is incomplete and simply not processed; beyond that, the source is down.
    "max_lag_days": 3,
}

EMAIL = r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+[.][A-Za-z][A-Za-z]+"
# Narrower than what landing masks, so that what it means to leave in place raises no alarm: an
# international prefix and eight digits or more, or a Chinese mobile number standing alone.
PHONE = (
    r"(^|[^0-9A-Za-z])([+]|00)[1-9][0-9]([ ().-]*[0-9])([ ().-]*[0-9])([ ().-]*[0-9])"
    r"([ ().-]*[0-9])([ ().-]*[0-9])([ ().-]*[0-9])"
    r"|(^|[^0-9A-Za-z])1[3-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9]([^0-9A-Za-z]|$)"
)
KEY_LENGTH = 64
"""Hex digits of an HMAC-SHA-256."""

DELIVERED = """
select table_name, case when not is_delivered then 'not delivered' end as reason from subject
"""
DAILY = """
select s.table_name, case
    when not s.is_delivered then 'not delivered'
    when coalesce(max(m.baseline_days), 0) < any_value(b.min_baseline_days)
        then coalesce(max(m.baseline_days), 0) || ' days of baseline'
end as reason
from subject as s cross join border as b
left join trailing_measure as m on m.table_name = s.table_name and m.measure = '<measure>'
where <which>
group by s.table_name, s.is_delivered
"""
ODD_DAYS = """
select j.table_name, f.file_id, <text> as observed
from (
    select
        m.table_name, m.column_name, m.event_date, m.value, m.baseline_median,
        <odd> as is_odd,
        count(*) over days as judged_days,
        count(*) filter (where <odd>) over days as odd_days
    from trailing_measure as m cross join batch as b
    where m.measure = '<measure>' and m.baseline_days >= b.min_baseline_days
    window days as (partition by m.table_name, m.column_name)
) as j
cross join batch as b
join judged_day as f on f.table_name = j.table_name and f.event_date = j.event_date
where j.is_odd and (
    j.judged_days <= b.history_load_days or j.odd_days > b.max_odd_day_share * j.judged_days
)
"""
OUT_OF_LINE = """(
    (m.value * b.max_ratio < m.baseline_median and m.value * b.beyond_extremes < m.baseline_low)
    or (m.value > b.max_ratio * m.baseline_median and m.value > b.beyond_extremes * m.baseline_high)
)"""
# A small table's count moves by three times its root by chance alone.
OUT_OF_LINE_AND_NOT_BY_CHANCE = (
    f"({OUT_OF_LINE} and abs(m.value - m.baseline_median) > 3 * sqrt(m.baseline_median))"
)
SHIFTED = """(
    abs(m.value - m.baseline_median) > b.max_unknown_user_shift
    and m.value not between m.baseline_low - 0.1 and m.baseline_high + 0.1
)"""


def _filled(template: str, **parts: str) -> str:
    for name, text in parts.items():
        template = template.replace(f"<{name}>", text)
    return template


class ExpectSourceRowsToBeConserved(BorderExpectation):
    """Law of conservation, per file."""

    sentence = "every source row is good, quarantined or an exact duplicate, and none is lost"
    query = """
        select '' as table_name, f.file_id,
            f.file_name || ': ' || f.rows_in || ' rows in, ' || f.rows_good || ' good, '
            || f.rows_quarantined || ' quarantined, ' || f.rows_duplicate || ' duplicate' as observed
        from batch as b, judged_file as f
        where f.rows_in <> f.rows_good + f.rows_quarantined + f.rows_duplicate
    """
    tables = ("",)


class ExpectLandedRowsToEqualTheLedger(BorderExpectation):
    """What lies in Parquet is what the ledger committed."""

    sentence = "the landed Parquet of each file and day holds as many rows as its ledger line says"
    query = """
        select w.table_name, w.file_id, w.event_date || ': ledger ' || w.rows_written
            || ' rows, Parquet ' || coalesce(d.row_count, 0) as observed
        from batch as b, judged_day as w
        left join landed_day as d using (table_name, file_id, event_date)
        where w.rows_written is distinct from coalesce(d.row_count, 0)
    """
    subjects = DELIVERED


class ExpectDailyVolumeNearItsTrailingMedian(BorderExpectation):
    """A feed that breaks half-way, or is sent five times, shows in its row count."""

    sentence = "a daily table's rows per day stay within a fifth and five times of the 28 days before"
    query = _filled(
        ODD_DAYS,
        measure="rows",
        odd=OUT_OF_LINE_AND_NOT_BY_CHANCE,
        text="j.event_date || ': ' || j.value::bigint || ' rows, median of the days before ' || j.baseline_median",
    )
    subjects = _filled(DAILY, measure="rows", which="s.is_daily")


class ExpectUnknownUserShareNearItsPast(BorderExpectation):
    """A customer id that goes missing turns users into strangers."""

    sentence = "the share of rows without a user stays within 30 points of the 28 days before"
    query = _filled(
        ODD_DAYS,
        measure="unknown_user_share",
        odd=SHIFTED,
        text="j.event_date || ': ' || round(j.value, 3) || ', median of the days before ' "
        "|| round(j.baseline_median, 3)",
    )
    subjects = _filled(DAILY, measure="unknown_user_share", which="s.has_user_key")
    column = "user_key"


class ExpectAmountsInTheirUsualRange(BorderExpectation):
    """Cents for euros, or another currency, shift every amount at once."""

    sentence = "the daily median of an amount stays within a fifth and five times of the 28 days before"
    query = _filled(
        ODD_DAYS,
        measure="amount_median",
        odd=OUT_OF_LINE,
        text="j.column_name || ' on ' || j.event_date || ': median ' || round(j.value, 2) "
        "|| ', before ' || round(j.baseline_median, 2)",
    )
    subjects = _filled(DAILY, measure="amount_median", which="s.has_amount")


class ExpectKnownVocabularyOnly(BorderExpectation):
    """A word outside the contract would fall out of every model that counts by it."""

    sentence = "columns with a closed vocabulary hold only words of their contract"
    query = """
        select w.table_name, w.file_id, w.column_name || ': ' || count(*) || ' rows with '
            || count(distinct w.word) || ' unknown words' as observed
        from batch as b, landed_word as w
        where w.word is not null and not exists (
            select 1 from vocabulary as v
            where v.table_name = w.table_name and v.column_name = w.column_name and v.word = w.word
        )
        group by w.table_name, w.file_id, w.column_name
    """
    subjects = DELIVERED


class ExpectFewQuarantinedRows(BorderExpectation):
    """A few bad rows are life; many are a changed export."""

    sentence = "no more of a file's rows are quarantined than its contracts allow"
    query = """
        select f.table_name, f.file_id, f.file_name || ': ' || f.rows_quarantined || ' of ' || f.rows_in
            || ' rows, allowed ' || f.max_quarantined_share as observed
        from batch as b, judged_delivery as f
        where f.rows_quarantined > f.max_quarantined_share * f.rows_in
            and (f.rows_quarantined >= b.min_quarantined_rows or f.rows_good = 0)
    """
    subjects = DELIVERED


class ExpectNoContactDetailsInText(BorderExpectation):
    """E-mail addresses and phone numbers never leave landing."""

    sentence = "no text beside a user holds an e-mail address, and no free text a phone number"
    query = f"""
        select t.table_name, t.file_id, t.column_name || ': ' || count(*) || ' rows' as observed
        from batch as b, landed_text as t
        where contains(t.words, '@') and regexp_matches(t.words, '{EMAIL}')
            or t.is_free_text and regexp_matches(t.words, '{PHONE}')
        group by t.table_name, t.file_id, t.column_name
    """
    subjects = DELIVERED


class ExpectPseudonymsForKeys(BorderExpectation):
    """A raw customer id in a key column would be published as one."""

    sentence = "user_key and device_key hold pseudonyms: 64 hexadecimal digits"
    query = f"""
        select k.table_name, k.file_id, k.column_name || ': ' || count(*) || ' rows' as observed
        from batch as b, landed_key as k
        where length(k.pseudonym) <> {KEY_LENGTH} or not regexp_matches(k.pseudonym, '^[0-9a-f]+$')
        group by k.table_name, k.file_id, k.column_name
    """
    subjects = DELIVERED


class ExpectDailyTablesToBeFresh(BorderExpectation):
    """A source that is down for days must not look like a quiet shop."""

    sentence = "no daily table is more than three days behind the newest delivery"
    query = """
        select s.table_name, null as file_id, 'last day ' || coalesce(s.last_day::varchar, 'none')
            || ', newest delivery ' || b.newest_day as observed
        from batch as b, subject as s
        where s.is_daily and coalesce(s.last_day + b.max_lag_days::int < b.newest_day, true)
    """
    subjects = "select table_name, null as reason from subject where is_daily"


class ExpectDailyTablesToArriveTogether(BorderExpectation):
    """A day without one of its tables is not complete, so nothing is published for it."""

    sentence = "each daily table was delivered for the newest day"
    query = """
        select s.table_name, null as file_id, 'last day ' || coalesce(s.last_day::varchar, 'none')
            || ', newest delivery ' || b.newest_day as observed
        from batch as b, subject as s
        where s.is_daily and coalesce(s.last_day < b.newest_day, true)
    """
    subjects = "select table_name, null as reason from subject where is_daily"
    level = "warning"


EXPECTATIONS: tuple[type[BorderExpectation], ...] = (
    ExpectSourceRowsToBeConserved,
    ExpectLandedRowsToEqualTheLedger,
    ExpectDailyVolumeNearItsTrailingMedian,
    ExpectUnknownUserShareNearItsPast,
    ExpectAmountsInTheirUsualRange,
    ExpectKnownVocabularyOnly,
    ExpectFewQuarantinedRows,
    ExpectNoContactDetailsInText,
    ExpectPseudonymsForKeys,
    ExpectDailyTablesToBeFresh,
    ExpectDailyTablesToArriveTogether,
)


@dataclass(frozen=True)
class Delivery:
    """What is judged, and what it is judged against."""

    judged: tuple[LedgerFile, ...]
    accepted: tuple[LedgerFile, ...]

    @property
    def batch_ids(self) -> list[str]:
        """The batches that the judged files came in."""
        return sorted({file.batch_id for file in self.judged})

    @property
    def newest_day(self) -> date | None:
        """The last business day that the judged files deliver."""
        return max((day for file in self.judged for day in _days(file)), default=None)


def delivery(paths: ShopPaths, as_of: date | None = None) -> Delivery:
    """Find the files to judge: those of batches that have not passed yet, else of the newest batch."""
    accepted = [file for file in ledger_files(paths) if file.status == "accepted" and _is_known(file, as_of)]
    overruled = {line["file_id"] for line in journal.read(paths.ledger) if line["status"] == "held"}
    passed = passed_batches(paths)
    judged = [file for file in accepted if file.batch_id not in passed]
    if not judged and accepted:
        newest = max(accepted, key=lambda file: file.landed_at).batch_id
        judged = [file for file in accepted if file.batch_id == newest]
    return Delivery(
        judged=tuple(file for file in judged if file.file_id not in overruled), accepted=tuple(accepted)
    )


def passed_batches(paths: ShopPaths) -> set[str]:
    """Return the batches of which some validation of this border let everything through."""
    stopped: dict[str, bool] = {}
    batches: dict[str, set[str]] = {}
    for record in journal.read(paths.ops / "data_quality.jsonl"):
        if record["border"] == "incoming":
            check = record["validation_id"]
            stops = record["severity"] == "error" and record["outcome"] in ("fail", "could_not_check")
            stopped[check] = stopped.get(check, False) or stops
            batches.setdefault(check, set()).update(record["batch_ids"])
    return {batch for check, found in batches.items() if not stopped[check] for batch in found}


def _is_known(file: LedgerFile, as_of: date | None) -> bool:
    return as_of is None or file.delivered_on is None or file.delivered_on <= as_of


def _days(file: LedgerFile) -> Iterable[date]:
    return [file.delivered_on] if file.delivered_on else {day.event_date for day in file.tables}


def prepare(connection: duckdb.DuckDBPyConnection, paths: ShopPaths, found: Delivery) -> None:
    """Lay out the facts that the expectations judge: ledger, daily measures, texts, keys."""
    known = contracts.load()
    _write_ledger(connection, found)
    tables = sorted({day.table for file in found.accepted for day in file.tables})
    _write_subjects(connection, shops.load(paths.shop), known, tables)
    _point_at_parquet(connection, paths, tables)
    _write_days(connection, [known[table] for table in tables])
    _write_trailing(connection)
    _view_values(connection, [known[table] for table in tables])


def _write_ledger(connection: duckdb.DuckDBPyConnection, found: Delivery) -> None:
    judged = {file.file_id for file in found.judged}
    connection.execute(
        "create temp table accepted_file (file_id varchar, file_name varchar, is_judged boolean, "
        "rows_in bigint, rows_good bigint, rows_quarantined bigint, rows_duplicate bigint, "
        "delivered_on date, delivers varchar[])"
    )
    connection.execute(
        "create temp table accepted_day (file_id varchar, table_name varchar, event_date date, rows_written bigint)"
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
            (file.file_id, table, day, rows)
            for file in found.accepted
            for (table, day), rows in _rows_by_day(file).items()
        ],
    )
    connection.execute("create temp view judged_file as select * from accepted_file where is_judged")
    connection.execute(
        "create temp view judged_day as select d.* from accepted_day as d "
        "join judged_file as f on f.file_id = d.file_id"
    )
    create_header(connection, THRESHOLDS, newest_day=found.newest_day)


def _rows_by_day(file: LedgerFile) -> dict[tuple[str, date], int]:
    """Count a file's rows; a table that it delivers without any row has an empty day."""
    rows = {(day.table, day.event_date): day.rows_written for day in file.tables}
    if file.delivered_on:
        for table in file.delivers:
            rows.setdefault((table, file.delivered_on), 0)
    return rows


def _write_subjects(
    connection: duckdb.DuckDBPyConnection,
    shop: shops.Shop,
    known: dict[str, contracts.Contract],
    tables: Sequence[str],
) -> None:
    connection.execute(
        "create temp table contract (table_name varchar, is_daily boolean, max_quarantined_share double, "
        "has_user_key boolean, has_amount boolean)"
    )
    insert_rows(
        connection,
        "contract",
        [
            (
                table,
                table in shop.daily,
                known[table].max_quarantined_share,
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
            exists (select 1 from judged_file as f where list_contains(f.delivers, c.table_name)) as is_delivered,
            (
                select max(coalesce(f.delivered_on, d.event_date))
                from accepted_file as f
                left join accepted_day as d on d.file_id = f.file_id and d.table_name = c.table_name
                where list_contains(f.delivers, c.table_name)
            ) as last_day
        from contract as c
        """
    )
    connection.execute(
        """
        create temp view judged_delivery as
        select f.*, c.table_name, c.max_quarantined_share
        from judged_file as f join contract as c on list_contains(f.delivers, c.table_name)
        """
    )


def _point_at_parquet(connection: duckdb.DuckDBPyConnection, paths: ShopPaths, tables: Sequence[str]) -> None:
    """Make two views per table, judged and past; a file that is missing counts as empty."""
    if not all(empty.path(paths, table).exists() for table in tables):
        empty.write(paths)
    first = connection.execute(
        "select min(event_date) - any_value(b.trailing_days) from judged_day, border as b"
    ).fetchall()[0][0]
    for table in tables:
        found = connection.execute(
            "select d.event_date, d.file_id, f.is_judged from accepted_day as d "
            "join accepted_file as f on f.file_id = d.file_id "
            "where d.table_name = ? and d.event_date >= ? and d.rows_written > 0",
            [table, first],
        ).fetchall()
        for view, is_judged in (("judged", True), ("past", False)):
            places = [
                paths.landing / table / day.isoformat() / f"{file_id}.parquet"
                for day, file_id, judged in found
                if judged == is_judged
            ]
            names = [str(place) for place in places if place.exists()] or [str(empty.path(paths, table))]
            connection.execute(f'set variable "{view}_{table}" = ?', [names])
            connection.execute(
                f'create temp view "{view}_{table}" as '
                f"select * from read_parquet(getvariable('{view}_{table}'), union_by_name = true)"
            )


def _write_days(connection: duckdb.DuckDBPyConnection, tables: Sequence[contracts.Contract]) -> None:
    """Count and measure each table and day in one pass over its judged and trailing files."""
    connection.execute(
        "create temp table landed_day (table_name varchar, file_id varchar, event_date date, row_count bigint)"
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
        connection.execute(
            f"insert into landed_day select ?, file_id, event_date, count(*) "
            f'from "judged_{contract.table}" group by file_id, event_date',
            [contract.table],
        )
        for measure, column, value, count in _measures(contract):
            connection.execute(
                f"""
                insert into measure
                select ?, ?, ?, event_date, {value}, {count}
                from (select * from "judged_{contract.table}" union all by name select * from "past_{contract.table}")
                group by event_date
                """,
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

    A few late rows of an older day are no new day.
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
            min(p.value) as baseline_low,
            max(p.value) as baseline_high
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


def _view_values(connection: duckdb.DuckDBPyConnection, tables: Sequence[contracts.Contract]) -> None:
    """Lay all texts, words and keys of the judged rows under one another."""
    texts, words, keys = [], [], []
    connection.execute("create temp table vocabulary (table_name varchar, column_name varchar, word varchar)")
    for contract in tables:
        names_nobody = not any(column.is_identifying for column in contract.columns.values())
        for name, column in contract.columns.items():
            if column.type != "text" or column.identifies == "dropped":
                continue
            landed = contracts.landed_name(name, column)
            if column.identifies:
                keys.append(_values(contract.table, landed, "pseudonym"))
            elif column.allowed:
                words.append(_values(contract.table, landed, "word"))
                insert_rows(
                    connection, "vocabulary", [(contract.table, landed, word) for word in column.allowed]
                )
            elif not column.derive and not names_nobody:
                # A catalogue may print its brand's address; it is nobody's.
                texts.append(_values(contract.table, landed, "words", is_free_text=column.mask))
    for view, parts in (("landed_text", texts), ("landed_word", words), ("landed_key", keys)):
        connection.execute(
            f'create temp view "{view}" as ' + " union all ".join(parts or [_values_of_nothing(view)])
        )


def _values(table: str, column: str, name: str, is_free_text: bool = False) -> str:
    return (
        f"select '{table}' as table_name, '{column}' as column_name, file_id, "
        f'"{column}" as "{name}", {is_free_text} as is_free_text from "judged_{table}"'
    )


def _values_of_nothing(view: str) -> str:
    name = {"landed_text": "words", "landed_word": "word", "landed_key": "pseudonym"}[view]
    return (
        "select null::varchar as table_name, null::varchar as column_name, null::varchar as file_id, "
        f'null::varchar as "{name}", false as is_free_text where false'
    )

"""Translates source rows into rows of our tables and judges each: SQL made from contract and mapping.

Everything is text first, so that a value that cannot be read becomes a reason and not an
error. A row collects *every* reason, as ``<rule>:<column>``:

``missing`` required and empty · ``unreadable`` not of its type · ``skipped_hour`` a time that
never was · ``not_allowed`` outside the vocabulary · ``below_min``, ``above_max`` beyond its
bound · ``missing_any`` none of several · ``future`` after the day of its delivery ·
``other_currency`` not the shop's.

Only names that contract or shop file declare stand in the SQL, quoted; every value is a
parameter.
"""

# ruff: noqa: S608  (identifiers come from contracts and shop files, quoted; every value is a parameter)

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from landing import civil_time, pseudonyms
from landing.contracts import DUCKDB_TYPES, Column, Contract, landed_name
from landing.masks import MASKS
from landing.readers import BLANKS, is_nested_json
from landing.shops import ColumnMapping, Formats, TableMapping, quoted

TIME_PATTERN = (
    r"\d{4}-\d{2}-\d{2}([T ]([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d{1,9})?)?"
    r"(Z| UTC|[+-]((0\d|1[0-3])(:?[0-5]\d)?|14(:?00)?))?)?"  # no clock is further off than 14 hours
)
ZONE_PATTERN = r"[T ].*(Z| UTC|[+-]\d{2}(:?\d{2})?)$"
INTEGER_PATTERN = r"[+-]?\d{1,18}(\.0*)?"
# Four decimals are kept; a fifth that says something is refused rather than rounded away.
DECIMAL_PATTERN = r"[+-]?(\d{1,14}(\.\d{0,4}0*)?|\.\d{1,4}0*)"
FLOAT_PATTERN = r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?"
PLAIN_PATTERNS = {
    "integer": INTEGER_PATTERN,
    "decimal": DECIMAL_PATTERN,
    "money": DECIMAL_PATTERN,
    "float": FLOAT_PATTERN,
}
GROUPED_PATTERNS = {
    "1,234.56": r"[+-]?(\d{1,3}(,\d{3})+|\d{1,14})(\.\d{1,4}0*)?",
    "1.234,56": r"[+-]?(\d{1,3}(\.\d{3})+|\d{1,14})(,\d{1,4}0*)?",
}
# What came as a number has its decimals behind a point: 1.599 of a workbook is no thousand.
UNLIKE_A_NUMBER = r"[^.]*|.*,.*|.*\..*\..*"
ERROR_CELLS = ("#N/A", "#DIV/0!", "#REF!", "#VALUE!", "#NAME?", "#NUM!", "#NULL!", "#SPILL!", "#CALC!")
"""What a cell of a workbook shows whose formula failed: no id, and nobody's name."""


@dataclass
class Query:
    """SQL under construction with its parameters."""

    parameters: dict[str, Any] = field(default_factory=dict)

    def bind(self, value: object) -> str:
        """Add a value and return its placeholder."""
        name = f"p{len(self.parameters)}"
        self.parameters[name] = value
        return f"${name}"


@dataclass(frozen=True)
class Translation:
    """One of the tables that a source maps to."""

    contract: Contract
    mapping: TableMapping
    formats: Formats
    currency: str
    time_zone: str
    row_text: str
    """SQL for the whole source row in one text."""
    is_all_text: bool
    """Whether the file knows text alone, as csv does, and no numbers."""
    is_workbook: bool = False
    is_jsonl: bool = False
    has_blank_ends: bool = True
    """Whether a field of the source may begin or end with a blank."""

    @property
    def target(self) -> str:
        """The temporary table of translated rows."""
        return quoted(f"translated {self.contract.table}")

    def statement(self, secret: bytes) -> tuple[str, dict[str, Any]]:
        """Return the statement that creates :attr:`target` from ``named``, and its parameters."""
        sql, parameters = self.query(secret)
        return f"create or replace temp table {self.target} as {sql}", parameters

    def query(self, secret: bytes, **beside: str) -> tuple[str, dict[str, Any]]:
        """Return the query that translates the rows of ``named``, and its parameters.

        Columns: file_index, row_number, reasons (null when good), the landed columns up to
        event_date and is_repeated_hour, delivered_on (null where each row's own day), and the
        expressions over ``named`` that are asked for ``beside``. Identifiers are still themselves
        here: only the few that are written need a pseudonym.
        """
        query = Query(pseudonyms.pads(secret))
        timestamps = [name for name, column in self.contract.columns.items() if column.type == "timestamp"]
        beside |= {first_per(source): quoted(source) for source in self.mapping.first_per}
        sql = [
            "with arrived as (",
            # A shop's own column may be called delivered_on; none begins with a blank.
            'select file_index, delivered_on as " delivered_on", due_by as " due_by" from file',
            "), texts as (",
            'select file_index, row_number, " delivered_on" as delivered_on, " due_by" as due_by',
            *(f", {text} as {quoted(name)}" for name, text in self._texts(query)),
            *(f", {value} as {quoted(name)}" for name, value in beside.items()),
            "from named join arrived using (file_index)",
            f"where ({self.mapping.where}\n)" if self.mapping.where else "",
            "), cast_times as (select *",
            *(f", try_cast({quoted(name)} as timestamp) as {_cast_of(name)}" for name in timestamps),
            "from texts), plain_times as (select *",
            *(f", {_is_plain_time(name)} as {_plain_of(name)}" for name in timestamps),
            "from cast_times), parsed as (select *",
            *(f", {value}" for name in timestamps for value in self._parsed_time(name, query)),
            "from plain_times), typed as (select parsed.*",
            *(
                f", {self._value(name, column, query)} as {_value_of(name)}"
                for name, column in self.contract.columns.items()
            ),
            *(f", {flag}" for name in timestamps for flag in _clock_flags(name)),
            "from parsed",
            *(_clock_join(name) for name in timestamps),
            f"), dated as (select *, {self._event_date(query)} as event_date from typed",
            f"), judged as (select *, {self._judgement(query)} from dated)",
            "select file_index, row_number,",
            f"case when is_bad then {self._reasons(query)} end as reasons,",
            ", ".join(self._landed()),
            "".join(f", {quoted(name)}" for name in beside),
            ", event_date, delivered_on,",
            f"{self._repeated()} as is_repeated_hour from judged",
        ]
        text = "\n".join(sql)
        if "$inner" not in text:  # DuckDB refuses a parameter that a statement does not use
            del query.parameters["inner"], query.parameters["outer"]
        return text, query.parameters

    def _texts(self, query: Query) -> Iterator[tuple[str, str]]:
        for name in self.contract.columns:
            text = self._source_text(self.mapping.column(name), query)
            if self.contract.columns[name].derive == "row_hash":
                row_hash = pseudonyms.expression(f"row:{self.contract.table}", self.row_text)
                text = f"coalesce({text}, {row_hash})"
            yield name, text

    def _source_text(self, mapping: ColumnMapping | None, query: Query) -> str:
        if mapping is None:
            return "null::varchar"
        if mapping.key_of:
            columns = ", ".join(map(quoted, mapping.key_of))
            return pseudonyms.expression("key", f"to_json([{columns}])::varchar")
        if mapping.constant is not None:
            return f"{query.bind(mapping.constant)}::varchar"
        source = f"(\n{mapping.sql}\n)" if mapping.sql is not None else quoted(str(mapping.source))
        text = f"cast({source} as varchar)"
        if self.has_blank_ends or mapping.sql is not None:
            text = _trimmed(text)
        if self.is_jsonl and mapping.source is not None:
            text = f"case when {is_nested_json(mapping.source)} then chr(0) else {text} end"
        if self.formats.missing:
            is_missing = f"list_contains({query.bind(list(self.formats.missing))}, {text})"
            text = f"case when not {is_missing} then {text} end"
        if not mapping.values:
            return text
        cases = [
            f"when {query.bind(theirs)} then {query.bind(ours)}" for theirs, ours in mapping.values.items()
        ]
        return f"case {text} {' '.join(cases)} else {text} end"

    def _parsed_time(self, name: str, query: Query) -> Iterator[str]:
        text, format_ = quoted(name), self.formats.timestamp
        local, instant = "null::timestamp", "null::timestamp"
        if format_ == "iso":
            is_time = f"regexp_full_match({text}, {query.bind(TIME_PATTERN)})"
            has_zone = f"regexp_matches({text}, {query.bind(ZONE_PATTERN)})"
            cast, is_plain = _cast_of(name), _plain_of(name)
            local = f"case when {is_plain} then {cast} when {is_time} and not {has_zone} then {cast} end"
            instant = (
                f"case when {is_plain} then null "
                f"when {is_time} and {has_zone} then {_utc(f'try_cast({text} as timestamptz)')} end"
            )
        elif format_ in ("epoch_seconds", "epoch_milliseconds"):
            scale = 1000 if format_ == "epoch_milliseconds" else 1
            digits = 14 if format_ == "epoch_milliseconds" else 11  # up to the year 5138
            is_number = f"regexp_full_match({text}, '-?\\d{{1,{digits}}}')"
            number = f"case when {is_number} then {text}::bigint end"
            instant = f"make_timestamp(({number} * {1_000_000 // scale})::bigint)"
        else:
            time = f"try_strptime({text}, {query.bind(format_)})"
            if "%z" in format_.lower():
                instant = f"{time}::timestamp"  # of an instant, the session's clock, which is UTC's
            else:
                local = time
        yield f"{local} as {quoted(name + ' local')}"
        yield f"{instant} as {quoted(name + ' instant')}"

    def _value(self, name: str, column: Column, query: Query) -> str:
        text = quoted(name)
        if column.type == "timestamp":
            instant = quoted(name + " instant")
            on_clock = f"case when {instant} < timestamp '{civil_time.LAST:%Y-%m-%d}' then {instant} end"
            return f"coalesce({on_clock}, {_clock_to_utc(name)})"
        if column.type == "text":
            return _masked(text, query) if column.mask else text
        if column.type == "boolean":
            lower = f"lower({text})"
            return (
                f"case when {lower} in ('true', 't', 'yes', 'y', '1') then true "
                f"when {lower} in ('false', 'f', 'no', 'n', '0') then false end"
            )
        is_number, number = self._number(column, text, query)
        return f"case when {is_number} then try_cast({number} as {DUCKDB_TYPES[column.type]}) end"

    def _number(self, column: Column, text: str, query: Query) -> tuple[str, str]:
        """Return SQL that says whether a text is a number in the shop's form, and for the number in ours."""
        form, patterns = self.formats.money, []
        number = text
        if form != "plain" and column.type != "float":
            patterns = [GROUPED_PATTERNS[form]]
            if form == "1.234,56" and not self.is_all_text:
                patterns.append(UNLIKE_A_NUMBER)
            number = f"replace(replace({text}, '{form[1]}', ''), ',', '.')"
        holds = [f"regexp_full_match({text}, {query.bind(pattern)})" for pattern in patterns]
        holds.append(f"regexp_full_match({number}, {query.bind(PLAIN_PATTERNS[column.type])})")
        return " and ".join(holds), f"split_part({number}, '.', 1)" if column.type == "integer" else number

    def _event_date(self, query: Query) -> str:
        happened_at = self.contract.happened_at
        if happened_at is None:
            return "delivered_on"
        local, instant = quoted(happened_at + " local"), quoted(happened_at + " instant")
        business = f"timezone({query.bind(self.time_zone)}, timezone('UTC', {instant}))"
        return f"coalesce({local}::date, case when {instant} is not null then {business}::date end)"

    def _judgement(self, query: Query) -> str:
        conditions = [f"coalesce({condition}, false)" for condition, _ in self._rules(query)]
        return f"({' or '.join(conditions) or 'false'}) as is_bad"

    def _reasons(self, query: Query) -> str:
        reasons = [f"case when {condition} then '{reason}' end" for condition, reason in self._rules(query)]
        return (
            f"list_filter([{', '.join(reasons)}], lambda reason: reason is not null)" if reasons else "null"
        )

    def _rules(self, query: Query) -> Iterator[tuple[str, str]]:
        """Yield every check as a condition that is true for a bad row, and its reason."""
        for name, column in self.contract.columns.items():
            yield from self._column_rules(name, column, query)
        for group in self.contract.require_any:
            yield " and ".join(f"{quoted(name)} is null" for name in group), f"missing_any:{'|'.join(group)}"
        if self.contract.happened_at:
            yield "event_date > due_by", f"future:{self.contract.happened_at}"

    def _column_rules(self, name: str, column: Column, query: Query) -> Iterator[tuple[str, str]]:
        text, value = quoted(name), _value_of(name)
        if column.required is True or (column.required and self.mapping.column(name)):
            yield f"{text} is null", f"missing:{name}"
        if column.type != "text":
            yield f"{text} is not null and {value} is null", f"unreadable:{name}"
        elif self.is_jsonl:
            yield f"{text} = chr(0)", f"unreadable:{name}"  # an object or a list; no text has this character
        elif self.is_workbook:
            yield f"list_contains({query.bind(list(ERROR_CELLS))}, {text})", f"unreadable:{name}"
        if column.type == "timestamp":
            yield quoted(name + " skipped"), f"skipped_hour:{name}"
        if column.allowed is not None:
            yield f"not list_contains({query.bind(list(column.allowed))}, {text})", f"not_allowed:{name}"
        type_ = DUCKDB_TYPES[column.type]
        if column.min is not None:
            yield f"{value} < {query.bind(str(column.min))}::{type_}", f"below_min:{name}"
        if column.max is not None:
            yield f"{value} > {query.bind(str(column.max))}::{type_}", f"above_max:{name}"
        if name == "currency":
            yield f"upper({text}) <> {query.bind(self.currency)}", f"other_currency:{name}"

    def _landed(self) -> Iterator[str]:
        for name, column in self.contract.columns.items():
            if column.is_landed:
                yield f"{_value_of(name)} as {quoted(landed_name(name, column))}"

    def _repeated(self) -> str:
        happened_at = self.contract.happened_at
        return f"coalesce({quoted(happened_at + ' repeated')}, false)" if happened_at else "false"


def first_per(source_column: str) -> str:
    """Return the name under which a translated table carries a column that it is unique by."""
    return f"first per {source_column}"


def pseudonymised(contract: Contract) -> str:
    """Return the query over ``chosen`` (translated rows with their file_id) that is written.

    Typed landed columns in order; each identifier is replaced by its key from a table of :func:`key_tables`.
    """
    names = _identifiers(contract)
    columns = ", ".join(
        f"{_keys_of(name)}.key as {quoted(name)}"
        if name in names
        else f"chosen.{quoted(name)}::{type_} as {quoted(name)}"
        for name, type_ in contract.landed_columns.items()
    )
    lookups = [f"left join {_keys_of(name)} on {_keys_of(name)}.id = chosen.{quoted(name)}" for name in names]
    return "\n".join([f"select {columns} from chosen", *lookups])


def key_tables(translation: Translation) -> Iterator[str]:
    """Yield the statements that compute each identifier's pseudonym, once per distinct one.

    They take the parameters of :func:`pseudonyms.pads`.
    """
    for name in _identifiers(translation.contract):
        key = pseudonyms.expression(pseudonyms.KINDS[name], "id")
        distinct = f"select distinct {quoted(name)} as id from {translation.target}"
        yield (
            f"create or replace temp table {_keys_of(name)} as "
            f"select id, {key} as key from ({distinct}) where id is not null"
        )


def _identifiers(contract: Contract) -> list[str]:
    return [name for name in contract.landed_columns if name in pseudonyms.KINDS]


def _keys_of(name: str) -> str:
    return quoted(f"keys of {name}")


def _trimmed(text: str) -> str:
    """Return SQL for a text without blanks around it, null when nothing is left.

    Few texts have any, and looking at both ends is much cheaper than trimming.
    """
    ends = ", ".join(f"chr({ord(blank)})" for blank in BLANKS)
    is_odd = f"{text} = '' or {text}[1] in ({ends}) or {text}[-1] in ({ends})"
    return f"case when {is_odd} then nullif(trim({text}, concat({ends})), '') else {text} end"


def _masked(text: str, query: Query) -> str:
    for mask, pattern in MASKS.items():
        text = f"regexp_replace({text}, {query.bind(pattern)}, {query.bind(mask)}, 'g')"
    return text


def _value_of(name: str) -> str:
    return quoted(name + " value")


def _cast_of(name: str) -> str:
    return quoted(name + " cast")


def _plain_of(name: str) -> str:
    return quoted(name + " is plain")


def _is_plain_time(name: str) -> str:
    """Return SQL for whether a time is written as DuckDB writes it: such a one needs no pattern.

    By its length it is no infinity and has a year of four digits.
    """
    text = quoted(name)
    return f"(strlen({text}) = 19 and {_cast_of(name)}::varchar = {text})"


def _utc(instant: str) -> str:
    return f"timezone('UTC', {instant})"


def _clock_join(name: str) -> str:
    day, local = quoted(name + " day"), quoted(name + " local")
    return f"left join zone_day as {day} on {day}.day = {local}::date"


def _clock_to_utc(name: str) -> str:
    day, local = quoted(name + " day"), quoted(name + " local")
    offset = f"case when {local} < {day}.switch_at then {day}.offset_before else {day}.offset_after end"
    return f"{local} - to_seconds({offset})"


def _clock_flags(name: str) -> Iterator[str]:
    day, local = quoted(name + " day"), quoted(name + " local")
    is_odd = f"{local} >= {day}.odd_from and {local} < {day}.switch_at"
    yield f"({is_odd} and {day}.is_skip) as {quoted(name + ' skipped')}"
    yield f"({is_odd} and not {day}.is_skip) as {quoted(name + ' repeated')}"

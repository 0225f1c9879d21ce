"""A shop's own file: time zone, currency, formats, what it delivers, and how its columns become ours.

``shops/<shop>.yml`` is reviewed configuration, like a dbt model: its ``sql``, ``where`` and
``quarantine`` entries are DuckDB expressions over the columns of the source row (all text)
and ``row_number``. They are parsed here, so that a typing error is met before any file is.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Hashable, Iterator, Sequence
from datetime import date
from difflib import get_close_matches
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Literal, Self
from zoneinfo import ZoneInfo, available_timezones

import duckdb
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from cli import UsageError
from landing import contracts
from settings import ROOT, ShopPaths

Format = Literal["csv", "jsonl", "parquet", "xlsx"]

SUFFIXES: dict[str, Format] = {
    ".csv": "csv",
    ".csv.gz": "csv",
    ".tsv": "csv",
    ".tsv.gz": "csv",
    ".txt": "csv",
    ".txt.gz": "csv",
    ".jsonl": "jsonl",
    ".jsonl.gz": "jsonl",
    ".parquet": "parquet",
    ".xlsx": "xlsx",
}


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class ColumnMapping(_Frozen):
    """Where one of our columns comes from: a source column, a constant, an expression, or a key.

    ``key_of`` makes an id for a shop that has none: a keyed hash over source columns, so that an
    id made of whose it was, and when, tells neither.
    """

    source: str | None = Field(default=None, alias="from")
    constant: str | None = None
    sql: str | None = None
    key_of: tuple[str, ...] = ()
    values: dict[str, str] = {}

    @model_validator(mode="before")
    @classmethod
    def _a_name_alone_is_a_source_column(cls, value: Any) -> Any:
        return {"from": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _comes_from_one_place(self) -> Self:
        stated = sum(place is not None for place in (self.source, self.constant, self.sql))
        if stated + bool(self.key_of) != 1:
            raise ValueError("say exactly one of: from, constant, sql, key_of")
        return self

    @cached_property
    def reads(self) -> frozenset[str]:
        """The source columns that it needs."""
        if self.sql is not None:
            return columns_read(self.sql)
        return frozenset(self.key_of if self.source is None else {self.source})


class TableMapping(_Frozen):
    """How source rows become rows of one of our tables."""

    where: str | None = None
    first_per: tuple[str, ...] = ()
    delivery: contracts.Delivery | None = None
    as_contract: bool = False
    columns: dict[str, ColumnMapping] = {}

    def column(self, name: str) -> ColumnMapping | None:
        """Return where a column comes from; None when the shop has no such column."""
        if name in self.columns or not self.as_contract:
            return self.columns.get(name)
        return ColumnMapping.model_validate(name)


class QuarantineRule(_Frozen):
    """Source rows that the shop itself does not trust, and why."""

    where: str
    reason: str = Field(pattern=r"^[a-z][a-z0-9_]*$")


class CsvFormat(_Frozen):
    """How the shop writes csv; a byte order mark is believed whatever encoding is stated.

    ``delimiter`` has up to four characters, ``quote`` one, which stands twice for itself within quotes;
    it is empty where nothing is ever quoted.
    ``header`` names the columns of files that have no header line.
    ``final_line_break`` is false for a shop whose last line never ends with one: else such a file
    counts as torn, and waits.
    """

    delimiter: str = Field(default=",", min_length=1, max_length=4)
    quote: str = Field(default='"', max_length=1)
    encoding: str = "utf-8"
    header: tuple[str, ...] = ()
    final_line_break: bool = True

    @field_validator("encoding")
    @classmethod
    def _is_a_known_encoding(cls, value: str) -> str:
        try:
            "".encode(value)
        except LookupError as error:
            raise ValueError(f"encoding {value!r} is unknown: use utf-8, gbk, utf-16 or the like") from error
        return value


class JsonlFormat(_Frozen):
    """How the shop nests jsonl: with ``each``, every element of that list is a row of its own.

    Such a row still has what stood beside the list. ``from: /events/ts`` is a JSON pointer (RFC 6901)
    into a row; a name without a slash in front is a key of its top level.
    """

    each: str | None = Field(default=None, pattern=r"^[^/~]+$")


class Formats(_Frozen):
    """How the shop writes money and times; whatever does not fit is quarantined, never guessed.

    Pieces and other whole numbers are written as ``money`` is. ``timestamp`` is ``iso`` (with or without
    zone), ``epoch_seconds``, ``epoch_milliseconds`` or a strptime pattern, such as ``%d/%m/%Y %H:%M`` (with
    ``%z`` where the zone is written). ``missing`` lists words that mean that nothing is there, beside the
    empty field.
    """

    money: Literal["plain", "1,234.56", "1.234,56"] = "plain"
    timestamp: str = "iso"
    missing: tuple[str, ...] = ()

    @field_validator("timestamp")
    @classmethod
    def _can_be_read_by(cls, value: str) -> str:
        try:
            is_pattern = "%" in value and bool(_sql_parser().execute("select try_strptime('', ?)", [value]))
        except duckdb.Error:
            is_pattern = False
        if value not in ("iso", "epoch_seconds", "epoch_milliseconds") and not is_pattern:
            raise ValueError(
                f"timestamp {value!r} is no pattern: write iso, epoch_seconds, epoch_milliseconds, "
                "or a strptime pattern such as %d/%m/%Y %H:%M"
            )
        if "%I" in value and "%p" not in value:
            raise ValueError(
                f"timestamp {value!r} would read afternoons as mornings: %I has twelve hours, and %p tells "
                "which; write %H where the shop counts to 24"
            )
        return value


class Source(_Frozen):
    """One kind of file: how it is named, read, and mapped.

    ``delivered_on`` says how the day of a delivery is found where the caller does not state it: by the
    date in the file's name, by each row's own business day, or, for what comes once and tells no day
    (a catalogue beside a history), the date that stands here.
    With ``done_marker``, a file counts as whole only when ``<file>.done`` lies beside it.
    """

    name: str
    files: tuple[str, ...] = Field(min_length=1)
    done_marker: bool = False
    delivered_on: Literal["file_name", "row"] | date = "file_name"
    csv: CsvFormat = CsvFormat()
    jsonl: JsonlFormat = JsonlFormat()
    formats: Formats | None = None
    quarantine: tuple[QuarantineRule, ...] = ()
    tables: dict[str, TableMapping] = Field(min_length=1)

    @field_validator("tables", mode="before")
    @classmethod
    def _a_list_of_tables_is_delivered_as_contracted(cls, value: Any) -> Any:
        return {table: {"as_contract": True} for table in value} if isinstance(value, list) else value

    @field_validator("files")
    @classmethod
    def _are_names_without_folders(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if folders := [pattern for pattern in value if "/" in pattern or "\\" in pattern]:
            raise ValueError(
                f"{folders} name folders: say how the files are called, whatever folder they lie in"
            )
        return value

    @model_validator(mode="after")
    def _maps_to_what_the_contracts_know(self) -> Self:
        for table, mapping in self.tables.items():
            if table not in contracts.load():
                raise ValueError(f"table {table!r} has no contract: use one of {', '.join(contracts.load())}")
            if unknown := sorted(mapping.columns.keys() - contracts.load()[table].columns.keys()):
                raise ValueError(f"{table} has no columns {unknown}: see landing/contracts/{table}.yml")
            if missing := _unmapped_required(table, mapping):
                raise ValueError(f"{table} needs {missing}: map them, or say `as_contract: true`")
        unnamed = sorted(
            self.reads - set(self.csv.header)
        )  # parses every expression: broken ones are met here
        if self.csv.header and unnamed:
            raise ValueError(f"columns {unnamed} are read, but not in csv.header: name them there")
        if refused := _unclear(sorted(self.reads)):
            raise ValueError(refused)
        if copied := self._copied_identifiers():
            raise ValueError(f"{copied} would show who somebody is: make the id by `key_of: [...]`")
        if all(mapping.first_per for mapping in self.tables.values()):
            raise ValueError("every table says first_per, so most rows would go nowhere: drop it from one")
        return self

    def _copied_identifiers(self) -> list[str]:
        """Return the columns that would land what identifies a person as it stands."""
        who = [
            column.reads
            for contract, name, column in self.mapped()
            if contract.columns[name].identifies is not None
        ]
        names = frozenset().union(*who)
        return [
            f"{contract.table}.{name}"
            for contract, name, column in self.mapped()
            if contract.columns[name].identifies is None
            and not column.key_of
            and (column.source in names or (name in contract.key and column.reads & names))
        ]

    def mapped(self) -> Iterator[tuple[contracts.Contract, str, ColumnMapping]]:
        """Yield every mapped column with its contract."""
        for table, mapping in self.tables.items():
            contract = contracts.load()[table]
            for name in contract.columns:
                if found := mapping.column(name):
                    yield contract, name, found

    @property
    def tells_when(self) -> bool:
        """Whether some table knows when its rows happened; a catalogue only knows what is."""
        return any(contracts.load()[table].happened_at for table in self.tables)

    @cached_property
    def reads(self) -> frozenset[str]:
        """Every source column that the mapping reads, needed or not."""
        return self.needs.union(*(column.reads for _, _, column in self.mapped()))

    @cached_property
    def opened(self) -> frozenset[str]:
        """The JSON pointers into which the mapping reaches, and so takes for no columns of their own."""
        parts = (name.split("/") for name in self.reads if name.startswith("/"))
        return frozenset("/".join(each[:depth]) for each in parts for depth in range(2, len(each)))

    @cached_property
    def needs(self) -> frozenset[str]:
        """The source columns without which a file is refused."""
        conditions = [rule.where for rule in self.quarantine]
        conditions += [mapping.where for mapping in self.tables.values() if mapping.where]
        needed = {column for mapping in self.tables.values() for column in mapping.first_per}
        needed = needed.union(*map(columns_read, conditions))
        for contract, name, column in self.mapped():
            if contract.columns[name].required and not contract.columns[name].derive:
                needed |= column.reads
        return frozenset(needed)

    @cached_property
    def identifying(self) -> frozenset[str]:
        """The source columns whose values may name a person."""
        named = [
            column.reads for contract, name, column in self.mapped() if contract.columns[name].is_identifying
        ]
        return frozenset().union(*named)

    def refusal(self, header: tuple[str, ...]) -> str | None:
        """Say why files with this header cannot be taken; None when they can."""
        found = _shown_header(header, self.reads)
        if missing := sorted(self.needs - set(header)):
            return (
                f"required column {' and '.join(map(repr, missing))} is missing; {found}: "
                f"{_advice(missing, header, self.reads)}deliver the file with it, "
                f"or change the mapping of source {self.name!r}"
            )
        for table, mapping in self.tables.items():
            for group in contracts.load()[table].require_any:
                columns = [column for name in group if (column := mapping.column(name))]
                if not any(column.reads <= set(header) for column in columns):
                    return (
                        f"{table} needs one of {' or '.join(group)}; {found}: deliver the file with one "
                        f"of them, or map one in source {self.name!r}"
                    )
        return None

    def refusal_of_clocks(self, unclear: frozenset[str]) -> str | None:
        """Say why files with times by nobody knows which clock cannot be taken, where those are mapped."""
        copied = {column.source for _, _, column in self.mapped() if column.source in unclear}
        if not copied:
            return None
        first = quoted(str(min(copied, key=str)))
        utc, clock = (json.dumps(sql) for sql in (f"{first} || 'Z'", first))
        return (
            f"the times of {' and '.join(map(repr, sorted(copied, key=str)))} have Parquet's old type INT96, "
            "which does not say by which clock; in the mapping of source "
            f"{self.name!r} write {{sql: {utc}}} for UTC, as Spark writes them, or {{sql: {clock}}} for the "
            "shop's clock"
        )

    def refusal_of_nested(self, nested: dict[str, str]) -> str | None:
        """Say why files with these columns of lists or structs cannot be taken, where they are mapped."""
        copied = sorted({str(column.source) for _, _, column in self.mapped() if column.source in nested})
        if not copied:
            return None
        told = " and ".join(f"{name!r} ({nested[name]})" for name in copied)
        as_text = json.dumps(quoted(copied[0]))
        return (
            f"no single value stands in {told}: deliver texts or numbers, or, to take what DuckDB writes for "
            f"it, write {{sql: {as_text}}} in the mapping of source {self.name!r}"
        )

    @cached_property
    def version(self) -> str:
        """A short digest of the mapping."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:12]


class JudgedCut(_Frozen):
    """A cut at which models are compared: the first day of a horizon, to choose by or to report on."""

    cut: date
    horizon_days: int = Field(ge=1)
    role: Literal["choose", "report"]


class Shop(_Frozen):
    """One shop."""

    shop: str
    description: str
    time_zone: str
    currency: str = Field(pattern=r"^[A-Z]{3}$")
    required: tuple[str, ...] = ()
    daily: tuple[str, ...] = Field(min_length=1)
    formats: Formats = Formats()
    judge: tuple[JudgedCut, ...] = ()
    sources: tuple[Source, ...] = Field(min_length=1)

    @field_validator("time_zone")
    @classmethod
    def _is_a_known_zone(cls, value: str) -> str:
        if value not in available_timezones():
            raise ValueError(f"time zone {value!r} is unknown: use an IANA name such as Europe/London")
        return value

    @model_validator(mode="after")
    def _has_events_or_orders(self) -> Self:
        if not {"events", "orders"} & self.delivered_tables:
            raise ValueError("no source delivers events or orders: map at least one of them")
        if unmapped := sorted({*self.required, *self.daily} - self.delivered_tables):
            raise ValueError(f"required or daily tables {unmapped} are mapped from no source")
        names = [source.name for source in self.sources]
        if len(names) != len(set(names)):
            raise ValueError(f"two sources share a name in {names}: rename one")
        return self

    @field_validator("judge")
    @classmethod
    def _reports_at_most_once(cls, value: tuple[JudgedCut, ...]) -> tuple[JudgedCut, ...]:
        reporting = [one.cut for one in value if one.role == "report"]
        if len(reporting) > 1:
            raise ValueError(f"{len(reporting)} cuts report ({reporting}): let one, the others choose")
        return value

    @property
    def delivered_tables(self) -> frozenset[str]:
        """The tables that some source maps to; all others stay empty."""
        return frozenset(table for source in self.sources for table in source.tables)

    @property
    def zone(self) -> ZoneInfo:
        """The shop's time zone, which makes its business days."""
        return ZoneInfo(self.time_zone)

    def delivery(self, table: str) -> contracts.Delivery:
        """Return how deliveries of a table behave in this shop: its own word, else the contract's."""
        said = {source.tables[table].delivery for source in self.sources if table in source.tables} - {None}
        return next(iter(said), None) or contracts.load()[table].delivery

    def formats_of(self, source: Source) -> Formats:
        """Return a source's formats: its own, else the shop's."""
        return source.formats or self.formats


class _Loader(yaml.SafeLoader):
    """Refuses a key that stands twice: of two columns that are mapped by one name YAML drops the first."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        names = set()
        for key, _ in node.value:
            if key.value in names:
                raise yaml.constructor.ConstructorError(
                    None, None, f"{key.value!r} stands twice", key.start_mark
                )
            names.add(key.value)
        return super().construct_mapping(node, deep)


@cache
def load(shop: str) -> Shop:
    """Read ``shops/<shop>.yml``.

    Raises
    ------
    UsageError
        When there is no such shop, or its file contradicts itself or a contract.
    """
    try:
        path = ShopPaths(shop).config
    except ValueError as error:
        raise UsageError(str(error)) from error
    if not path.exists():
        known = ", ".join(sorted(found.stem for found in (ROOT / "shops").glob("*.yml")))
        raise UsageError(f"no shop {shop!r}: write {path}, or use one of {known}")
    return read(path)


def read(path: Path) -> Shop:
    """Read one shop file; it must be named after its shop."""
    try:
        shop = Shop.model_validate(_Loader(path.read_text(encoding="utf-8")).get_single_data())
    except (ValidationError, yaml.YAMLError) as error:
        said = contracts.explain(error) if isinstance(error, ValidationError) else str(error)
        raise UsageError(f"{path} is no shop file: {said}") from error
    if shop.shop != path.stem:
        raise UsageError(f"{path} describes shop {shop.shop!r}: name the file {shop.shop}.yml")
    return shop


@cache
def columns_read(expression: str) -> frozenset[str]:
    """Return the source columns that one SQL expression reads.

    Examples
    --------
    >>> sorted(columns_read('"Quantity" || lower(price)'))
    ['Quantity', 'price']

    Raises
    ------
    ValueError
        When the text is not exactly one plain expression: no sub-query, no second statement.
    """
    question = "select json_serialize_sql($query)"
    ((text,),) = _sql_parser().execute(question, {"query": f"select (\n{expression}\n)"}).fetchall()
    parsed = json.loads(text)
    nodes = [statement["node"] for statement in parsed.get("statements", [])]
    if not expression.strip() or parsed["error"] or len(nodes) != 1 or not _is_one_plain_expression(nodes[0]):
        raise ValueError(f"{expression!r} is not one plain SQL expression over the columns of a source row")
    columns = frozenset(_column_references(nodes[0])) - {"row_number"}
    _require_sense(expression, columns)
    return columns


def _require_sense(expression: str, columns: frozenset[str]) -> None:
    """Meet functions that nobody knows, and types that do not fit, before any file is."""
    source = ", ".join(["1 as row_number", *(f"null::varchar as {quoted(name)}" for name in sorted(columns))])
    try:
        _sql_parser().execute(f"explain select (\n{expression}\n) from (select {source})")  # noqa: S608
    except duckdb.Error as error:
        raise ValueError(f"{expression!r} makes no sense: {str(error).splitlines()[0]}") from error


def quoted(name: str) -> str:
    """Return a name as an SQL identifier, whatever is in it."""
    return '"' + name.replace('"', '""') + '"'


def _unclear(columns: Sequence[str]) -> str | None:
    """Say which column SQL would take for another: it knows no capitals, and two names are ours."""
    known: dict[str, str] = {}
    for name in columns:
        if what := {"row_number": "row", "file_index": "file"}.get(name.lower()):
            return (
                f"column {name!r} is called as the number that landing gives a {what}: let the shop call it "
                f"otherwise, or, in jsonl, map its pointer '/{name}' (our own number is `sql: row_number`)"
            )
        if (other := known.setdefault(name.lower(), name)) != name:
            return f"columns {other!r} and {name!r} differ by case alone: map one of them"
    return None


@cache
def _sql_parser() -> duckdb.DuckDBPyConnection:
    return duckdb.connect(config={"threads": 1, "enable_external_access": False})


def _is_one_plain_expression(node: dict[str, Any]) -> bool:
    is_alone = len(node.get("select_list", [])) == 1 and node["from_table"]["type"] == "EMPTY"
    return is_alone and '"class": "SUBQUERY"' not in json.dumps(node)


def _column_references(node: Any) -> set[str]:
    if isinstance(node, list):
        return set().union(*map(_column_references, node))
    if not isinstance(node, dict):
        return set()
    if node.get("class") == "COLUMN_REF":
        return {node["column_names"][-1]}
    return set().union(*map(_column_references, node.values()))


def _shown_header(header: tuple[str, ...], known: frozenset[str]) -> str:
    """Quote a header, unless it may be the first row of a file without one, which may name a person."""
    if known.isdisjoint(header):
        return f"found {len(header)} columns, none of them known: has the file no header"
    return f"found {', '.join(header)}"


def _advice(missing: list[str], header: tuple[str, ...], known: frozenset[str]) -> str:
    if known.isdisjoint(header):
        return ""
    near = {name: get_close_matches(name, header, n=1, cutoff=0.6) for name in missing}
    guesses = [f"is {name!r} now called {found[0]!r}? " for name, found in near.items() if found]
    return "".join(guesses)


def _unmapped_required(table: str, mapping: TableMapping) -> list[str]:
    if mapping.as_contract:
        return []
    columns = contracts.load()[table].columns
    return [
        name
        for name, column in columns.items()
        if column.required is True and not column.derive and name not in mapping.columns
    ]

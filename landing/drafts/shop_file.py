"""Writes the draft: what was recognised, as yml with comments."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from cli import UsageError
from landing import contracts, incoming, shops
from landing.drafts import words
from landing.drafts.columns import PEOPLE, Columns, amount, recognise
from landing.drafts.sample import Sample, take
from landing.shops import quoted
from settings import SHOP_NAME

NAMES_A_PERSON = "names a person: lands as a keyed pseudonym"
NEVER_LANDS = "names a person: never leaves landing"
BY_PLACE = "TODO: guessed, is it so?"

Mapping = str | dict[str, Any]


@dataclass
class Table:
    """One table of a drafted source."""

    name: str
    columns: dict[str, Mapping]
    comments: dict[str, str] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Draft:
    """A shop's file as far as samples tell it, and what is missing before landing takes it."""

    shop: str
    text: str
    missing: str | None


def draft(paths: Sequence[Path], shop: str | None, time_zone: str | None, currency: str | None) -> Draft:
    """Draft ``shops/<shop>.yml`` from one sample of each kind of file.

    Raises
    ------
    UsageError
        When a sample does not exist or is of no format that landing reads, or the shop's name is no name.
    ShoalError
        When a sample cannot be read, or has no rows.
    """
    name = shop or _shop_name(paths[0])
    if not SHOP_NAME.fullmatch(name):
        raise UsageError(f"shop {name!r} is no valid name: use lower-case letters, digits and _")
    sources = [_Source(take(path)) for path in paths]
    text = "\n".join([*_head(name, time_zone, currency, sources), *_lines_of(sources)]) + "\n"
    return Draft(name, text, _missing(name, text))


def _missing(name: str, text: str) -> str | None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.yml"
        path.write_text(text, encoding="utf-8")
        try:
            shops.read(path)
        except UsageError as error:
            return str(error).replace(str(path), "the draft")
    return None


class _Source:
    """One sample and the tables that its rows become."""

    def __init__(self, sample: Sample) -> None:
        self.sample = sample
        self.columns = recognise(sample)
        self.contract = _contract_of(sample)
        self.tables = [] if self.contract else list(_tables(self.columns))
        self.name = _word(incoming.DATE_IN_NAME.sub("", sample.path.name.split(".")[0])) or "files"

    @property
    def delivered(self) -> set[str]:
        return {self.contract} if self.contract else {table.name for table in self.tables}

    @property
    def left_out(self) -> tuple[list[str], list[str]]:
        """Return the columns that no table takes: those that may identify a person, and the others."""
        mappings = [mapping for table in self.tables for mapping in table.columns.values()]
        taken = frozenset().union(*(shops.ColumnMapping.model_validate(each).reads for each in mappings))
        found = [name for name in self.sample.columns if name not in taken]
        people = {*self.columns.people, *(self.columns.of.get(ours, "") for ours in PEOPLE)}
        return [name for name in found if name in people], [name for name in found if name not in people]

    @property
    def is_dated(self) -> bool:
        return incoming.DATE_IN_NAME.search(self.sample.path.name) is not None


def _contract_of(sample: Sample) -> str | None:
    """Return the contract by whose own names a file is written, if it is."""
    for name, contract in contracts.load().items():
        needed = {each for each, column in contract.columns.items() if column.required and not column.derive}
        shared = contract.columns.keys() & sample.columns.keys()
        if needed <= shared and 3 * len(shared) >= 2 * len(sample.columns):
            return name
    return None


# --- tables


def _tables(columns: Columns) -> Iterator[Table]:
    purchases = [word for word in columns.event_words if words.event_type(word) == "order"]
    has_money = "price" in columns or "quantity" in columns
    is_orders = bool(purchases) or "order_id" in columns or ("event_type" not in columns and has_money)
    if "time" in columns and (not is_orders or set(columns.event_words) - set(purchases)):
        yield _events(columns, purchases)
    if "time" in columns and is_orders:
        yield from _orders(columns, purchases)
    is_alone = "time" not in columns
    if "product_id" in columns and {"title", "category", "brand"} & columns.of.keys():
        yield _catalogue(columns, "products", "product_id", ("title", "category", "brand"), is_alone)
    if (
        "customer_id" in columns
        and {"country", "language", "email", "phone", "full_name"} & columns.of.keys()
    ):
        about = ("country", "language", "email", "phone", "full_name")
        yield _catalogue(columns, "customers", "customer_id", about, is_alone)


def _events(columns: Columns, purchases: list[str]) -> Table:
    table = Table("events", {"event_type": {"constant": "view"}, "occurred_at": columns["time"]})
    if "event_type" in columns:
        table.columns["event_type"] = _event_type(columns)
        if strange := [word for word in columns.event_words if not words.event_type(word)]:
            table.comments["event_type"] = _asked(strange)
    else:
        table.comments["event_type"] = "TODO: no column says what was done, so all is a view"
    if purchases:
        table.settings["where"] = f"coalesce({_is_among(columns, purchases, 'not ')}, true)"
    _add(table, columns, "event_id", "customer_id", "device_id", "product_id", "query", "channel", "page")
    if "price" in columns:
        table.columns["price_amount"] = _price(columns)
    return _with_who(table, columns)


def _asked(strange: list[str]) -> str:
    return f"TODO: what do {', '.join(sorted(strange))} mean? Rows with unknown words are quarantined"


def _event_type(columns: Columns) -> Mapping:
    known = {word: words.event_type(word) for word in sorted(columns.event_words)}
    values = {word: ours for word, ours in known.items() if ours not in (None, "order", word)}
    return {"from": columns["event_type"], "values": values} if values else columns["event_type"]


def _orders(columns: Columns, purchases: list[str]) -> Iterator[Table]:
    settings = {"where": _is_among(columns, purchases)} if purchases else {}
    ids = [columns[name] for name in ("customer_id", "device_id", "time") if name in columns]
    order_id: Mapping = columns.of.get("order_id") or {"key_of": ids}
    orders = Table("orders", {"order_id": order_id, "ordered_at": columns["time"]}, settings=dict(settings))
    if "product_id" in columns:
        orders.settings["first_per"] = [columns["order_id"]] if "order_id" in columns else ids
    if "order_id" not in columns:
        orders.comments["order_id"] = (
            "TODO: no column is an order's id: what one buys at one instant is an order"
        )
    _add(orders, columns, "customer_id", "device_id", "channel", "currency")
    orders.columns["order_status"] = _order_status(columns)
    if strange := [word for word in columns.status_words if not words.order_status(word)]:
        orders.comments["order_status"] = _asked(strange)
    yield _with_who(orders, columns)
    if "product_id" in columns:
        yield _lines(columns, order_id, settings)


def _lines(columns: Columns, order_id: Mapping, settings: dict[str, Any]) -> Table:
    table = Table(
        "order_lines",
        {"order_id": order_id, "line_number": {"sql": "row_number"}, "ordered_at": columns["time"]},
        settings=dict(settings),
    )
    _add(table, columns, "product_id")
    table.columns["quantity"] = columns.of.get("quantity") or {"constant": "1"}
    if "quantity" not in columns:
        table.comments["quantity"] = "TODO: no column says how many"
    elif any(value.startswith("-") for value in columns.values("quantity")):
        table.comments["quantity"] = (
            "TODO: there are pieces below zero; returns go to refunds, as in shops/online_retail.yml"
        )
    if "price" in columns:
        table.columns["unit_price_amount"] = _price(columns)
        table.comments["unit_price_amount"] = "TODO: the price of one piece, or of the whole line?"
    return table


def _order_status(columns: Columns) -> Mapping:
    if "order_status" not in columns:
        return {"constant": "completed"}
    found = {word: words.order_status(word) for word in sorted(set(columns.values("order_status")))}
    values = {word: ours for word, ours in found.items() if ours not in (None, word)}
    return {"from": columns["order_status"], "values": values}


def _catalogue(columns: Columns, name: str, key: str, about: tuple[str, ...], is_alone: bool) -> Table:
    table = Table(name, {})
    if not is_alone:
        if name == "customers":
            table.settings["where"] = f"{quoted(columns[key])} is not null"
        table.settings |= {"first_per": [columns[key]], "delivery": "upsert"}
    _add(table, columns, key, *about)
    return table


def _add(table: Table, columns: Columns, *names: str) -> None:
    identifies = contracts.load()[table.name].columns
    for ours in names:
        if ours not in columns:
            continue
        table.columns[ours] = _unfloated(columns, ours)
        comments = [BY_PLACE] if ours in columns.guessed else []
        if who := identifies[ours].identifies:
            comments.append(NEVER_LANDS if who == "dropped" else NAMES_A_PERSON)
        if comments:
            table.comments[ours] = "; ".join(comments)


def _unfloated(columns: Columns, ours: str) -> Mapping:
    """Undo what a tool did that stored ids with gaps as floats: 17850.0."""
    values = columns.values(ours)
    if ours.endswith("_id") and values and all(re.fullmatch(r"\d+\.0", value) for value in values):
        return {"sql": f"regexp_replace({quoted(columns[ours])}, '\\.0$', '')"}
    return columns[ours]


def _price(columns: Columns) -> Mapping:
    if words.money_formats(columns.values("price")):
        return columns["price"]
    return {"sql": f"regexp_replace({quoted(columns['price'])}, '[^0-9.,+-]', '', 'g')"}


def _with_who(table: Table, columns: Columns) -> Table:
    if not {"customer_id", "device_id"} & table.columns.keys():
        table.comments["occurred_at" if table.name == "events" else "ordered_at"] = (
            "TODO: no column says who did it; map customer_id or device_id"
        )
    return table


def _is_among(columns: Columns, chosen: list[str], negation: str = "") -> str:
    listed = ", ".join("'" + word.replace("'", "''") + "'" for word in sorted(chosen))
    return f"{quoted(columns['event_type'])} {negation}in ({listed})"


# --- yml


def _head(name: str, time_zone: str | None, currency: str | None, sources: list[_Source]) -> Iterator[str]:
    delivered = set().union(*(source.delivered for source in sources))
    main = [table for table in ("events", "orders") if table in delivered]
    yield "# Drafted from samples by `python -m landing map`. Settle every TODO, then delete it."
    yield f"shop: {name}"
    yield "description: A shop.  # TODO: one sentence"
    yield f"time_zone: {time_zone or 'UTC'}" + (
        "" if time_zone else "  # TODO: its business days, as Europe/Berlin"
    )
    yield f"currency: {currency or 'USD'}" + ("" if currency else "  # TODO")
    if not main:
        yield "# TODO: nothing here is events or orders; draft from a file of one of them too"
    if len(sources) == 1:
        del main[1:]  # the others come in the same file
    yield f"required: {_inline(main)}"
    yield f"daily: {_inline(main)}  # TODO: the tables that every complete day has"
    yield "sources:"


def _lines_of(sources: list[_Source]) -> Iterator[str]:
    names: set[str] = set()
    for source in sources:
        while source.name in names:
            source.name += "_too"
        names.add(source.name)
        yield from _source_lines(source)


def _source_lines(source: _Source) -> Iterator[str]:
    sample, columns = source.sample, source.columns
    yield f"  - name: {_inline(source.name)}"
    yield f"    files: {_inline([_pattern(sample.path.name)])}"
    if not source.is_dated:
        by_row = bool(source.delivered - {"products", "customers"})
        day, note = ("row", "each row's own day?") if by_row else ("2000-01-01", "known since when?")
        yield f"    delivered_on: {day}  # TODO: the file's name has no date: {note}"
    if dialect := _dialect(source):
        note = "" if sample.csv.encoding == "utf-8" else "  # TODO: is the encoding right?"
        yield f"    csv: {_inline(dialect)}{note}"
    if sample.each:
        yield f"    jsonl: {_inline({'each': sample.each})}"
    formats, notes = _formats(columns)
    yield from (f"    # TODO: {note}" for note in notes)
    if formats:
        yield f"    formats: {_inline(formats)}"
    if source.contract:
        contract = f"landing/contracts/{source.contract}.yml"
        yield f"    tables: [{source.contract}]  # its columns are named as in {contract}"
        return
    people, others = source.left_out
    if people:
        yield f"    # Left out, as they may identify a person: {_listed(people)}"
    if others:
        yield f"    # TODO: nothing is mapped from {_listed(others)}"
    yield f"    tables:{'' if source.tables else ' {}  # TODO: no table was recognised'}"
    for table in source.tables:
        yield from _table_lines(table, _shown_names(source))


def _table_lines(table: Table, shown: dict[str, str]) -> Iterator[str]:
    yield f"      {table.name}:"
    for key, value in table.settings.items():
        yield f"        {key}: {_inline(_renamed(value, shown))}"
    yield "        columns:"
    for ours, mapping in table.columns.items():
        comment = f"  # {table.comments[ours]}" if ours in table.comments else ""
        yield f"          {ours}: {_inline(_renamed(mapping, shown))}{comment}"


def _shown_names(source: _Source) -> dict[str, str]:
    """Give the columns of a file without a header the names of what they were taken for."""
    taken = {theirs: ours for ours, theirs in source.columns.of.items()}
    return {name: taken.get(name, name) for name in source.sample.csv.header}


def _renamed(value: Any, shown: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: each if key == "values" else _renamed(each, shown) for key, each in value.items()}
    if isinstance(value, list):
        return [_renamed(each, shown) for each in value]
    return shown.get(value) or re.sub(r'"(\w+)"', lambda name: quoted(shown.get(name[1], name[1])), value)


def _dialect(source: _Source) -> dict[str, Any]:
    stated = source.sample.csv.model_dump(exclude_defaults=True)
    if "header" in stated:
        stated["header"] = list(_shown_names(source).values())
    return stated


def _formats(columns: Columns) -> tuple[dict[str, Any], list[str]]:
    formats: dict[str, Any] = {}
    notes = []
    times = words.time_formats(columns.values("time"))
    if times[:1] not in ([], ["iso"]):
        formats["timestamp"] = times[0]
    if len(times) > 1:
        notes.append(f"the times can be read as {' or '.join(times)}: which?")
    money = words.money_formats(list(map(amount, columns.values("price"))))
    if money and "plain" not in money:
        formats["money"] = money[0]
        if len(money) > 1:
            notes.append(f"the prices can be read as {' or '.join(money)}: which?")
    if columns.missing:
        formats["missing"] = sorted(columns.missing)
    return formats, notes


def _pattern(name: str) -> str:
    """Return the pattern of such files' names: any day, and nothing else that could differ."""
    return incoming.DATE_IN_NAME.sub("*", re.sub(r"([\[\]?*])", "?", name))


def _shop_name(path: Path) -> str:
    return _word(incoming.DATE_IN_NAME.sub("", path.name.split(".")[0]))[:40] or "shop"


def _word(text: str) -> str:
    return re.sub(r"^[^a-z]+|_+$", "", re.sub(r"[^a-z0-9]+", "_", text.lower()))


def _listed(names: Sequence[str]) -> str:
    shown = [re.sub(r"[\r\n]", " ", name)[:40] for name in names[:20]]
    return ", ".join(shown) + (f" and {len(names) - 20} more" if len(names) > 20 else "")


def _inline(value: object) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, sort_keys=False, width=10**6)
    return text.strip().removesuffix("...").strip()

"""What the group-level tables of a version tell together of few users: the audit of a release.

Of each table the rows and values that exports and pages show (:func:`serving.small_groups.shown`) are known,
and what everybody knows of all users: each is in one segment of every scheme, so all schemes add up to the
same, and the schemes of rules to the same of those who have never ordered.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping
from math import inf
from typing import TYPE_CHECKING, Any, NamedTuple

from cli import ShoalError
from serving.disclosure import Audit, Sensitive
from serving.groups import LEAST, OTHER
from serving.small_groups import EMPTY, HIDDEN, PAIRS, RULES, Total, counted, pair
from serving.tables import quoted

if TYPE_CHECKING:
    import duckdb


class Cell(NamedTuple):
    """Some users of a segment."""

    total: Total
    """What is counted, and where: all schemes tell it in parts."""
    scheme: str
    code: str
    most: float
    """So many are counted at most: all users of the segment, where users are counted."""
    counted: float
    is_told: bool

    @property
    def unknown(self) -> Hashable:
        return self.total, self.scheme, self.code


def betrayed(connection: duckdb.DuckDBPyConnection, table: str, schema: str = "bi") -> list[str]:
    """Return which few users a table betrays that says the same by several schemes, one sentence each."""
    audit = Audit()
    try:
        found = _betrayed(audit, table, _add_up(audit, [*_parts(connection, table, schema)]))
    except ShoalError as error:
        return [str(error)]
    return [
        f"{table} tells {users} of {' '.join(map(str, [*total, *codes]))}: they are {least} to {most}"
        for (users, total, codes), (least, most) in found.items()
    ]


def withheld(connection: duckdb.DuckDBPyConnection, schema: str = "bi") -> dict[str, set[Total]]:
    """Return what the daily funnel must not tell besides, or few users would be known.

    Who took two steps took each of them, so what is told of one step can betray another, and no rule of sums
    prevents it. Where it does, no segment of the scheme tells that step on that day and channel.

    Returns
    -------
    dict
        By what counts a part of the users, the totals of which no part may be told.
    """
    table = "funnel_daily"
    hidden: dict[str, set[Total]] = defaultdict(set)
    while True:
        audit, found = Audit(), [*_parts(connection, table, schema, hidden)]
        asked = [*_add_up(audit, found)]
        _nest(audit, found)
        more = {(users, total) for users, total, _ in _betrayed(audit, table, asked)}
        if not more:
            return hidden
        if all(total in hidden[users] for users, total in more):
            raise ShoalError(f"bi.{table} betrays few users whatever it leaves out: {min(map(str, more))}")
        for users, total in more:
            hidden[users].add(total)


def _betrayed(audit: Audit, table: str, asked: Iterable[Sensitive]) -> dict[Any, tuple[int, int]]:
    try:
        return audit.betrayed(asked)
    except ValueError as error:
        raise ShoalError(
            f"{table}: its schemes contradict each other, so whom it betrays is not known: {error}"
        ) from error


def _parts(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    schema: str,
    withheld: Mapping[str, Collection[Total]] = EMPTY,
) -> Iterator[Cell]:
    """Yield the parts of the rows that are shown of a table whose schemes add up to the same."""
    names = [name for name, *_ in connection.execute(f"describe {schema}.{quoted(table)}").fetchall()]
    parts, query = counted(table, names, schema, withheld)
    asked = [(at, part) for at, part in enumerate(parts) if part.known_by != "money"]
    if not asked:
        return
    by = [*map(quoted, HIDDEN[table].within), "segment_code", "users"]
    both = [f"users_{at}, is_told_{at}" for at, _ in asked]
    for row in connection.execute(f"select {', '.join([*by, *both])} {query}").fetchall():
        *key, scheme, code, users = row[: len(by)]
        of_parts = row[len(by) :]
        for (_, part), some, is_told in zip(asked, of_parts[::2], of_parts[1::2], strict=True):
            if some is not None:
                most = users if part.known_by == "users" else inf
                yield Cell((part.users, *key), scheme, code, most, some, is_told)


def _add_up(audit: Audit, found: Iterable[Cell]) -> Iterator[Sensitive]:
    """Take in that all schemes tell the same total; return the few whom they don't tell of it."""
    schemes = defaultdict(list)
    for cell in found:
        schemes[cell.total, cell.scheme].append(cell)
    open_totals = {total for (total, _), parts in schemes.items() if not all(cell.is_told for cell in parts)}
    for (total, scheme), parts in schemes.items():
        if total not in open_totals:
            continue
        # Days of which not every scheme has the same users add up by themselves.
        whole = total, sum(cell.counted for cell in parts)
        _equal(audit, whole, parts)
        if scheme in RULES:
            never = [cell for cell in parts if cell.code in RULES[scheme]]
            mixed = [cell for cell in parts if cell.code == OTHER and len(never) < len(RULES[scheme])]
            _equal(audit, (whole, "never ordered"), never, mixed)
        few = [cell for cell in parts if not cell.is_told and 0 < cell.counted < LEAST]
        together = [few] if len(few) > 1 else []
        for some in (*([cell] for cell in few), *together):
            codes = tuple(cell.code for cell in some)
            yield Sensitive((total[0], (*total[1:], scheme), codes), {cell.unknown: 1 for cell in some})


def _equal(audit: Audit, whole: Hashable, parts: list[Cell], mixed: Iterable[Cell] = ()) -> None:
    """Take in that some cells, with some of the users of others, are as many as other schemes say."""
    terms: dict[Hashable, float] = {whole: -1}
    for cell in parts:
        if not cell.is_told:
            audit.bound(cell.unknown, cell.most)
            terms[cell.unknown] = 1
    for cell in mixed:
        some = cell.unknown, "some"
        audit.bound(some, cell.counted if cell.is_told else cell.most)
        terms[some] = 1
        if not cell.is_told:
            audit.know({some: 1, cell.unknown: -1}, -inf, 0)
    audit.know(terms, -sum(cell.counted for cell in parts if cell.is_told))


def _nest(audit: Audit, found: Iterable[Cell]) -> None:
    """Take in that who took two steps of the funnel took each of them."""
    steps = {cell.unknown: cell for cell in found}
    for first, then in PAIRS:
        both = pair(first, then).users
        for cell in found:
            if cell.total[0] == both and not cell.is_told:
                for step in (first, then):
                    total = (f"{step}_users", *cell.total[1:])
                    of_step = steps[total, cell.scheme, cell.code]
                    if of_step.is_told:
                        audit.bound(cell.unknown, min(cell.most, of_step.counted))
                    else:
                        audit.know({cell.unknown: 1, of_step.unknown: -1}, -inf, 0)

"""The contracts: names, types, keys and bounds of every table that may come in.

One yml file per table, and nothing else in the project repeats what it says.

Examples
--------
>>> list(load()["device_links"].landed_columns)[:4]
['device_key', 'user_key', 'linked_at', 'method']
"""

from __future__ import annotations

import hashlib
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from cli import ShoalError

FOLDER = Path(__file__).resolve().parent

Delivery = Literal["append", "upsert", "snapshot"]

DUCKDB_TYPES = {
    "text": "VARCHAR",
    "timestamp": "TIMESTAMP",
    "decimal": "DECIMAL(18,4)",
    "money": "DECIMAL(18,4)",
    "integer": "BIGINT",
    "float": "DOUBLE",
    "boolean": "BOOLEAN",
}

PROVENANCE = {
    "event_date": "DATE",
    "is_repeated_hour": "BOOLEAN",
    "delivered_on": "DATE",
    "file_id": "VARCHAR",
    "row_number": "BIGINT",
}
"""What landing adds to every row: its business day, its delivery, and where it stood."""


class Column(BaseModel):
    """One column of a contract.

    ``required: if_mapped`` may be missing from a whole shop, and from no row of a shop that has it. What is
    ``only_judged`` may put its row into the quarantine and is of no use behind it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: Literal["text", "timestamp", "decimal", "money", "integer", "float", "boolean"]
    description: str
    required: bool | Literal["if_mapped"] = False
    derive: Literal["row_hash"] | None = None
    allowed: tuple[str, ...] | None = None
    min: Decimal | str | None = None
    max: Decimal | str | None = None
    identifies: Literal["user_key", "device_key", "dropped"] | None = None
    mask: bool = False
    only_judged: bool = False

    @property
    def is_landed(self) -> bool:
        """Whether its value goes further than landing."""
        return self.identifies != "dropped" and not self.only_judged

    @property
    def is_identifying(self) -> bool:
        """Whether its raw value may name a person: it is shown nowhere."""
        return self.identifies is not None or self.mask


class Contract(BaseModel):
    """One table as it has to look once landed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    table: str
    description: str
    delivery: Delivery
    key: tuple[str, ...] = Field(min_length=1)
    version: str | None = None
    replaces: tuple[str, ...] = ()
    happened_at: str | None = None
    max_quarantined_share: float = Field(ge=0, le=1)
    require_any: tuple[tuple[str, ...], ...] = ()
    columns: dict[str, Column]

    @model_validator(mode="after")
    def _speaks_of_its_own_columns(self) -> Self:
        named = {*self.key, *self.replaces, *(name for group in self.require_any for name in group)}
        named |= {name for name in (self.version, self.happened_at) if name}
        if unknown := sorted(named - self.columns.keys()):
            raise ValueError(f"columns {unknown} are named but not described: add them to columns")
        if self.happened_at and self.columns[self.happened_at].required is not True:
            raise ValueError(f"happened_at {self.happened_at!r} must be a required column")
        return self

    @property
    def landed_columns(self) -> dict[str, str]:
        """Columns of the landed Parquet, in order, with their DuckDB types."""
        columns = {
            landed_name(name, column): DUCKDB_TYPES[column.type]
            for name, column in self.columns.items()
            if column.is_landed
        }
        return columns | PROVENANCE

    @property
    def landed_key(self) -> tuple[str, ...]:
        """The key under its landed names, as dbt deduplicates by it."""
        return tuple(landed_name(name, self.columns[name]) for name in self.key)


def landed_name(name: str, column: Column) -> str:
    """Return what a contract column is called once landed: identifiers become keys."""
    return column.identifies if column.identifies in ("user_key", "device_key") else name


@cache
def load() -> dict[str, Contract]:
    """Read all contracts, by table name.

    Raises
    ------
    ShoalError
        When a contract contradicts itself; names the file and the place.
    """
    return {path.stem: read(path) for path in sorted(FOLDER.glob("*.yml"))}


def read(path: Path) -> Contract:
    """Read one contract; its file must be named after its table."""
    try:
        contract = Contract.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        raise ShoalError(f"{path} is no contract: {explain(error)}") from error
    if contract.table != path.stem:
        raise ShoalError(f"{path} describes table {contract.table!r}: name the file {contract.table}.yml")
    return contract


@cache
def version(tables: tuple[str, ...]) -> str:
    """Return a short digest of what the contracts of these tables say."""
    said = "".join(load()[table].model_dump_json() for table in sorted(tables))
    return hashlib.sha256(said.encode()).hexdigest()[:12]


def explain(error: ValidationError) -> str:
    """Put pydantic's findings into one line: place and message."""
    return "; ".join(
        f"{'.'.join(str(part) for part in found['loc']) or 'file'}: {found['msg']}"
        for found in error.errors()
    )

"""The documentation that dbt keeps: an offline page, and ``docs/data-model.md``."""

from __future__ import annotations

import shutil
from collections import defaultdict
from pathlib import Path
from typing import Any

import settings
import warehouse
from settings import ShopPaths
from warehouse import dbt, ops

DATA_MODEL = settings.ROOT / "docs" / "data-model.md"

SCHEMAS = {
    "bi": "What BI reads",
    "ml_inputs": "What the models read",
    "core": "The shop as it is known now",
    "intermediate": "On the way",
    "carried": "What builds hand on to each other",
    "staging": "What was landed",
    "reference": "Seeds: definitions kept as data",
}
"""In the order of the page: what most readers come for stands first."""


def write(paths: ShopPaths) -> tuple[Path, Path]:
    """Write the offline page under the shop's folder and the data model beside the docs; return both.

    The page also shows types and sizes of what this shop's warehouse holds.
    """
    with warehouse.lock(paths, "dbt docs"):
        with warehouse.open_locked(paths) as connection:
            ops.create(connection)
        manifest = dbt.invoke(paths, ["parse"], {}).result
        dbt.invoke(paths, ["docs", "generate", "--static"], {})
    page = paths.root / "docs" / "index.html"
    page.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(paths.ops / "dbt" / "target" / "static_index.html", page)
    DATA_MODEL.write_text(data_model(manifest), encoding="utf-8")
    return page, DATA_MODEL


def data_model(manifest: Any) -> str:
    """Say every table and column of the project in Markdown, from its declarations alone."""
    tables = defaultdict(list)
    for node in manifest.nodes.values():
        if node.resource_type in ("model", "seed"):
            tables[node.schema].append(node)
    parts = ["# The data model", "Generated from the dbt project by `make docs`; edit the yml files there."]
    for schema, title in SCHEMAS.items():
        parts.append(f"## `{schema}`: {title}")
        parts += [_table(node) for node in sorted(tables[schema], key=lambda node: node.name)]
    return "\n\n".join(parts) + "\n"


def _table(node: Any) -> str:
    columns = "\n".join(f"| `{c.name}` | {_cell(c.description)} |" for c in node.columns.values())
    said = " ".join(node.description.split())
    return f"### `{node.schema}.{node.name}`\n\n{said}\n\n| column | |\n|---|---|\n{columns}"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")

"""A published version beside the work under test, and a reader that asks it all the time."""

from __future__ import annotations

import io
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from serving.publish import publish
from serving.query import answer
from settings import ShopPaths
from tests.unit.serving.conftest import FIRST, Warehouse

PUBLISHED_DAY = FIRST
QUESTION = "select as_of_date, scheme, count(*) as users from user_segment_current group by all order by all"


def lay_published_version(paths: ShopPaths, aside: Path) -> None:
    """Put a version, published elsewhere, into a shop's folder: what BI had before the work began."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHOAL_DATA", str(aside))
        other = ShopPaths(paths.shop)
        Warehouse(other).build(PUBLISHED_DAY)
        publish(other, PUBLISHED_DAY)
        source = other.serving
        patch.undo()
        shutil.copytree(source, paths.serving, symlinks=True)


def asked(paths: ShopPaths) -> str:
    """Return what the version in force answers now, as csv."""
    out = io.StringIO()
    answer(paths, QUESTION, "csv", out)
    return out.getvalue()


@contextmanager
def reading(paths: ShopPaths, pause_seconds: float = 2) -> Iterator[list[str]]:
    """Ask the version in force until the block ends; yield the answers, errors among them."""
    answers: list[str] = []
    done = threading.Event()

    def ask() -> None:
        while not done.is_set():
            try:
                answers.append(asked(paths))
            except Exception as error:
                answers.append(f"{type(error).__name__}: {error}")
            done.wait(pause_seconds)

    reader = threading.Thread(target=ask)
    reader.start()
    try:
        yield answers
    finally:
        done.set()
        reader.join()

"""A small shop in Taobao's manner: headerless csv of user, item, category, behaviour, epoch; one file a day.

Three kinds of visitors take turns by their number: lookers only look, collectors mark favourites and fill
carts and buy once a month, and buyers buy every week.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

FIRST_DAY = date(2017, 9, 1)
MIDNIGHT_IN_SHANGHAI = timedelta(hours=-8)

Line = tuple[int, int, int, str, int]


def write(folder: Path, users: int, days: int) -> list[Path]:
    """Write one file per day and return them."""
    folder.mkdir(parents=True, exist_ok=True)
    return [_write_day(folder, users, FIRST_DAY + timedelta(days=day)) for day in range(days)]


def lines_of(users: int, day: date) -> list[Line]:
    """Return what everybody did on a day, in the order of time."""
    found = [line for user in range(1, users + 1) for line in _visit(user, day)]
    return sorted(found, key=lambda line: line[4])


def _write_day(folder: Path, users: int, day: date) -> Path:
    path = folder / f"behaviour_{day}.csv"
    with path.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(lines_of(users, day))
    return path


def _visit(user: int, day: date) -> Iterator[Line]:
    number = (day - FIRST_DAY).days
    if (number + user) % (2 + user % 5):
        return
    start = datetime(day.year, day.month, day.day, tzinfo=UTC) + MIDNIGHT_IN_SHANGHAI
    second = int(start.timestamp()) + 3600 * (8 + user % 12) + 7 * user
    for step, behaviour in enumerate(_steps(user, number)):
        item = 1000 + (user * 7 + number * 3 + step // 3) % 90
        yield user, item, item % 9, behaviour, second + 40 * step


def _steps(user: int, number: int) -> list[str]:
    looks = ["pv"] * (1 + user % 4)
    rhythm = {0: 0, 1: 30, 2: 7}[user % 3]
    buys = ["cart", "buy"] if rhythm and (number + user) // rhythm != (number + user - 4) // rhythm else []
    return [*looks, *(["fav"] if user % 3 == 1 else []), *buys]

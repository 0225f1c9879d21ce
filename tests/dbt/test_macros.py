"""Each macro of ours, asked something with a known answer; each generic test, seen red and green."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from settings import ShopPaths
from warehouse import dbt

QUESTIONS: dict[str, tuple[str, Any]] = {
    "half": ("{{ safe_divide('1', '2') }}", 1 / 2),
    "by_zero": ("{{ safe_divide('1', '0') }}", None),
    "same_key": ("{{ surrogate_key([\"'a'\", \"'b'\"]) }} = {{ surrogate_key([\"'a'\", \"'b'\"]) }}", True),
    "shifted_key": (
        "{{ surrogate_key([\"'a|'\", \"'b'\"]) }} = {{ surrogate_key([\"'a'\", \"'|b'\"]) }}",
        False,
    ),
    "null_key": ("{{ surrogate_key(['null', \"'b'\"]) }} = {{ surrogate_key([\"''\", \"'b'\"]) }}", False),
    "same_row": ("{{ row_hash(['1', 'null']) }} = {{ row_hash(['1', 'null']) }}", True),
    "other_row": ("{{ row_hash(['1', 'null']) }} = {{ row_hash(['null', '1']) }}", False),
    # The leap day makes it three.
    "spine": ("(select count(*) from ({{ date_spine(\"'2024-02-28'\", \"'2024-03-01'\") }}) as s)", 3),
    "spine_of_one": ("(select count(*) from ({{ date_spine(\"'2024-02-28'\", \"'2024-02-28'\") }}) as s)", 1),
    "days": ("{{ days_between(\"date '2024-02-28'\", \"date '2024-03-01'\") }}", 2),
    # Whole seconds that have passed, not second marks that were crossed.
    "seconds": (
        "{{ seconds_between(\"timestamp '2026-01-01 00:00:00.9'\", \"timestamp '2026-01-01 00:00:02.1'\") }}",
        1,
    ),
    "monday": ("{{ weekday(\"date '2026-11-23'\") }}", 0),
    "sunday": ("{{ weekday(\"date '2026-11-29'\") }}", 6),
    # Berlin is one hour ahead in winter and two in summer.
    "winter": ("extract(hour from {{ local_time(\"timestamp '2026-01-01 12:00:00'\") }})", 13),
    "summer": ("extract(hour from {{ local_time(\"timestamp '2026-07-01 12:00:00'\") }})", 14),
    "listed": (
        "(select {{ list_column(ordered_rows(['p', 'v']), 'v') }} = ['a', 'b'] "
        "from (values (2, 'b'), (1, 'a')) as r (p, v))",
        True,
    ),
    "listed_last": ("{{ last_elements('[1, 2, 3]', 2) }} = [2, 3]", True),
    "listed_fewer": ("{{ last_elements('[1]', 2) }} = [1]", True),
    "listed_after_none": ("{{ both_lists('null', '[1]') }} = [1]", True),
    "listed_after_both": ("{{ both_lists('[1]', '[2]') }} = [1, 2]", True),
    "gaps": (
        "{{ gaps_between(\"[timestamp '2026-01-01 00:00:00', timestamp '2026-01-01 00:01:05']\", 7) }} "
        "= [7, 65]",
        True,
    ),
    "gap_of_one": ("{{ gaps_between(\"[timestamp '2026-01-01 00:00:00']\", 7) }} = [7]", True),
    "second_latest": ("(select {{ nth_latest('p', 2) }} from (values (1), (3), (2)) as r (p))", 2),
    "latest_of_fewer": ("(select {{ nth_latest('p', 5) }} from (values (1), (3), (2)) as r (p))", 1),
    "version_overlaps_red": (
        "(select count(*) from ({{ test_one_version_at_a_time(twins, ['x'], 'y', 'y + 2') }}) as t)",
        1,
    ),
    "version_lasts_red": (
        "(select count(*) from ({{ test_one_version_at_a_time(twins, ['x'], 'y', 'null') }}) as t)",
        1,
    ),
    "version_ends_green": (
        "(select count(*) from ({{ test_one_version_at_a_time(twins, ['x'], 'y', 'y + 1') }}) as t)",
        0,
    ),
    "unique_column_red": ("(select count(*) from ({{ test_unique(twins, 'x') }}) as t)", 1),
    "unique_column_green": ("(select count(*) from ({{ test_unique(twins, 'y') }}) as t)", 0),
    "unique_red": ("(select count(*) from ({{ test_unique_combination(twins, ['x']) }}) as t)", 1),
    "unique_green": ("(select count(*) from ({{ test_unique_combination(twins, ['x', 'y']) }}) as t)", 0),
    "keys_lost_red": (
        "(select count(*) from ({{ test_same_keys(twins, 'y', twins, 'y = 1') }}) as t)",
        1,
    ),
    "keys_twice_red": (
        "(select count(*) from ("
        "{{ test_same_keys(twins, 'x', '(select y as x from ' ~ twins ~ ')', 'true') }}) as t)",
        1,
    ),
    "keys_green": ("(select count(*) from ({{ test_same_keys(twins, 'y', twins, 'true') }}) as t)", 0),
    "range_red": ("(select count(*) from ({{ test_accepted_range(twins, 'y', min_value=2) }}) as t)", 1),
    "range_green": (
        "(select count(*) from ({{ test_accepted_range(twins, 'y', min_value=1, max_value=2) }}) as t)",
        0,
    ),
    "identity_red": ("(select count(*) from ({{ test_always_true(twins, 'x = y') }}) as t)", 1),
    "identity_null_is_red": ("(select count(*) from ({{ test_always_true(twins, 'x = null') }}) as t)", 2),
    "identity_green": ("(select count(*) from ({{ test_always_true(twins, 'x <= y') }}) as t)", 0),
}


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Ask all questions in one query."""
    twins = "{% set twins = '(select * from (values (1, 1), (1, 2)) as r (x, y))' %}"
    query = twins + "select " + ", ".join(f"{text} as {name}" for name, (text, _) in QUESTIONS.items())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHOAL_DATA", str(tmp_path_factory.mktemp("macros")))
        arguments = ["show", "--inline", query, "--quiet"]
        shown = dbt.invoke(ShopPaths("world"), arguments, {"time_zone": "Europe/Berlin"})
    table = shown.result.results[0].agate_table
    return dict(zip(table.column_names, table.rows[0], strict=True))


@pytest.mark.parametrize("name", QUESTIONS)
def test_macro_answers(answers: dict[str, Any], name: str) -> None:
    assert answers[name] == QUESTIONS[name][1]


def test_every_macro_is_asked_or_used() -> None:
    """A macro that nothing uses is a decoration; dbt itself asks for one of them."""
    code = {
        path: path.read_text(encoding="utf-8")
        for path in dbt.PROJECT.rglob("*")
        if path.suffix in (".sql", ".yml")
    }
    for path in Path(dbt.PROJECT / "macros").rglob("*.sql"):
        for line in code[path].splitlines():
            if line.startswith("{% macro ") and not line.startswith(
                ("{% macro duckdb__", "{% macro spark__")
            ):
                name = line.removeprefix("{% macro ").split("(")[0].strip()
                used = sum(text.count(name) for text in code.values()) + sum(
                    name in text for text, _ in QUESTIONS.values()
                )
                assert used > 1 or name == "generate_schema_name", name

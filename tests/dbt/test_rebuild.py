"""The warehouse is derived: deleted, it comes back from the landed files and the history, row for row."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pyarrow.parquet as pq
import pytest

import settings
import warehouse
from cli import ShoalError
from serving.publish import publish
from settings import ShopPaths
from tests import world
from tests.dbt import days
from tests.dbt.conftest import land_world, use_shop_folder
from warehouse import dbt
from warehouse.rebuild import rebuild

pytestmark = pytest.mark.slow

SCHEMAS = ("staging", "intermediate", "core", "ml_inputs", "ml", "bi", "reference")
ONE_DAY_MORE = days.FIVE_DAYS[-2:]


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ShopPaths]:
    """Two published days; the later one was scored twice, and the second run is in force."""
    with pytest.MonkeyPatch.context() as patch:
        paths = use_shop_folder(patch, tmp_path_factory.mktemp("rebuilt"))
        land_world(paths, sorted(world.DELIVERIES))
        with patch.context() as quicker:
            quicker.setattr(dbt, "build", days.run_only)
            days.tell(paths, ONE_DAY_MORE[0])
            days.lay_out(paths, ONE_DAY_MORE[1], run_id="a first try")
            days.tell(paths, ONE_DAY_MORE[1], run_id="a second try")
        yield paths


def test_deleted_warehouse_comes_back_with_equal_hashes(paths: ShopPaths) -> None:
    before = _content_of_last_build(paths)
    assert len(before) > 60
    with warehouse.connect(paths, "a test") as connection:
        connection.execute("create table bi.stray as select 1 as stray")
    subprocess.run(
        [sys.executable, "-m", "warehouse", "rebuild", "--shop", paths.shop],
        cwd=settings.ROOT,
        env=settings.environment(),
        check=True,
        capture_output=True,
    )
    after = _content_of_last_build(paths)
    assert {table for table in before.keys() | after.keys() if before.get(table) != after.get(table)} == set()
    assert not list(paths.root.glob("*before_rebuild*"))


def test_failed_rebuild_leaves_the_warehouse_as_it_was(
    paths: ShopPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = paths.warehouse.read_bytes()

    def fail(*_: object) -> None:
        raise ShoalError("the disk is full")

    monkeypatch.setattr(dbt, "build", fail)
    with pytest.raises(ShoalError, match="the disk is full"):
        rebuild(paths)
    assert paths.warehouse.read_bytes() == before
    assert not list(paths.root.glob("*before_rebuild*"))


def test_killed_rebuild_keeps_the_old_file_until_one_succeeds(paths: ShopPaths) -> None:
    before = _content_of_last_build(paths)
    paths.warehouse.rename(paths.root / "warehouse.before_rebuild.duckdb")
    paths.warehouse.write_bytes(b"half a file")
    rebuild(paths)
    assert _content_of_last_build(paths) == before
    assert not list(paths.root.glob("*before_rebuild*"))


def test_days_from_before_reasons_were_told_in_chinese_come_back_without_them(paths: ShopPaths) -> None:
    """As an earlier release left its history: three columns less in predictions, and in what was said."""
    first, last = ONE_DAY_MORE
    for pattern in (f"bi/{first}/user_s*_daily.parquet", f"ml/user_s*/{first}/*.parquet"):
        files = list(paths.history.glob(pattern))
        assert len(files) >= 2
        for file in files:
            file.chmod(0o644)
            kept = pq.read_table(file)
            pq.write_table(kept.drop_columns([f"reason_{rank}_zh" for rank in (1, 2, 3)]), file)
    rebuild(paths)
    with warehouse.connect(paths, "a test", read_only=True) as connection:
        for table in ("bi.user_segment_daily", "bi.user_score_daily", "ml.user_segments"):
            told = connection.execute(
                f"select as_of_date, count(reason_1) > 0, count(reason_1_zh) > 0 from {table} "
                "group by 1 order by 1"
            ).fetchall()
            assert told == [(first, True, False), (last, True, True)], table
    assert not publish(paths, last).kept_as_published


def _content_of_last_build(paths: ShopPaths) -> dict[str, str]:
    """Return all content; of the models' inputs, which keep those of earlier builds, the last build's."""
    with warehouse.connect(paths, "a test") as connection:
        laid_out = connection.execute(
            "select distinct as_of_date from intermediate.int_users_eligible"
        ).fetchall()
        for table in (
            *("ml_inputs.fct_user_features", "ml_inputs.fct_user_labels"),
            "intermediate.int_user_rule_segments",
        ):
            connection.execute(
                f"delete from {table} where not list_contains(?, as_of_date)", [[day for (day,) in laid_out]]
            )
    found = days.content(paths, *SCHEMAS)
    # The log of publishes, not content: it knows those before the last build of bi.
    del found["bi.published_version"]
    return found

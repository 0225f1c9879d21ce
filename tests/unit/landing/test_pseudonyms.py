"""One key per shop, made once, whoever comes first; HMAC as Python computes it."""

from __future__ import annotations

import hmac
import multiprocessing
from pathlib import Path

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cli import ShoalError
from landing import ledger, pseudonyms


@settings(max_examples=50, deadline=None)
@given(
    secret=st.binary(min_size=1, max_size=64),
    text=st.text(max_size=200).filter(lambda text: "\0" not in text),
)
def test_sql_computes_the_hmac_that_python_computes(secret, text):
    query = f"select {pseudonyms.expression('customer', '$text')}"
    [(found,)] = duckdb.execute(query, {**pseudonyms.pads(secret), "text": text}).fetchall()
    assert found == hmac.new(secret, f"customer:{text}".encode(), "sha256").hexdigest()


def test_nobody_has_no_pseudonym():
    query = f"select {pseudonyms.expression('customer', '$text::varchar')}"
    assert duckdb.execute(query, {**pseudonyms.pads(b"k"), "text": None}).fetchall() == [(None,)]


def _key(folder: Path, queue: multiprocessing.Queue) -> None:
    import os

    from settings import ShopPaths

    os.environ["SHOAL_DATA"] = str(folder)
    queue.put(pseudonyms.key(ShopPaths("corner")))


def test_six_first_users_at_once_get_one_key(tmp_path, paths, monkeypatch):
    monkeypatch.setenv("SHOAL_DATA", str(tmp_path))
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    processes = [context.Process(target=_key, args=(tmp_path, queue)) for _ in range(6)]
    for process in processes:
        process.start()
    keys = {queue.get(timeout=30) for _ in processes}
    for process in processes:
        process.join()
    assert len(keys) == 1
    assert keys == {pseudonyms.key(paths)}
    assert [path.name for path in paths.secrets.iterdir()] == ["pseudonym.key"]
    assert paths.secrets.stat().st_mode & 0o777 == 0o700
    assert (paths.secrets / "pseudonym.key").stat().st_mode & 0o777 == 0o600


def test_a_damaged_key_is_refused_not_replaced(paths):
    pseudonyms.key(paths)
    (paths.secrets / "pseudonym.key").write_bytes(b"short")
    with pytest.raises(ShoalError, match="restore it from your backup"):
        pseudonyms.key(paths)


def test_a_key_that_is_gone_is_missed_not_replaced_once_rows_were_landed_with_it(
    paths, land, write_csv, view
):
    """As after a backup that left the secrets out: the same customers would be landed as others."""
    write_csv("events_2024-03-01.csv", [view])
    land()
    (paths.secrets / "pseudonym.key").unlink()
    write_csv("events_2024-03-02.csv", [view | {"event_id": "e2"}])
    with pytest.raises(ShoalError, match="is gone, and what was landed"):
        land()
    assert list(paths.secrets.iterdir()) == []
    assert len(ledger.accepted(paths)) == 1

"""Where the demo's minutes went is read from the logs of its tasks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import demo
from benchmarks.demo import Span
from cli import ShoalError


def write(log: Path, *events: tuple[str, str]) -> None:
    log.parent.mkdir(parents=True, exist_ok=True)
    lines = [{"timestamp": f"1970-01-01T00:00:{second}Z", "event": said} for second, said in events]
    log.write_text("\n".join(json.dumps(line) for line in lines))


def test_commands_are_found_in_every_log_by_their_beginning(tmp_path: Path) -> None:
    late = ("50.5", "$ python -m serving publish --shop simulated"), ("52.0", "::group::Post Execute")
    write(tmp_path / "dag_id=b" / "attempt=1.log", ("49.0", "::group::Pre Execute"), *late)
    early = (
        ("10.0", "$ python -m landing receive data"),
        ("11.0", "called"),
        ("19.0", "::group::Post Execute"),
    )
    write(tmp_path / "dag_id=a" / "attempt=1.log", *early)
    write(tmp_path / "dag_id=c" / "attempt=1.log", ("30.0", "$ python -m ml train"))  # it never ended
    assert demo.spans(tmp_path) == [Span("landing receive", 10.0, 19.0), Span("serving publish", 50.5, 52.0)]


def test_logs_without_a_command_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(ShoalError, match=r"no log below .* tells of a command"):
        demo.spans(tmp_path)

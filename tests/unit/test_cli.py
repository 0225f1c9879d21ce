"""What every command says of a shop that does not exist."""

from __future__ import annotations

import argparse
import errno
import importlib
import os

import pytest

import cli
import settings

COMMANDS = [
    "landing ledger",
    "expectations incoming",
    "serving status",
    "serving query 'select 1'",
]


def run(command: str, *options: str) -> int:
    room, *words = command.replace("'", "").split(" ", 2)
    return cli.run(importlib.import_module(f"{room}.__main__").parser(), [*words, *options])


@pytest.fixture(autouse=True)
def data_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SHOAL_DATA", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("command", COMMANDS)
def test_a_mistyped_shop_is_wrong_usage_and_leaves_nothing_behind(command, data_folder, capsys):
    assert run(command, "--shop", "simulatde") == cli.WRONG_USAGE
    said = capsys.readouterr().err
    assert "no shop 'simulatde': write " in said
    assert "simulated" in said
    assert not list(data_folder.iterdir())


@pytest.mark.parametrize("command", COMMANDS)
def test_a_name_that_is_no_shops_name_is_wrong_usage(command, capsys):
    assert run(command, "--shop", "../secrets") == cli.WRONG_USAGE
    assert "shop '../secrets' is no valid name" in capsys.readouterr().err


def test_an_empty_name_in_the_environment_is_none(monkeypatch):
    monkeypatch.setenv("SHOAL_SHOP", "")
    assert settings.default_shop() == "simulated"


@pytest.mark.parametrize(
    ("name", "value", "ask"),
    [
        *(("SHOAL_QUIET_SECONDS", value, settings.quiet_seconds) for value in ("abc", "nan", "-1", "")),
        *(("SHOAL_ALERT_COMMAND", value, settings.alert_command) for value in (" ", "mail -s 'Shoal")),
        *(("SHOAL_AIRFLOW_PORT", value, settings.airflow_port) for value in ("http", "65536")),
    ],
)
def test_a_setting_of_no_use_is_wrong_usage_and_named_with_value_and_remedy(
    name, value, ask, monkeypatch, capsys
):
    monkeypatch.setenv(name, value)
    command = argparse.ArgumentParser("test")
    command.set_defaults(act=lambda _: ask() and None)
    assert cli.run(command, []) == cli.WRONG_USAGE
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert f"{name}={value!r} is no " in line
    assert "set it to " in line and "or unset it" in line


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS])
def test_what_this_user_may_not_write_is_told_in_one_line(code, capsys):
    def act(_):
        raise OSError(code, os.strerror(code), "/data/ledger.jsonl")

    command = argparse.ArgumentParser("test")
    command.set_defaults(act=act)
    assert cli.run(command, []) == cli.FAILED
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert f"'/data/ledger.jsonl': run it as the owner, or let user {os.geteuid()}" in line

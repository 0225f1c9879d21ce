"""From events to tokens: three narrated users."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from ml.configs import TokenConfig
from ml.encoder.tokens import Sequences, Tokens, Vocabulary, tokenise

EVENTS: dict[str, list[list[Any]]] = {
    # u1 views a kettle, an hour later buys kettle and cup in one order; u2 never did anything; u3 searches.
    "event_types": [["view", "purchase", "purchase"], [], ["search"]],
    "texts": [["kettle", "kettle", "cup"], [], ["tea"]],
    "categories": [["home", "home", "home"], [], [""]],
    "channels": [["web", "web", "web"], [], ["app"]],
    "gap_seconds": [[0, 3600, 0], [], [0]],
    "hours_of_week": [[10, 11, 11], [], [167]],
    "amounts": [[0.0, 20.0, 5.0], [], [0.0]],
    "quantities": [[0.0, 1.0, 2.0], [], [0.0]],
}


def _tokens(events: dict[str, list[list[Any]]], **config: Any) -> Tokens:
    sequences = Sequences.from_arrow(pa.table(events))
    settings = {"merge_simultaneous": True} | config
    return tokenise(sequences, Vocabulary(("purchase", "view"), ("web",)), TokenConfig(**settings))


def _changed(column: str, user: int, values: list[Any]) -> dict[str, list[list[Any]]]:
    return EVENTS | {column: [values if index == user else old for index, old in enumerate(EVENTS[column])]}


def test_tokenise_merges_the_lines_of_one_order() -> None:
    tokens = _tokens(EVENTS)
    assert tokens.lengths.tolist() == [1 + 1, 0, 1]
    assert (tokens.text_offsets[1:] - tokens.text_offsets[:-1]).tolist() == [1, 2, 1]


def test_tokenise_keeps_events_apart_when_asked() -> None:
    assert _tokens(EVENTS, merge_simultaneous=False).lengths.tolist() == [3, 0, 1]


def test_tokenise_keeps_the_most_recent() -> None:
    tokens = _tokens(EVENTS, merge_simultaneous=False, max_tokens=2)
    assert tokens.lengths.tolist() == [2, 0, 1]
    assert tokens.event_type.tolist() == [
        1,
        1,
        0,
    ]  # both purchase lines stay, the view goes; search is unknown


def test_tokenise_gives_an_event_without_words_its_category() -> None:
    sequences = Sequences.from_arrow(pa.table(_changed("texts", 0, ["", None, "cup"])))
    assert [sequences.texts[index] for index in sequences.text] == ["home", "home", "cup", "tea"]


def test_digest_changes_with_whatever_a_user_did() -> None:
    before = Sequences.from_arrow(pa.table(EVENTS)).digest
    for column, values in (
        ("texts", ["kettle", "kettle", "mug"]),
        ("event_types", ["cart", "purchase", "purchase"]),
        ("channels", ["app", "web", "web"]),
        ("gap_seconds", [0, 3601, 0]),
        ("hours_of_week", [12, 11, 11]),
        ("amounts", [0.0, 21.0, 5.0]),
        ("quantities", [0.0, 1.0, 3.0]),
    ):
        assert Sequences.from_arrow(pa.table(_changed(column, 0, values))).digest != before, column
    turned = {name: [lists[1], lists[0], lists[2]] for name, lists in EVENTS.items()}
    assert Sequences.from_arrow(pa.table(turned)).digest != before

"""From lists of events to tokens, all users at once in flat arrays.

A token is one event, or several of the same kind at the same moment (the lines of one
order). It carries its texts, kind, channel, gap to the event before, hour of the week,
amount, quantity and how many events it stands for: nothing that moves with the as_of_date,
so a silent user's embedding stays valid for ever.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ml.configs import TokenConfig
from ml.encoder.keys import digest_of
from warehouse.snapshot import CONTENT_KEY

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]

GAP_EDGES = np.array([1, 60, 300, 1800, 7200, 6 * 3600, 86400, 2 * 86400, 4 * 86400, 7 * 86400, 14 * 86400,
                      30 * 86400, 60 * 86400, 90 * 86400, 180 * 86400])  # fmt: skip
"""Seconds; a gap belongs to the bucket whose lower edge it reaches: 0 is 'at the same moment or first'."""
NUMBERS = 4
"""log amount, log quantity, log events merged, log gap."""


@dataclass(frozen=True)
class Sequences:
    """The events of many users, flat: user u owns ``offsets[u]:offsets[u + 1]``, oldest first."""

    offsets: Ints
    texts: list[str]
    """The distinct texts; index 0 is ``""``."""
    text: Ints
    event_type: NDArray[np.object_]
    channel: NDArray[np.object_]
    gap_seconds: Ints
    hour_of_week: Ints
    amount: NDArray[np.float64]
    quantity: NDArray[np.float64]
    keys: NDArray[np.bytes_] | None = None
    """Per user the hash of the events, as the warehouse made it; without one nothing is kept of a user."""

    @classmethod
    def from_arrow(cls, table: pa.Table) -> Sequences:
        """Read the parallel lists of ``fct_user_sequences``; null numbers count as 0, null texts as ''."""
        lists = {name: _one_chunk(table[name]) for name in LISTS}
        types = lists["event_types"]
        flat = {name: values.flatten() for name, values in lists.items()}
        for name, values in flat.items():
            if len(values) != len(flat["event_types"]):
                raise ValueError(f"{name} holds {len(values)} events, event_types {len(flat['event_types'])}")
        # An event without words of its own still says what it was about.
        words = pc.fill_null(flat["texts"], "")
        words = pc.if_else(pc.equal(words, ""), pc.fill_null(flat["categories"], ""), words)
        texts, text = _codes(words)
        return cls(
            offsets=np.concatenate([[0], np.cumsum(pc.fill_null(pc.list_value_length(types), 0))]).astype(
                np.int64
            ),
            texts=texts,
            text=text,
            event_type=_words(flat["event_types"]),
            channel=_words(flat["channels"]),
            gap_seconds=_numbers(flat["gap_seconds"]).astype(np.int64),
            hour_of_week=_numbers(flat["hours_of_week"]).astype(np.int64) % 168,
            amount=_numbers(flat["amounts"]),
            quantity=_numbers(flat["quantities"]),
            keys=stored_keys(table),
        )

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def user(self) -> Ints:
        """Return whose each event is, (events,)."""
        return np.repeat(np.arange(len(self)), np.diff(self.offsets))

    def only(self, rows: Ints) -> Sequences:
        """Return some of the users, in the order in which ``rows`` names them."""
        sizes = np.diff(self.offsets)[rows]
        events = _ranges(self.offsets[rows], sizes)
        return self._told(sizes, events, None if self.keys is None else self.keys[rows])

    def where(self, is_kept: NDArray[np.bool_]) -> Sequences:
        """Return the users with some of their events, (events,); gaps stay those of the whole history."""
        return self._told(np.bincount(self.user[is_kept], minlength=len(self)), is_kept)

    def halves(self) -> tuple[Sequences, Sequences]:
        """Return the earlier and the later half of each user's events, the middle one among the later."""
        sizes, begins = np.diff(self.offsets), self.offsets[:-1]
        first, second = sizes // 2, sizes - sizes // 2
        return (
            self._told(first, _ranges(begins, first)),
            self._told(second, _ranges(begins + first, second)),
        )

    def _told(
        self, sizes: Ints, events: Ints | NDArray[np.bool_], keys: NDArray[np.bytes_] | None = None
    ) -> Sequences:
        """Return users of whom so many events each are told, flat and in order."""
        return Sequences(
            offsets=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
            texts=self.texts,
            keys=keys,
            **{name: getattr(self, name)[events] for name in FLAT},
        )

    def changed(self, **columns: Any) -> Sequences:
        """Return sequences in which something else was done: what was kept of these users no longer holds."""
        return replace(self, keys=None, **columns)

    def batches(self, rows: Ints, at_once: int = 20_000) -> Iterator[tuple[Ints, Sequences]]:
        """Yield some of the users, and which they are, so many at once."""
        for begin in range(0, len(rows), at_once):
            some = rows[begin : begin + at_once]
            yield some, self if len(some) == len(self) else self.only(some)

    @property
    def digest(self) -> bytes:
        """Return the hash of all that these sequences tell."""
        flat = [getattr(self, name) for name in FLAT]
        words = ["\0".join(values) for values in (self.texts, *(one for one in flat if one.dtype == object))]
        numbers = [one.tobytes() for one in (self.offsets, *flat) if one.dtype != object]
        return digest_of(b"|".join([*(one.encode() for one in words), *numbers]))


FLAT = ("text", "event_type", "channel", "gap_seconds", "hour_of_week", "amount", "quantity")
"""The columns of :class:`Sequences` that have a row per event."""


class Told(Protocol):
    """Users' sequences, in memory or in a file of which only what is asked for is read."""

    @property
    def keys(self) -> NDArray[np.bytes_] | None:
        """Return per user the hash of the events."""

    def __len__(self) -> int:
        """Return how many users there are."""

    def batches(self, rows: Ints) -> Iterator[tuple[Ints, Sequences]]:
        """Yield some of the users, and which they are, few enough at once."""


LISTS = (
    "event_types",
    "texts",
    "categories",
    "channels",
    "gap_seconds",
    "hours_of_week",
    "amounts",
    "quantities",
)


@dataclass(frozen=True)
class Vocabulary:
    """What training saw at its cut; anything newer shares index 0."""

    event_types: tuple[str, ...]
    channels: tuple[str, ...]

    @classmethod
    def of(cls, sequences: Sequences, config: TokenConfig) -> Vocabulary:
        """Collect kinds and the most frequent channels; ties go by name."""
        return cls(
            event_types=tuple(sorted(set(sequences.event_type.tolist()))),
            channels=tuple(_most_frequent(sequences.channel, config.max_channels)),
        )


@dataclass(frozen=True)
class Tokens:
    """Tokens of many users, flat; token t owns the texts ``text_offsets[t]:text_offsets[t + 1]``."""

    offsets: Ints
    text_offsets: Ints
    text: Ints
    event_type: Ints
    channel: Ints
    gap: Ints
    hour: Ints
    numbers: Floats
    """(tokens, NUMBERS)"""

    @cached_property
    def lengths(self) -> Ints:
        """Return the number of tokens per user."""
        return np.diff(self.offsets)

    @cached_property
    def table(self) -> TokenTable:
        """Return what is said of each token, with one row more, the last, that says nothing."""
        kinds = (self.event_type, self.channel, self.gap, self.hour % 24, self.hour // 24)
        return TokenTable(
            kinds=np.pad(np.stack(kinds, axis=1), ((0, 1), (0, 0))),
            numbers=np.pad(self.numbers, ((0, 1), (0, 0))),
            first_word=np.append(self.text_offsets[:-1], 0),
            words=np.append(np.diff(self.text_offsets), 0),
        )

    def __len__(self) -> int:
        return len(self.offsets) - 1


EVENT_TYPE, CHANNEL, GAP, HOUR, DAY = range(5)
"""Places in :attr:`TokenTable.kinds`."""


@dataclass(frozen=True)
class TokenTable:
    """Tokens as rows that a batch picks from."""

    kinds: Ints
    """(tokens + 1, 5): event type, channel, gap, hour of day, day of week."""
    numbers: Floats
    """(tokens + 1, NUMBERS)"""
    first_word: Ints
    words: Ints


def merges(sequences: Sequences, max_tokens: int) -> bool:
    """Tell whether histories are so long that a token should stand for a whole order.

    So where one user in twenty has done more than ``max_tokens`` tokens can tell one by one.
    """
    return bool(np.mean(np.diff(sequences.offsets) >= max_tokens) >= 0.05) if len(sequences) else False


def tokenise(sequences: Sequences, vocabulary: Vocabulary, config: TokenConfig) -> Tokens:
    """Turn events into tokens and keep each user's most recent ``max_tokens``."""
    starts, user = token_starts(sequences, bool(config.merge_simultaneous))
    kept = most_recent(user, len(sequences), config.max_tokens)
    ends = np.append(starts[1:], len(sequences.text))[kept]
    starts, user = starts[kept], user[kept]
    size = ends - starts
    flat = _ranges(starts, size)
    token_of = np.repeat(np.arange(len(starts)), size)
    numbers = np.stack(
        [
            _signed_log(np.bincount(token_of, sequences.amount[flat], len(starts))),
            _signed_log(np.bincount(token_of, sequences.quantity[flat], len(starts))),
            np.log(np.maximum(size, 1)),
            np.log1p(np.maximum(sequences.gap_seconds[starts], 0)) / 4,
        ],
        axis=1,
    ).astype(np.float32)  # (tokens, NUMBERS)
    offsets = np.concatenate([[0], np.cumsum(np.bincount(user, minlength=len(sequences)))]).astype(np.int64)
    text_offsets = np.concatenate([[0], np.cumsum(size)]).astype(np.int64)
    kind, channel = _Named.of(sequences.event_type[starts]), _Named.of(sequences.channel[starts])
    return Tokens(
        offsets=offsets,
        text_offsets=text_offsets,
        text=sequences.text[flat],
        event_type=kind.places(vocabulary.event_types),
        channel=channel.places(vocabulary.channels),
        gap=np.searchsorted(GAP_EDGES, sequences.gap_seconds[starts], side="right"),
        hour=sequences.hour_of_week[starts],
        numbers=numbers,
    )


def token_starts(sequences: Sequences, merge: bool) -> tuple[Ints, Ints]:
    """Return each token's first event and its user."""
    count = len(sequences.text)
    user = sequences.user
    if count == 0:
        return np.zeros(0, np.int64), user
    is_start = np.ones(count, dtype=bool)
    if merge:
        is_start[1:] = (
            (user[1:] != user[:-1])
            | (sequences.gap_seconds[1:] > 0)
            | (sequences.event_type[1:] != sequences.event_type[:-1])
            | (sequences.channel[1:] != sequences.channel[:-1])
        )
    starts = np.flatnonzero(is_start)
    return starts, user[starts]


def most_recent(user: Ints, users: int, limit: int) -> NDArray[np.bool_]:
    """Mark, of tokens in order of user and time, each user's last ``limit``.

    >>> most_recent(np.array([0, 0, 0, 2]), 3, 2).tolist()
    [False, True, True, True]
    """
    ends = np.cumsum(np.bincount(user, minlength=users))
    return np.asarray(np.arange(len(user)) >= ends[user] - limit)


def _ranges(starts: Ints, sizes: Ints) -> Ints:
    """Return the concatenation of ``starts[i] + 0 … sizes[i] - 1``.

    >>> _ranges(np.array([5, 9]), np.array([2, 1])).tolist()
    [5, 6, 9]
    """
    begins = np.cumsum(sizes) - sizes
    return np.repeat(starts - begins, sizes) + np.arange(int(sizes.sum()))


@dataclass(frozen=True)
class _Named:
    """Names of many things, each distinct one once: thing i is called ``names[code[i]]``."""

    names: list[str]
    code: Ints

    @classmethod
    def of(cls, values: NDArray[np.object_]) -> _Named:
        code, names = pd.factorize(values)
        return cls([str(name) for name in names], code)

    def places(self, vocabulary: tuple[str, ...]) -> Ints:
        """Return 1-based places in a vocabulary; 0 where a name is not in it."""
        place = {name: index for index, name in enumerate(vocabulary, start=1)}
        return np.array([place.get(name, 0) for name in self.names] or [0], dtype=np.int64)[self.code]


def _most_frequent(values: NDArray[np.object_], limit: int) -> list[str]:
    found = _Named.of(values)
    names, counts = np.array(found.names, dtype=str), np.bincount(found.code, minlength=len(found.names))
    return sorted(str(names[index]) for index in np.lexsort((names, -counts))[:limit])


def _signed_log(values: NDArray[Any]) -> NDArray[np.float64]:
    return np.asarray(np.sign(values) * np.log1p(np.abs(values)))


def stored_keys(table: pa.Table) -> NDArray[np.bytes_] | None:
    """Return the column of keys, (users,), or None where a table has none."""
    if CONTENT_KEY not in table.column_names:
        return None
    return np.array(table[CONTENT_KEY].to_numpy(), dtype="S32")


def _one_chunk(column: pa.ChunkedArray) -> Any:
    return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)


def _codes(words: Any) -> tuple[list[str], Ints]:
    encoded = (
        words.dictionary_encode()
        if isinstance(words, pa.Array)
        else words.combine_chunks().dictionary_encode()
    )
    names = encoded.dictionary.to_pylist()
    order = sorted(set(names) | {""})  # "" sorts first
    place = {name: index for index, name in enumerate(order)}
    lookup = np.array([place[name] for name in names] or [0], dtype=np.int64)
    return order, lookup[encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)]


def _words(values: Any) -> NDArray[np.object_]:
    """Return strings, each distinct one as one object; null is ''."""
    names, code = _codes(pc.fill_null(values, ""))
    return np.array(names, dtype=object)[code]


def _numbers(values: Any) -> NDArray[np.float64]:
    return np.asarray(pc.fill_null(pc.cast(values, pa.float64()), 0.0).to_numpy(zero_copy_only=False))

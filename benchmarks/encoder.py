"""What BERT costs beside its peers: ``python -m benchmarks.encoder``, one run, CPU-seconds, one thread.

    texts      encoding texts: the plain loop of most tutorials (padded to the maximum, batches of 16,
               float32), sentence-transformers, ours; and the floor: our matrix products alone, each
               layer's with its own weights
    behaviour  encoding users: the network alone, at full lengths and at a shop's mix; a day on
               which one user in a hundred has changed
    tuning     fine-tuning BERT on stories: the plain loop and ours, to the plain one's validation ROC-AUC
    memory     a million users from Parquet in batches (``--users``)

Ratios hold within one run; figures of two machines or two loads don't compare.
"""

from __future__ import annotations

import argparse
import importlib.util
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from rich.table import Table
from transformers import AutoTokenizer, BertForSequenceClassification

import cli
from cli import answer, console
from ml.configs import Config, NetworkConfig, StoryConfig, TextConfig, TokenConfig, with_changes
from ml.encoder import devices
from ml.encoder.devices import bf16_is_fast, fast_type
from ml.encoder.encoder import Encoder
from ml.encoder.keys import digest_of
from ml.encoder.network import BehaviourBert, Sizes
from ml.encoder.packed import packs
from ml.encoder.stories import ReadingStories, silence, tell, with_head
from ml.encoder.text_controls import RandomTexts
from ml.encoder.texts import Layers, TextEncoder, TextSource
from ml.encoder.tokens import LISTS, Sequences, Vocabulary
from ml.encoder.training import be_repeatable, held_out, learn
from ml.evaluation.metrics import roc_auc
from ml.warehouse import Cut, Inputs, StoredSequences, latest_as_of
from settings import ShopPaths
from warehouse.snapshot import CONTENT_KEY, ROW_GROUP

Floats = NDArray[np.float32]
SEED = 20
MAXIMUM = 128  # word pieces of a text: what the plain loop pads to
REPEATS = 3  # the median counts
JUDGED = 10  # so often is a fine-tuning judged
PLAIN_RATE = 5e-5  # as BERT is fine-tuned everywhere (Devlin et al. 2019, A.3)
KINDS, CHANNELS = ("cart", "purchase", "view"), ("app", "web")


@dataclass(frozen=True)
class Measured:
    """One way of doing a thing."""

    name: str
    cpu_seconds: float
    result: Any

    def per_second(self, count: int) -> str:
        return f"{count / self.cpu_seconds:,.0f}"


def measure(name: str, act: Callable[[], Any], repeats: int = REPEATS) -> Measured:
    """Act, and return the median of the CPU-seconds that it took."""
    torch.set_num_threads(1)
    took, result = [], None
    for _ in range(repeats):
        started = time.process_time()
        result = act()
        took.append(time.process_time() - started)
    found = Measured(name, statistics.median(took), result)
    console.print(f"  {name}: {found.cpu_seconds:.2f} CPU-s")
    return found


# Texts


def drawn_texts(count: int, words: Sequence[str], rng: np.random.Generator) -> list[str]:
    """Return texts of 5 to 126 words, half of them below 38: with both ends 128 pieces at most."""
    lengths = np.clip(rng.lognormal(np.log(38), 0.6, count), 5, MAXIMUM - 2).astype(int)
    return [" ".join(rng.choice(words, length)) for length in lengths]


def whole_words(tokenizer: Any) -> list[str]:
    """Return words that are one piece each."""
    return sorted(
        word for word in tokenizer.get_vocab() if word.isascii() and word.isalpha() and len(word) > 2
    )


def plain_loop(bert: Any, tokenizer: Any, texts: list[str]) -> Floats:
    """Encode as most tutorials do: float32, 16 at a time, padded to the maximum."""
    found = []
    with torch.inference_mode():
        for at in range(0, len(texts), 16):
            batch = tokenizer(
                texts[at : at + 16],
                padding="max_length",
                truncation=True,
                max_length=MAXIMUM,
                return_tensors="pt",
            )
            states = bert(**batch).last_hidden_state
            mask = batch["attention_mask"].unsqueeze(-1)
            found.append(torch.nn.functional.normalize((states * mask).sum(1) / mask.sum(1), dim=-1))
    return torch.cat(found).numpy()


def sentence_transformer(path: str) -> Callable[[list[str]], Floats] | None:
    """Return the peer's way, or None where it is not installed."""
    if importlib.util.find_spec("sentence_transformers") is None:
        console.print(
            "  sentence-transformers is not installed: pip install sentence-transformers to compare"
        )
        return None
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    words = Transformer(path, max_seq_length=MAXIMUM)
    peer = SentenceTransformer(modules=[words, Pooling(words.get_embedding_dimension())], device="cpu")
    return lambda texts: np.asarray(
        peer.encode(texts, batch_size=32, normalize_embeddings=True, show_progress_bar=False)
    )


def products(bert: Any, lengths: Sequence[int], rows: int) -> Callable[[], None]:
    """Return what multiplies the matrices that BERT multiplies for such texts, and does no more.

    In its order, pack by pack and layer by layer, each layer with weights of its own: one layer's
    weights taken for all would stay in the cache, which BERT's do not.
    """
    config, kind = bert.config, fast_type()
    width, inner, heads = config.hidden_size, config.intermediate_size, config.num_attention_heads
    shapes = ((width, 3 * width), (width, width), (width, inner), (inner, width))
    layers = [
        [torch.randn(after, before, dtype=kind) for before, after in shapes]
        for _ in range(config.num_hidden_layers)
    ]
    found = [(pack.rows, [group[1:] for group in pack.groups]) for pack in packs(lengths, rows)]
    most = max(size for size, _ in found)
    states = {before: torch.randn(most, before, dtype=kind) for before, _ in shapes}
    alike = {group for _, groups in found for group in groups}
    heads_of = {
        (count, length): torch.randn(count * heads, length, width // heads, dtype=kind)
        for count, length in alike
    }

    @torch.inference_mode()
    def multiply() -> None:
        for size, groups in found:
            for joined, *others in layers:
                torch.nn.functional.linear(states[width][:size], joined)
                for group in groups:
                    parts = heads_of[group]
                    torch.bmm(torch.bmm(parts, parts.transpose(1, 2)), parts)
                for weight in others:
                    torch.nn.functional.linear(states[weight.shape[1]][:size], weight)

    return multiply


def compare_texts(count: int) -> Table:
    console.print(f"encoding {count} texts of up to {MAXIMUM} word pieces")
    config = TextConfig(max_tokens=MAXIMUM, threads=1)
    encoder = TextEncoder(config, None)
    bert, tokenizer = encoder.bert(), AutoTokenizer.from_pretrained(encoder.path)
    texts = drawn_texts(count, whole_words(tokenizer), np.random.default_rng(SEED))
    peer = sentence_transformer(encoder.path)
    encoder._encode(texts[:64])
    ways = [measure("plain loop", lambda: plain_loop(bert, tokenizer, texts), 1)]
    if peer is not None:
        ways.append(measure("sentence-transformers", lambda: peer(texts)))
    lengths = [len(pieces) for pieces in encoder.pieces(texts, MAXIMUM)]
    ways.append(measure("ours", lambda: encoder._encode(texts).astype(np.float32)))
    if importlib.util.find_spec("openvino") is not None:
        quantised = TextEncoder(TextConfig(max_tokens=MAXIMUM, threads=1, precision="int8"), None)
        quantised._encode(texts[:64])
        ways.append(measure("ours, int8", lambda: quantised._encode(texts).astype(np.float32)))
    layers = encoder._layers
    assert isinstance(layers, Layers)
    floor = products(bert, lengths, layers.packed.rows)
    ways.append(measure(f"floor: the products alone, {str(fast_type()).removeprefix('torch.')}", floor))
    plain = ways[0]
    table = Table(title=f"encoding {count} texts, {np.median(lengths):.0f} word pieces in the middle")
    for column in (
        "way",
        "CPU-s",
        "texts per CPU-s",
        "times as fast",
        "cosine with the plain loop: mean",
        "lowest",
    ):
        table.add_column(column, justify="right" if column != "way" else "left")
    for way in ways:
        cosines = None if way.result is None else (way.result * plain.result).sum(1)
        told = ("", "") if cosines is None else (f"{cosines.mean():.5f}", f"{cosines.min():.5f}")
        ratio = f"{plain.cpu_seconds / way.cpu_seconds:.1f}"
        table.add_row(way.name, f"{way.cpu_seconds:.2f}", way.per_second(count), ratio, *told)
    return table


# Behaviour


def drawn_sequences(lengths: NDArray[np.int64], rng: np.random.Generator, titles: int = 2000) -> Sequences:
    """Return users who each did something else; ``lengths`` events each."""
    total = int(lengths.sum())
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return Sequences(
        offsets=offsets,
        texts=["", *(f"thing {number}" for number in range(1, titles))],
        text=rng.integers(1, titles, total),
        event_type=np.array(KINDS, dtype=object)[rng.integers(0, len(KINDS), total)],
        channel=np.array(CHANNELS, dtype=object)[rng.integers(0, len(CHANNELS), total)],
        gap_seconds=rng.integers(1, 10**6, total),
        hour_of_week=rng.integers(0, 168, total),
        amount=rng.lognormal(3, 1, total),
        quantity=rng.integers(1, 9, total).astype(np.float64),
    )


def fresh_encoder(folder: Path | None, source: TextSource | None = None) -> Encoder:
    """Return an encoder of the default sizes; what weights it has changes no cost."""
    config = with_changes(Config(tokens=TokenConfig(merge_simultaneous=False)), training={"threads": 1})
    vocabulary = Vocabulary(KINDS, CHANNELS)
    sizes = Sizes(384, len(KINDS), len(CHANNELS), features=1, profile=1, max_tokens=config.tokens.max_tokens)
    torch.manual_seed(SEED)
    network = BehaviourBert(sizes, NetworkConfig()).eval()
    return Encoder(network, vocabulary, config, folder, source or RandomTexts())


def compare_behaviour(count: int, mix: NDArray[np.int64] | None) -> Table:
    rng = np.random.default_rng(SEED)
    kinds = {"64 tokens": np.full(count, 64), "16 tokens": np.full(4 * count, 16)}
    if mix is not None:
        kinds[f"the shop's mix, {mix.mean():.1f} tokens"] = np.resize(mix, 4 * count)
    table = Table(title=f"encoding users, {str(fast_type()).removeprefix('torch.')}, one thread")
    for column in ("users", "network alone: users per CPU-s", "with tokens", "products alone"):
        table.add_column(column, justify="right" if column != "users" else "left")
    for name, lengths in kinds.items():
        table.add_row(name, *_encode_users(name, drawn_sequences(lengths, rng)))
    return table


def _encode_users(name: str, sequences: Sequences) -> list[str]:
    """Return users per CPU-second of the network alone, of all, and of its products alone."""
    encoder, everybody = fresh_encoder(None), np.arange(len(sequences))
    tokens = encoder.tokens(sequences)
    projected = encoder.project(tokens, sequences.texts, everybody)
    encoder._read(tokens, projected, everybody[:500])
    ways = (
        measure(f"{name}: network", lambda: encoder._read(tokens, projected, everybody)),
        measure(f"{name}: all", lambda: encoder.embed(sequences)),
        measure(f"{name}: floor", products(encoder.network.bert, tokens.lengths + 1, encoder._layers.rows)),
    )
    return [way.per_second(len(sequences)) for way in ways]


def compare_days(count: int) -> Table:
    """Encode everybody from Parquet, then again when one user in a hundred has done something else."""
    table = Table(title=f"a day on which 1 % of {count:,} users of 64 tokens have changed")
    for column in ("day", "encoded", "reused", "CPU-s", "share of the first day"):
        table.add_column(column, justify="right" if column != "day" else "left")
    with tempfile.TemporaryDirectory() as folder:
        files = Path(folder) / "first.parquet", Path(folder) / "second.parquet"
        write_users(files[0], count, lambda size, _: np.full(size, 64))
        write_users(files[1], count, lambda size, _: np.full(size, 64), changed=0.01)
        encoder = fresh_encoder(Path(folder), TextEncoder(TextConfig(threads=1), Path(folder)))
        ways = [
            measure(f"{file.stem} day", lambda: encoder.embed(stored(file)), 1)  # noqa: B023 - called at once
            for file in files
        ]
    for way in ways:
        share = f"{way.cpu_seconds / ways[0].cpu_seconds:.1%}"
        table.add_row(
            way.name, f"{way.result.encoded}", f"{way.result.reused}", f"{way.cpu_seconds:.2f}", share
        )
    return table


# Fine-tuning


class PlainStories(ReadingStories):
    """The plain loop's way: every layer learns, stories are padded to the maximum, float32."""

    def logits(self, members: NDArray[np.int64]) -> torch.Tensor:
        ids = np.zeros((len(members), MAXIMUM), dtype=np.int64)
        for row, member in enumerate(members):
            ids[row, : self.lengths[member]] = self.pieces[member]
        is_real = np.arange(MAXIMUM) < self.lengths[members][:, None]
        told = torch.from_numpy(ids), torch.from_numpy(is_real).long()
        piece, mask = (one.to(devices.DEVICE) for one in told)
        read = self.network(input_ids=piece, attention_mask=mask)
        logits: torch.Tensor = read.logits[:, 1]
        return logits


@dataclass
class Race:
    """The validation ROC-AUC of a way of fine-tuning after so many CPU-seconds of learning."""

    task: ReadingStories
    truth: NDArray[np.bool_]
    validation: NDArray[np.int64]
    every: int
    points: list[tuple[int, float, float]] = field(default_factory=list)
    """Steps, CPU-seconds without what judging took, ROC-AUC."""
    spent: float = 0.0

    def run(self, config: StoryConfig) -> None:
        """Learn to the end of the budget; judged on users who are not learned from."""
        step, learns, began = 0, self.task.loss, time.process_time()

        def counted(members: NDArray[np.int64]) -> torch.Tensor:
            nonlocal step
            if step and step % self.every == 0:
                self._judge(step, began)
                self.task.network.train()
            step += 1
            return learns(members)

        self.task.loss = counted  # type: ignore[method-assign]
        learn(self.task, config, SEED)
        self._judge(step, began)

    def _judge(self, step: int, began: float) -> None:
        stopped = time.process_time()
        auc = _auc_of(self.task, self.validation, self.truth)
        self.points.append((step, stopped - began - self.spent, auc))
        self.spent += time.process_time() - stopped

    def reaches(self, auc: float) -> tuple[int, float] | None:
        """Return the steps and CPU-seconds after which it is there; None where it never is."""
        return next(((step, seconds) for step, seconds, found in self.points if found >= auc), None)


def compare_tuning(cut: Cut, steps: int) -> Table:
    """Fine-tune the same checkpoint on the same stories in both ways, to where the plain one ends."""
    assert cut.outcomes is not None
    text = TextEncoder(TextConfig(), None)
    pieces = text.pieces(tell(cut.sequences, silence(cut.features)), MAXIMUM)
    is_validation = held_out(cut.users, 0.3, SEED)
    truth = cut.outcomes.is_high_value
    config = with_changes(Config(), story={"steps": steps, "evaluate_every": steps}).story
    races = {}
    for name in ("plain loop", "ours"):
        be_repeatable(SEED, 1)
        if name == "ours":
            model = with_head(text, config.trained_layers)
            task = ReadingStories(model, pieces, truth, is_validation, config.pooling)
        else:
            model = BertForSequenceClassification.from_pretrained(text.path, num_labels=2)
            task = PlainStories(model, pieces, truth, is_validation)
        # Validation is not part of the race: both are measured on the same users, and the clock stands still.
        task.held_out = np.zeros(0, dtype=np.int64)
        races[name] = Race(task, truth, np.flatnonzero(is_validation), max(1, steps // JUDGED))
        races[name].run(config if name == "ours" else config.model_copy(update={"learning_rate": PLAIN_RATE}))
    plain = races["plain loop"].points
    goal = plain[-1][2]
    there = {name: race.reaches(goal) for name, race in races.items()}
    table = Table(
        title=f"fine-tuning on {len(cut)} stories, {steps} steps of {config.batch_size}, "
        f"to a validation ROC-AUC of {goal:.3f}"
    )
    for column in ("way", "CPU-s a step", "AUC at the end", "there after steps", "CPU-s", "times as fast"):
        table.add_column(column, justify="right" if column != "way" else "left")
    for name, race in races.items():
        last_step, last_seconds, last_auc = race.points[-1]
        told = ("never", "–", "–")
        if (at := there[name]) is not None and (first := there["plain loop"]) is not None:
            told = (str(at[0]), f"{at[1]:.1f}", f"{first[1] / at[1]:.1f}")
        table.add_row(name, f"{last_seconds / last_step:.3f}", f"{last_auc:.3f}", *told)
    return table


@torch.inference_mode()
def _auc_of(task: ReadingStories, members: NDArray[np.int64], truth: NDArray[np.bool_]) -> float:
    task.network.to(devices.DEVICE).eval()
    parts = np.array_split(members[np.argsort(task.lengths[members])], max(1, len(members) // 32))
    scores = np.concatenate([task.logits(part).cpu().numpy() for part in parts])
    return float(roc_auc(truth[np.concatenate(parts)], scores)[0])


# Memory


AS_OF = date(2026, 6, 30)
Lengths = Callable[[int, np.random.Generator], NDArray[np.int64]]


def write_users(path: Path, count: int, lengths: Lengths, changed: float = 0) -> None:
    """Write users as the warehouse's snapshot does; a share of them with one event moved and another key.

    Who has changed acted last, and so is last in the file.
    """
    rng = np.random.default_rng(SEED)
    writer = None
    for begin in range(0, count, ROW_GROUP):
        size = min(ROW_GROUP, count - begin)
        part = drawn_sequences(lengths(size, rng), rng)
        users = np.arange(begin, begin + size)
        is_changed = users >= count - round(changed * count)
        part.hour_of_week[part.offsets[1:][is_changed] - 1] += 1
        part.hour_of_week[:] %= 168
        keys = [digest_of(f"{user} {said}").decode() for user, said in zip(users, is_changed, strict=True)]
        flat = {
            "event_types": part.event_type,
            "texts": np.array(part.texts, dtype=object)[part.text],
            "categories": np.full(len(part.text), "", dtype=object),
            "channels": part.channel,
            "gap_seconds": part.gap_seconds,
            "hours_of_week": part.hour_of_week,
            "amounts": part.amount,
            "quantities": part.quantity,
        }
        offsets = pa.array(part.offsets, pa.int32())
        rows = pa.table(
            {
                "as_of_date": pa.array([AS_OF] * size),
                "user_key": [f"{user:064x}" for user in users],
                CONTENT_KEY: keys,
                **{name: pa.ListArray.from_arrays(offsets, pa.array(flat[name])) for name in LISTS},
            }
        )
        writer = writer or pq.ParquetWriter(path, rows.schema, compression="zstd")
        writer.write_table(rows)
    if writer is not None:
        writer.close()


def stored(path: Path) -> StoredSequences:
    """Return the users of a Parquet file, as a day of scoring finds them."""
    told = pq.read_table(path, columns=["user_key", CONTENT_KEY])
    places = pa.array(np.arange(len(told)))
    return StoredSequences.of(str(path), told.append_column("file_row_number", places))


def compare_memory(count: int) -> Table:
    table = Table(title=f"{count:,} users of up to 64 tokens from Parquet, in batches")
    for column in ("CPU-s", "wall s", "users per CPU-s", "peak memory"):
        table.add_column(column, justify="right")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "sequences.parquet"
        write_users(file, count, lambda size, rng: rng.integers(1, 65, size))
        encoder, begun = fresh_encoder(Path(folder)), time.monotonic()
        way = measure("all users", lambda: encoder.embed(stored(file)), 1)
        wall = time.monotonic() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    table.add_row(f"{way.cpu_seconds:.0f}", f"{wall:.0f}", way.per_second(count), f"{peak:.2f} GB")
    return table


def run(arguments: argparse.Namespace) -> None:
    """Measure and print what was asked for."""
    cut = None
    if arguments.shop:
        paths = ShopPaths(arguments.shop)
        inputs = Inputs.of(paths, arguments.as_of or latest_as_of(paths))
        train = inputs.cut_date("train")
        cut = None if train is None else inputs.cut(train, with_outcomes=True)
    if not bf16_is_fast():
        console.print("this processor has no fast bfloat16: float32 is measured", style="yellow")
    tables = []
    if "texts" in arguments.parts:
        tables.append(compare_texts(arguments.texts))
    if "behaviour" in arguments.parts:
        mix = None if cut is None else fresh_encoder(None).tokens(cut.sequences).lengths
        tables += [compare_behaviour(2000, mix), compare_days(arguments.day_users)]
    if "tuning" in arguments.parts and cut is not None:
        tables.append(compare_tuning(cut, arguments.steps))
    if "memory" in arguments.parts:
        tables.append(compare_memory(arguments.users))
    for table in tables:
        answer.print(table)


PARTS = ("texts", "behaviour", "tuning", "memory")


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.encoder",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--parts", nargs="+", choices=PARTS, default=PARTS[:3], help="default: all but memory"
    )
    parser.add_argument("--shop", help="a shop with a snapshot: its mix of lengths, its stories for tuning")
    parser.add_argument("--texts", type=int, default=512, help="how many texts (default: 512)")
    parser.add_argument("--steps", type=int, default=150, help="of fine-tuning (default: 150)")
    parser.add_argument("--day-users", type=int, default=20_000, help="of the changed day (default: 20,000)")
    parser.add_argument(
        "--users", type=int, default=1_000_000, help="of the part memory (default: a million)"
    )
    cli.add_as_of(parser)
    parser.set_defaults(act=run)
    cli.main(parser)


if __name__ == "__main__":
    main()

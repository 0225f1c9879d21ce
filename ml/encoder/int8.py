"""A text BERT whose products are in int8, by OpenVINO: for processors that multiply no bfloat16.

Weights are quantised per column, activations per tensor, with ranges from texts that are drawn from the
vocabulary, so that a checkpoint is quantised the same way wherever its vectors are made. The products that
close attention and feed-forward stay as they were: few dimensions of their inputs are far larger than the
others, and one scale for all would round the rest away (Bondarenko, Nagel, Blankevoort 2021,
"Understanding and overcoming the challenges of efficient transformer quantization").
"""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track
from torch import nn
from transformers import BertModel

from cli import ShoalError, console

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

KEPT = r".*output\.dense/.*"
"""The products that stay out of int8."""
CALIBRATED_ON = 128
AT_ONCE = 32


class Int8Layers:
    """A text BERT in int8.

    Parameters
    ----------
    bert
        What is quantised, unless ``file`` holds it already.
    ordinary, ends
        The word pieces that texts are drawn from, to calibrate on; what stands before and after each text.
    max_tokens
        Word pieces of a text, at most.
    threads
        Of OpenVINO.
    file
        Where the quantised model is kept (``.xml``, with ``.bin`` beside it); None keeps nothing.

    Raises
    ------
    ShoalError
        When OpenVINO or NNCF is not installed.
    """

    def __init__(
        self,
        bert: BertModel,
        ordinary: Ints,
        ends: tuple[int, int],
        max_tokens: int,
        threads: int,
        file: Path | None,
    ) -> None:
        try:
            import nncf
            import openvino
        except ImportError as error:
            raise ShoalError(
                f"text.precision 'int8' needs {error.name}, which is not installed: run `make setup-cluster`"
            ) from error
        self.width = int(bert.config.hidden_size)
        core = openvino.Core()
        if file is not None and file.exists():
            model = core.read_model(file)
        else:
            model = _quantise(nncf, openvino, bert, _drawn(ordinary, ends, max_tokens))
            if file is not None:
                _keep(openvino, model, file)
        settings = {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1}
        self._compiled = core.compile_model(model, "CPU", settings)

    def pooled(self, pieces: list[list[int]], told: str) -> Iterator[tuple[Ints, torch.Tensor]]:
        """Yield some of the texts, and the mean of their last states, (texts, H)."""
        batches = list(_of_one_length(pieces))
        for members in track(batches, told, console=console, transient=True, disable=not console.is_terminal):
            (states,) = self._compiled([np.array([pieces[member] for member in members])]).values()
            yield members, torch.from_numpy(states.mean(axis=1))


class _LastStates(nn.Module):
    """What OpenVINO traces: word pieces of texts of one length to the last layer's states."""

    def __init__(self, bert: BertModel) -> None:
        super().__init__()
        self.bert = bert

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        states: torch.Tensor = self.bert(input_ids=input_ids).last_hidden_state
        return states


def _quantise(nncf: Any, openvino: Any, bert: BertModel, texts: list[Ints]) -> Any:
    console.print("quantising the text BERT to int8, once per checkpoint")
    nncf.set_log_level(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # that tracing is old, and that a length could be a constant: it is not
        model = openvino.convert_model(
            _LastStates(bert), example_input={"input_ids": torch.from_numpy(texts[0])}
        )
    return nncf.quantize(
        model,
        nncf.Dataset(texts, lambda text: {"input_ids": text}),
        model_type=nncf.ModelType.TRANSFORMER,
        subset_size=len(texts),
        ignored_scope=nncf.IgnoredScope(patterns=[KEPT]),
    )


def _drawn(ordinary: Ints, ends: tuple[int, int], max_tokens: int) -> list[Ints]:
    """Return texts of all lengths, each (1, pieces), of word pieces drawn alike."""
    rng = np.random.default_rng(0)
    texts = [rng.choice(ordinary, length) for length in rng.integers(2, max_tokens - 1, CALIBRATED_ON)]
    return [np.array([[ends[0], *text, ends[1]]]) for text in texts]


def _keep(openvino: Any, model: Any, file: Path) -> None:
    """Write a model whole: the ``.xml``, which tells that it is there, comes last."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=file.parent) as folder:
        aside = Path(folder) / file.name
        openvino.save_model(model, aside, compress_to_fp16=False)
        for suffix in (".bin", ".xml"):
            aside.with_suffix(suffix).chmod(0o600)
            aside.with_suffix(suffix).replace(file.with_suffix(suffix))


def _of_one_length(pieces: list[list[int]]) -> Iterable[Ints]:
    """Return texts by length, a batch each: nothing is padded, so no text depends on those beside it."""
    lengths = np.array([len(ids) for ids in pieces])
    for length in np.unique(lengths):
        members = np.flatnonzero(lengths == length)
        yield from np.split(members, range(AT_ONCE, len(members), AT_ONCE))

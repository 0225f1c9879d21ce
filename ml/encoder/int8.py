"""A text BERT whose products are in int8, by OpenVINO: for processors that multiply no bfloat16.

Weights are quantised per column, activations per tensor, with ranges from texts that are drawn from the
vocabulary, so that a checkpoint is quantised the same way wherever its vectors are made. The products that
close attention and feed-forward stay as they were: few dimensions of their inputs are far larger than the
others, and one scale for all would round the rest away (Bondarenko, Nagel, Blankevoort 2021,
"Understanding and overcoming the challenges of efficient transformer quantization"). Elsewhere weights and
activations share what is large, half and half (Xiao et al. 2023, "SmoothQuant").
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
from torch import nn
from transformers import BertModel

from cli import Progress, ShoalError, console
from ml import packages

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

KEPT = r".*output\.dense/.*"
"""The products that stay out of int8."""
SMOOTHING = 0.5
"""How much of the range of activations is handed to the weights; NNCF's .95 overburdens these, above all
where a processor sums int8 in 16 bits (AVX2)."""
CALIBRATED_ON = 128
MODEL = "model.xml"  # its weights lie beside it, in model.bin
AT_ONCE = 32
STEP = 8
"""Texts are padded to a multiple of this: few shapes for OpenVINO to prepare, and little that is padded."""


class Int8Layers:
    """A text BERT in int8.

    Parameters
    ----------
    bert
        What is quantised, unless ``folder`` holds it already.
    ordinary, ends
        The word pieces that texts are drawn from, to calibrate on; what stands before and after each text.
    max_tokens
        Word pieces of a text, at most.
    threads
        Of OpenVINO.
    folder
        Where the quantised model is kept, sealed; None keeps nothing.

    Raises
    ------
    ShoalError
        When OpenVINO or NNCF is not installed, or a byte of what was kept is not what was sealed.
    """

    def __init__(
        self,
        bert: BertModel,
        ordinary: Ints,
        ends: tuple[int, int],
        max_tokens: int,
        threads: int,
        folder: Path | None,
    ) -> None:
        try:
            import nncf
            import openvino
        except ImportError as error:
            raise ShoalError(
                f"text.precision 'int8' needs {error.name}, which is not installed: run `make setup-cluster`"
            ) from error
        self.width = int(bert.config.hidden_size)
        self._head = self.width // int(bert.config.num_attention_heads)
        core = openvino.Core()
        if folder is not None and folder.exists():
            packages.check(folder)
            model = core.read_model(folder / MODEL)
        else:
            model = _quantise(nncf, openvino, bert, _drawn(ordinary, ends, max_tokens))
            if folder is not None:
                _keep(openvino, model, folder)
        settings = {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1}
        self._compiled = core.compile_model(model, "CPU", settings)

    def pooled(self, pieces: list[list[int]], told: str) -> Iterator[tuple[Ints, torch.Tensor]]:
        """Yield some of the texts, and the mean of their last states, (texts, H)."""
        batches = _alike(np.array([len(ids) for ids in pieces]), self._head)
        with Progress(told, len(pieces)) as progress:
            for members, width in batches:
                ids = np.zeros((2, len(members), width), dtype=np.int64)  # word pieces, and which are real
                for row, member in enumerate(members):
                    size = len(pieces[member])
                    ids[0, row, :size], ids[1, row, :size] = pieces[member], 1
                (states,) = self._compiled(_as_inputs(*ids)).values()
                real = ids[1, :, :, None].astype(np.float32)
                yield members, torch.from_numpy((states * real).sum(axis=1) / real.sum(axis=1))
                progress.advance(len(members))


class _LastStates(nn.Module):
    """What OpenVINO traces: word pieces to the last layer's states."""

    def __init__(self, bert: BertModel) -> None:
        super().__init__()
        self.bert = bert

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        read = self.bert(input_ids=input_ids, attention_mask=attention_mask)
        states: torch.Tensor = read.last_hidden_state
        return states


def _quantise(nncf: Any, openvino: Any, bert: BertModel, texts: list[Ints]) -> Any:
    from nncf.quantization.advanced_parameters import AdvancedSmoothQuantParameters

    console.print("quantising the text BERT to int8, once per checkpoint")
    nncf.set_log_level(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # that tracing is old, and that a length could be a constant: it is not
        is_real = np.ones_like(texts[0])
        is_real[:, -1] = 0  # a mask that hides nothing would be traced as none
        example = {name: torch.from_numpy(one) for name, one in _as_inputs(texts[0], is_real).items()}
        model = openvino.convert_model(_LastStates(bert), example_input=example)
    return nncf.quantize(
        model,
        nncf.Dataset(texts, _whole),
        model_type=nncf.ModelType.TRANSFORMER,
        subset_size=len(texts),
        ignored_scope=nncf.IgnoredScope(patterns=[KEPT]),
        advanced_parameters=nncf.AdvancedQuantizationParameters(
            smooth_quant_alphas=AdvancedSmoothQuantParameters(matmul=SMOOTHING)
        ),
    )


def _drawn(ordinary: Ints, ends: tuple[int, int], max_tokens: int) -> list[Ints]:
    """Return texts of all lengths, each (1, pieces), of word pieces drawn alike."""
    rng = np.random.default_rng(0)
    texts = [rng.choice(ordinary, length) for length in rng.integers(2, max_tokens - 1, CALIBRATED_ON)]
    return [np.array([[ends[0], *text, ends[1]]]) for text in texts]


def _keep(openvino: Any, model: Any, folder: Path) -> None:
    """Write a model aside, seal it and give it its name; another process may have been first."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as aside:
        sealed = Path(aside) / folder.name
        openvino.save_model(model, sealed / MODEL, compress_to_fp16=False)
        packages.seal(sealed)
        if not folder.exists():
            sealed.rename(folder)


def _as_inputs(pieces: Ints, is_real: Ints) -> dict[str, Ints]:
    return {"input_ids": pieces, "attention_mask": is_real}


def _whole(text: Ints) -> dict[str, Ints]:
    return _as_inputs(text, np.ones_like(text))


def _alike(lengths: Ints, head: int) -> Iterable[tuple[Ints, int]]:
    """Return texts of like length, and the width that their own length gives them, a batch each.

    No text is as wide as a head of attention: OpenVINO 2026.4 then mistakes one for the other, and the
    cosine with float32 falls to .8.
    """
    widths = -(-lengths // STEP) * STEP
    widths[widths == head] += STEP
    for width in np.unique(widths).tolist():
        members = np.flatnonzero(widths == width)
        for part in np.split(members, range(AT_ONCE, len(members), AT_ONCE)):
            yield part, width

"""A BertModel's layers over sequences that lie end to end: no padding is ever multiplied.

All products run over one matrix of a fixed number of rows; only attention looks at single
sequences, those of one length together. So a sequence's result does not depend on the
sequences beside it, to the last bit, and may be kept by the hash of its content.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from transformers import BertModel
from transformers.activations import ACT2FN

ROWS = 2048  # of one pack, at most
INNER_STATES = 512 * 1536  # of one pack, at most: in bfloat16 they stay in a core's cache, twice as fast
BOUND = 60.0  # scores of attention are cut here: exp(60) times any length is finite, exp(-60) is nothing


@dataclass(frozen=True)
class Pack:
    """Sequences that fill at most ``rows`` rows together, shortest first."""

    members: NDArray[np.int64]
    lengths: NDArray[np.int64]
    """Of the members, not falling."""
    rows: int

    @property
    def groups(self) -> Iterator[tuple[int, int, int]]:
        """Yield (first row, sequences, length) of each run of equal lengths."""
        ends = [*(np.flatnonzero(np.diff(self.lengths)) + 1).tolist(), len(self.lengths)]
        first, begin = 0, 0
        for end in ends:
            length = int(self.lengths[begin])
            yield first, end - begin, length
            first, begin = first + (end - begin) * length, end

    def split(self, states: Tensor) -> Iterator[Tensor]:
        """Yield the states of sequences of one length, (sequences, length, H), in order of the members."""
        for first, count, length in self.groups:
            yield states[first : first + count * length].view(count, length, -1)


def packs(lengths: Sequence[int] | NDArray[np.int64], rows: int = ROWS) -> list[Pack]:
    """Lay sequences end to end, shortest first, in packs of ``rows`` rows.

    A sequence longer than a pack gets one of its own, of a size that its length alone decides.

    >>> [(one.members.tolist(), one.rows) for one in packs([3, 9, 4, 3], rows=8)]
    [([0, 3], 8), ([2], 8), ([1], 16)]
    """
    sizes = np.asarray(lengths, dtype=np.int64)
    found, begin, filled = [], 0, 0
    order = np.argsort(sizes, kind="stable")
    for place, size in enumerate(sizes[order].tolist()):
        if filled and filled + size > rows:
            found.append(order[begin:place])
            begin, filled = place, 0
        filled += size
    if len(order):
        found.append(order[begin:])
    return [Pack(one, sizes[one], rows * max(1, -(-int(sizes[one].max()) // rows))) for one in found]


@dataclass(frozen=True)
class _Layer:
    """One of BERT's layers: query, key and value are one product, query scaled."""

    joined: _Product
    output: _Product
    output_norm: tuple[Tensor, Tensor]
    up: _Product
    down: _Product
    down_norm: tuple[Tensor, Tensor]


class _Product:
    """A linear layer; what follows it is done while a block of the product is still in the cache.

    In bfloat16 on a processor these are oneDNN's own operators, which torch.compile would choose
    too but compiles for minutes; elsewhere plain ones.
    """

    def __init__(self, weight: Tensor, bias: Tensor, rows: int) -> None:
        self.bias = bias
        self.is_fused = weight.dtype == torch.bfloat16 and not weight.is_cuda
        self.weight = torch.ops.mkldnn._reorder_linear_weight(weight, rows) if self.is_fused else weight

    def __call__(self, states: Tensor) -> Tensor:
        if self.is_fused:
            return self._fused(states, "none", "")
        return functional.linear(states, self.weight, self.bias)

    def activate(self, states: Tensor, name: str) -> Tensor:
        """Return the activation of the product."""
        if self.is_fused and name == "gelu":
            return self._fused(states, "gelu", "none")  # exact, not by tanh
        activated: Tensor = ACT2FN[name](self(states))
        return activated

    def add(self, states: Tensor, residual: Tensor) -> Tensor:
        """Return product and residual together."""
        if self.is_fused:
            added: Tensor = torch.ops.mkldnn._linear_pointwise.binary(
                states, residual, self.weight, self.bias, "add"
            )
            return added
        return self(states).add_(residual)

    def _fused(self, states: Tensor, name: str, kind: str) -> Tensor:
        found: Tensor = torch.ops.mkldnn._linear_pointwise(states, self.weight, self.bias, name, [], kind)
        return found


class PackedBert:
    """The layers of a BertModel with query, key and value in one product.

    Parameters
    ----------
    bert
        Its weights are copied.
    dtype
        What products are computed in.
    count
        How many of the layers, from the first on; None means all.
    """

    def __init__(self, bert: BertModel, dtype: torch.dtype, count: int | None = None) -> None:
        config = bert.config
        self.heads, self.width, self.dtype = config.num_attention_heads, config.hidden_size, dtype
        self.rows = min(ROWS, max(128, INNER_STATES // config.intermediate_size))
        self.epsilon, self.activation = config.layer_norm_eps, config.hidden_act
        self.layers = [self._layer(layer) for layer in bert.encoder.layer[:count]]

    def _layer(self, layer: Any) -> _Layer:
        attention, output = layer.attention.self, layer.attention.output
        scale = (self.width // self.heads) ** -0.5
        query, key, value = attention.query, attention.key, attention.value
        return _Layer(
            joined=self._product(
                torch.cat([query.weight * scale, key.weight, value.weight]),
                torch.cat([query.bias * scale, key.bias, value.bias]),
            ),
            output=self._product(output.dense.weight, output.dense.bias),
            output_norm=self._norm(output.LayerNorm),
            up=self._product(layer.intermediate.dense.weight, layer.intermediate.dense.bias),
            down=self._product(layer.output.dense.weight, layer.output.dense.bias),
            down_norm=self._norm(layer.output.LayerNorm),
        )

    def _product(self, weight: Tensor, bias: Tensor) -> _Product:
        return _Product(weight.detach().to(self.dtype), bias.detach().to(self.dtype), self.rows)

    def _norm(self, norm: Any) -> tuple[Tensor, Tensor]:
        return norm.weight.detach().to(self.dtype), norm.bias.detach().to(self.dtype)

    def __call__(self, states: Tensor, pack: Pack) -> Tensor:
        """Return the last layer's states, (pack.rows, H), for the embedded inputs of a pack."""
        shape = (self.width,)
        for layer in self.layers:
            context = self._attend(layer.joined(states), pack)
            states = functional.layer_norm(
                layer.output.add(context, states), shape, *layer.output_norm, self.epsilon
            )
            inner = layer.up.activate(states, self.activation)
            states = functional.layer_norm(
                layer.down.add(inner, states), shape, *layer.down_norm, self.epsilon
            )
        return states

    def _attend(self, joined: Tensor, pack: Pack) -> Tensor:
        """Return what each row gathers from the rows of its own sequence, (rows, 3 H) -> (rows, H)."""
        context = torch.zeros(len(joined), self.width, dtype=joined.dtype, device=joined.device)
        for first, count, length in pack.groups:
            rows = slice(first, first + count * length)
            parts = joined[rows].view(count, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
            query, key, value = parts.reshape(3, count * self.heads, length, -1)  # (N h, L, d)
            gathered = attention(query, key, value).view(count, self.heads, length, -1)
            context[rows].view(count, length, self.heads, -1).copy_(gathered.transpose(1, 2))
        return context


def attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Return softmax(query keyᵀ) value, (N, L, d), for queries that are scaled already.

    On a processor two batched products around one exponential are three times as fast as the
    fused kernel, whose cost per short sequence outweighs its work.
    """
    if query.is_cuda:
        return functional.scaled_dot_product_attention(query, key, value, scale=1.0)
    weights = torch.bmm(query, key.transpose(1, 2)).clamp_(-BOUND, BOUND).exp_()  # (N, L, L)
    return torch.bmm(weights, value).div_(weights.sum(-1, keepdim=True))

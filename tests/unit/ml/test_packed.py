"""Packed layers compute what BertModel computes, without its padding."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertModel

from benchmarks import encoder as benchmark
from ml.encoder.devices import bf16_is_fast
from ml.encoder.packed import Pack, PackedBert, packs

CONFIG = BertConfig(
    vocab_size=1, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64
)
FAST = pytest.param(
    torch.bfloat16,
    marks=pytest.mark.skipif(
        not bf16_is_fast(), reason="this processor has no fast bfloat16: float32 is used"
    ),
)
LENGTHS = np.array([5, 1, 9, 5, 3])


def _bert() -> BertModel:
    torch.manual_seed(3)
    return BertModel(CONFIG, add_pooling_layer=False).eval()


def _inputs() -> list[torch.Tensor]:
    torch.manual_seed(4)
    return [torch.randn(length, CONFIG.hidden_size) for length in LENGTHS]


@torch.inference_mode()
def _packed(packed: PackedBert, pack: Pack, inputs: list[torch.Tensor]) -> list[torch.Tensor]:
    """Return each member's states, in order of the members."""
    flat = torch.cat([inputs[member] for member in pack.members])
    filled = torch.nn.functional.pad(flat, (0, 0, 0, pack.rows - len(flat)))
    states = packed(filled.to(packed.dtype), pack)
    return [one for part in pack.split(states) for one in part]


@pytest.mark.parametrize("kind", [torch.float32, FAST])
def test_packed_layers_say_what_each_sequence_alone_says(kind: torch.dtype) -> None:
    tolerance = 1e-5 if kind == torch.float32 else 0.1
    bert, inputs = _bert(), _inputs()
    (pack,) = packs(LENGTHS, 128)
    for member, found in zip(pack.members, _packed(PackedBert(bert, kind), pack, inputs), strict=True):
        with torch.inference_mode():
            alone = bert.encoder(inputs[member][None]).last_hidden_state[0]
        assert (found.float() - alone).abs().max() < tolerance


@pytest.mark.parametrize("kind", [torch.float32, FAST])
def test_packed_states_are_equal_to_the_last_bit_whoever_is_beside(kind: torch.dtype) -> None:
    packed, inputs = PackedBert(_bert(), kind), _inputs()
    (together,) = packs(LENGTHS, 128)
    found = dict(zip(together.members.tolist(), _packed(packed, together, inputs), strict=True))
    for member in range(len(LENGTHS)):
        (alone,) = packs(LENGTHS[[member]], 128)
        assert (_packed(packed, alone, [inputs[member]])[0] == found[member]).all()


def test_packs_are_full_and_keep_what_is_too_long_alone() -> None:
    found = packs([3, 9, 4, 3], rows=8)
    assert [(one.members.tolist(), one.rows) for one in found] == [([0, 3], 8), ([2], 8), ([1], 16)]
    assert [*found[0].groups] == [(0, 2, 3)]
    assert packs([]) == []


def test_floor_of_the_benchmark_is_the_products_of_packed_layers_each_with_its_own_weights(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[tuple[object, ...]] = []
    linear, bmm = torch.nn.functional.linear, torch.bmm

    def multiply(states: torch.Tensor, weight: torch.Tensor, *bias: torch.Tensor) -> torch.Tensor:
        made.append((tuple(states.shape), tuple(weight.shape), weight.data_ptr()))
        return linear(states, weight, *bias)

    def attend(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        made.append((tuple(one.shape), tuple(other.shape)))
        return bmm(one, other)

    monkeypatch.setattr(benchmark, "fast_type", lambda: torch.float32)
    packed, floor = PackedBert(_bert(), torch.float32), benchmark.products(_bert(), LENGTHS.tolist(), 8)
    monkeypatch.setattr(torch.nn.functional, "linear", multiply)
    monkeypatch.setattr(torch, "bmm", attend)
    for pack in packs(LENGTHS, 8):
        _packed(packed, pack, _inputs())
    of_network = _with_numbered_weights(made)
    made.clear()
    floor()
    assert _with_numbered_weights(made) == of_network
    assert len({weight for *_, weight in of_network if isinstance(weight, int)}) == 2 * 4  # layers, products


def _with_numbered_weights(made: list[tuple[object, ...]]) -> list[tuple[object, ...]]:
    """Say of each product which weight it took: the first, the second … that was met."""
    met: dict[object, int] = {}
    return [
        (*shapes, met.setdefault(last, len(met)) if isinstance(last, int) else last) for *shapes, last in made
    ]

"""Where a behaviour BERT's weights come from before fine-tuning."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ml.configs import Config, with_changes
from ml.encoder.network import BehaviourBert, to_arrays
from ml.encoder.pretraining import FROM_THE_HEAD
from ml.encoder.texts import TextEncoder
from ml.encoder.tokens import Vocabulary


@dataclass(frozen=True)
class Pretrained:
    """What pretraining taught, with the words that its tables are about; another shop may start from it."""

    weights: dict[str, NDArray[Any]]
    vocabulary: Vocabulary

    @classmethod
    def of(cls, network: BehaviourBert, vocabulary: Vocabulary) -> Pretrained:
        """Keep what lies below the heads."""
        taught = {name: one for name, one in to_arrays(network).items() if not name.startswith(FROM_THE_HEAD)}
        return cls(taught, vocabulary)

    def into(self, network: BehaviourBert, vocabulary: Vocabulary) -> None:
        """Copy the weights; rows of kinds and channels go by name, new ones keep their fresh start."""
        weights = {name: torch.from_numpy(one) for name, one in self.weights.items()}
        fresh = network.state_dict()
        for table, old, new in (
            ("event_type.weight", self.vocabulary.event_types, vocabulary.event_types),
            ("channel.weight", self.vocabulary.channels, vocabulary.channels),
        ):
            weights[table] = _by_name(weights[table], old, fresh[table], new)
        network.load_state_dict(fresh | weights)


def _by_name(known: Tensor, old: tuple[str, ...], fresh: Tensor, new: tuple[str, ...]) -> Tensor:
    """Return ``fresh`` with the rows of known names; row 0 stands for all others in both."""
    found = fresh.clone()
    found[0] = known[0]
    for place, name in enumerate(new, start=1):
        if name in old:
            found[place] = known[old.index(name) + 1]
    return found


def sized_as_text(config: Config, folder: Path | None) -> Config:
    """Return the config with the sizes of the checkpoint's layers, which are to be the start."""
    bert = TextEncoder(config.text, folder).bert().config
    sizes = {
        "hidden_size": bert.hidden_size,
        "layers": bert.num_hidden_layers,
        "heads": bert.num_attention_heads,
        "intermediate_size": bert.intermediate_size,
    }
    return with_changes(config, network=sizes)


def text_layers_into(network: BehaviourBert, config: Config, folder: Path | None) -> None:
    """Copy the checkpoint's layers; its vectors enter as they are."""
    text = TextEncoder(config.text, folder).bert()
    network.bert.encoder.load_state_dict(text.encoder.state_dict())
    network.bert.embeddings.LayerNorm.load_state_dict(text.embeddings.LayerNorm.state_dict())
    nn.init.eye_(network.text.weight)

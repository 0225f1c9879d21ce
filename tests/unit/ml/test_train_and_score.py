"""Train and score on a planted snapshot, from the command down to the tables."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow.parquet as pq
import pytest

import journal
import settings
from cli import ShoalError, UsageError
from ml import compare, explain, high_value, kept, packages, pages, promote, reuse, tracking
from ml.high_value import HighValue
from ml.judged import Judged
from ml.score import score
from ml.segments import stability
from ml.segments.behaviour import BehaviourSegments
from ml.segments.clusters import Trial
from ml.train import Material, _beside, _fit_bert, _fit_rivals, _judge, _moved_by_behaviour, train
from ml.warehouse import Inputs
from ml.words import Words
from tests.unit.ml import synthetic
from tests.unit.ml.conftest import QUICK, fresh_tracking

USERS = 500


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[synthetic.World]:
    """One training that the tests of this file look at; each of them leaves it as it was."""
    with pytest.MonkeyPatch.context() as patch, fresh_tracking():
        patch.setenv("SHOAL_DATA", str(tmp_path_factory.mktemp("trained")))
        patch.setenv("SHOAL_RUN_ID", "run-1")
        world = synthetic.write(users=USERS)
        train(world.paths, world.as_of, QUICK)
        yield world


def _rows(world: synthetic.World, table: str) -> list[tuple[object, ...]]:
    """Return a table without what may differ between two runs."""
    stamps = "run_id" if table == "segment_definitions" else "run_id, scored_at"
    with duckdb.connect(str(world.paths.warehouse), read_only=True) as connection:
        return connection.sql(f"select * exclude ({stamps}) from ml.{table} order by all").fetchall()


def test_training_judges_all_models_on_the_same_rows(trained: synthetic.World) -> None:
    runs = {run["name"]: run for run in tracking.recent_runs("tiny", 20)}
    assert {"bert", "lightgbm", "rfm_logistic"} < set(runs)
    for name in ("bert", "lightgbm", "rfm_logistic"):
        metrics, tags = runs[name]["metrics"], runs[name]["tags"]
        assert metrics["test/roc_auc_low"] <= metrics["test/roc_auc"] <= metrics["test/roc_auc_high"]
        assert (tags["data_digest"], tags["shop"], tags["stage"]) == ("d1", "tiny", name)
        assert 0.8 * USERS < metrics["untreated/users"] < 0.95 * USERS == 0.95 * metrics["test/users"]
        assert metrics["untreated/roc_auc_low"] <= metrics["untreated/roc_auc"] != metrics["test/roc_auc"]
    assert runs["bert"]["metrics"]["test/roc_auc"] > 0.7
    assert runs["bert"]["metrics"]["baseline/lightgbm/roc_auc"] == runs["lightgbm"]["metrics"]["test/roc_auc"]


def test_training_on_a_snapshot_alone_says_that_no_leak_was_tried(trained: synthetic.World) -> None:
    """Nothing was landed of the synthetic snapshots."""
    (parent,) = [run for run in tracking.recent_runs("tiny", 20) if run["name"].startswith("train ")]
    metrics = parent["metrics"]
    assert (metrics["canary/sampled_users"], metrics["canary/injected_rows"]) == (0, 0)
    assert metrics["canary/permuted_auc"] == pytest.approx(0.5, abs=0.2)


def test_page_of_a_training_tells_verdict_data_and_pictures(trained: synthetic.World) -> None:
    found = {run["name"]: run for run in reversed(tracking.recent_runs("tiny", 20))}
    parent = tracking.client().get_run(found[f"train tiny {trained.as_of}"]["run_id"])
    choice = parent.data.tags["choice"]
    told = parent.data.tags[pages.NOTE].splitlines()
    assert told[0].startswith(f"{choice} 0.") and told[0].endswith(", promoted")
    assert any(line.startswith("| test | 2026-05-31 | 500 |") for line in told)
    assert any(line.startswith("Campaigns contacted ") for line in told)
    whole = {key: str(value) for key, value in QUICK.dotted().items()}
    for run in found.values():
        assert tracking.client().get_run(run["run_id"]).data.params == whole, run["name"]
    read = {
        (tag.value, one.dataset.name, one.dataset.digest, json.loads(one.dataset.profile)["num_rows"])
        for one in parent.inputs.dataset_inputs
        for tag in one.tags
        if tag.key == "mlflow.data.context"
    }
    assert read == {
        ("train", "ml_inputs_2026_05_01", "d1", USERS),
        ("test", "ml_inputs_2026_05_31", "d1", USERS),
    }
    shown = {one.path for one in tracking.client().list_artifacts(parent.info.run_id)}
    assert shown == {"reliability.png", "lift.png"}
    groups = found[f"cluster tiny {trained.as_of}"]["run_id"]
    assert {"embeddings.png", "model_card.md"} < {
        one.path for one in tracking.client().list_artifacts(groups)
    }


def test_registered_versions_carry_their_model_card(trained: synthetic.World) -> None:
    for model, says in (
        (tracking.HIGH_VALUE, ("## Quality", "## Costs", "## Limits", "| lightgbm |", "rows ")),
        (tracking.BEHAVIOUR, ("## Segments", "## Limits", "stability")),
    ):
        name = tracking.registered_name("tiny", model)
        champion = tracking.with_alias(name, "champion")
        assert champion is not None
        card = tracking.client().get_model_version(name, champion.version).description
        assert all(part in card for part in says), card
        assert not any(user in card for user in trained.truth)


def test_list_of_runs_has_views_whose_columns_the_runs_know(trained: synthetic.World) -> None:
    """A view that names a metric which no run has would show an empty column."""
    runs = tracking.recent_runs("tiny", 20)
    for experiment in ("encoder", "segments"):
        views = pages.VIEWS[experiment]
        kept = tracking.client().get_experiment_by_name(experiment)
        assert kept.tags["mlflow.experimentKind"] == "custom_model_development"
        for view in views:
            state = json.loads(json.loads(kept.tags[f"mlflow.sharedViewState.{view.key}"])["state"])
            told = [(kind, name) for kind, name, _ in view.columns if kind != "attributes"]
            assert state["selectedColumns"][: len(told)] == [f"{kind}.`{name}`" for kind, name in told]
            assert pages.link(kept.experiment_id, view.key) in kept.tags[pages.NOTE]
            listed = [run for run in runs if run["experiment_id"] == kept.experiment_id]
            for kind, name in told:
                assert any(name in run[kind] for run in listed), (experiment, view.key, name)


def test_training_leaves_a_champion_that_knows_no_later_day(trained: synthetic.World) -> None:
    for model in (tracking.HIGH_VALUE, tracking.BEHAVIOUR):
        name = tracking.registered_name("tiny", model)
        champion, challenger = tracking.with_alias(name, "champion"), tracking.with_alias(name, "challenger")
        assert champion is not None and challenger is not None
        assert champion.version == challenger.version == "1"
        assert champion.known_through <= trained.as_of
        assert champion.tags["promotion_reason"]


def test_training_journals_the_decision_of_every_model(trained: synthetic.World) -> None:
    records = list(journal.read(trained.paths.ops / "model_run.jsonl"))
    assert [record["model"] for record in records] == [
        "rfm_logistic",
        "lightgbm",
        "bert",
        "behaviour_segments",
    ]
    assert sum(record["decision"] == "promoted" for record in records) == 2
    assert all(record["run_id"] == "run-1" and record["cpu_seconds"] >= 0 for record in records)
    registered = {record["registered_model"]: record for record in records if record["model_version"]}
    assert registered.keys() == {tracking.HIGH_VALUE, tracking.BEHAVIOUR}
    for name, record in registered.items():
        version = tracking.version(tracking.registered_name("tiny", name), record["model_version"])
        tags = tracking.client().get_run(record["mlflow_run_id"]).data.tags
        assert version.run_id == record["mlflow_run_id"]
        assert (tags["shoal_run_id"], tags["data_digest"]) == (record["run_id"], record["data_digest"])


def test_training_journals_how_well_every_judged_model_was_calibrated(trained: synthetic.World) -> None:
    *judged, segments = journal.read(trained.paths.ops / "model_run.jsonl")
    assert segments["calibration"] is None
    for record in judged:
        bins = record["calibration"]
        assert sum(one["users"] for one in bins) == USERS, record["model"]
        assert all(one["users"] >= 20 for one in bins)
        assert len(bins) > 1


def test_cost_of_a_model_stands_beside_its_rivals(trained: synthetic.World) -> None:
    records = {record["model"]: record for record in journal.read(trained.paths.ops / "model_run.jsonl")}
    bert = records["bert"]
    assert bert["rival"] in ("rfm_logistic", "lightgbm")
    for cost in ("fit_cpu_seconds", "cpu_seconds_per_1000_users", "peak_memory_mb"):
        assert bert[f"rival_{cost}"] == records[bert["rival"]][cost]
    assert bert["cpu_seconds_per_1000_users"] > bert["rival_cpu_seconds_per_1000_users"] > 0


def test_two_runs_are_compared_on_the_users_that_both_judged(trained: synthetic.World) -> None:
    runs = {run["name"]: run for run in reversed(tracking.recent_runs("tiny", 20))}
    found = compare.compare(
        trained.paths, runs["lightgbm"]["run_id"][:12], runs["bert"]["run_id"], QUICK.gate, 7
    )
    assert (found.lead.users, found.lead.is_whole) == (USERS, True)
    assert found.lead.digest == runs["bert"]["tags"]["rows_digest"]
    gap = found.lead.differences["roc_auc"]
    logged = runs["bert"]["metrics"]
    assert [gap.value, gap.low, gap.high] == pytest.approx(
        [logged[f"gap/lightgbm/roc_auc{end}"] for end in ("", "_low", "_high")], abs=1e-5
    )
    assert found.tags["stage"] == ("lightgbm", "bert")
    assert found.params == {}  # each carries the whole config of their training
    with pytest.raises(UsageError, match="no run of tiny begin with 'zz'"):
        tracking.find_run("tiny", "zz")


def test_no_user_is_named_in_mlflow(trained: synthetic.World) -> None:
    """The judged rows carry keys, so they lie with the shop; the store and its artefacts know none."""
    files = [path for path in settings.mlflow_dir().rglob("*") if path.is_file()]
    keys = [user.encode() for user in trained.truth]
    assert len(files) > 30
    assert [path for path in files if any(key in path.read_bytes() for key in keys)] == []
    bert = next(run for run in tracking.recent_runs("tiny", 50) if run["name"] == "bert")
    assert set(Judged.load(trained.paths, bert["run_id"]).users) == set(trained.truth)


def test_a_user_is_explained_by_every_kind_of_model(trained: synthetic.World) -> None:
    runs = {run["name"]: run for run in reversed(tracking.recent_runs("tiny", 20))}
    cut = Inputs.of(trained.paths, trained.as_of).cut(trained.as_of)
    for name, part in (("bert", "last event: "), ("lightgbm", "number of orders ")):
        model, called = explain.chosen(trained.paths, trained.as_of, runs[name]["run_id"][:12])
        assert (model.name, called) == (name, f"run {runs[name]['run_id'][:8]}")
        told = explain.user(model, cut, cut.users[0], top=50)
        assert any(part in words for _, words in told.parts)
        assert told.score == pytest.approx(model.score(cut).scores[0], abs=1e-6)
    groups = runs[f"cluster tiny {trained.as_of}"]["run_id"]
    with pytest.raises(UsageError, match="logged no model of high value: name a run of rfm_rank"):
        explain.chosen(trained.paths, trained.as_of, groups)
    with pytest.raises(UsageError, match="no user 'nobody' is eligible on 2026-06-30"):
        explain.user(model, cut, "nobody")


def test_behaviour_clusters_find_the_planted_groups(trained: synthetic.World) -> None:
    score(trained.paths, trained.as_of)
    with duckdb.connect(str(trained.paths.warehouse), read_only=True) as connection:
        placed = dict(
            connection.sql(
                "select user_key, segment_code from ml.user_segments where scheme = 'behaviour'"
            ).fetchall()
        )
    purity = 0
    for code in set(placed.values()):
        groups = [trained.truth[user] for user, found in placed.items() if found == code]
        purity += max(groups.count("buyer"), groups.count("carter"))
    assert purity / len(placed) > 0.9


def test_scoring_twice_gives_the_same_rows_and_encodes_nobody_again(trained: synthetic.World) -> None:
    score(trained.paths, trained.as_of)
    before = {
        table: _rows(trained, table) for table in ("user_scores", "user_segments", "segment_definitions")
    }
    again = score(trained.paths, trained.as_of)
    assert (again.encoded, again.reused) == (0, USERS)
    shutil.rmtree(trained.paths.models / "embeddings")  # a lost cache changes nothing either
    assert score(trained.paths, trained.as_of).encoded == USERS
    assert {table: _rows(trained, table) for table in before} == before


def test_every_user_has_one_row_per_scheme_and_three_reasons(trained: synthetic.World) -> None:
    score(trained.paths, trained.as_of)
    with duckdb.connect(str(trained.paths.warehouse), read_only=True) as connection:
        schemes = connection.sql(
            "select scheme, count(*), count(distinct user_key) from ml.user_segments group by all order by 1"
        )
        assert schemes.fetchall() == [("behaviour", USERS, USERS), ("value", USERS, USERS)]
        deciles = connection.sql(
            "select decile, count(*), min(score), max(score) from ml.user_scores group by 1 order by 1"
        ).fetchall()
        silent = connection.sql(
            "select count(*) from ml.user_scores where '' in (reason_1, reason_3) or expected_value is null"
        )
        assert silent.fetchall() == [(0,)]
        for table in ("user_scores", "user_segments"):
            in_one_language = connection.sql(
                f"select count(*) from ml.{table} where (reason_1 = '') is distinct from (reason_1_zh = '') "
                "or (reason_3 = '') is distinct from (reason_3_zh = '') "
                "or regexp_matches(reason_1_zh, 'goes|comes|begins')"
            )
            assert in_one_language.fetchall() == [(0,)], table
        unplaced = connection.sql(
            "select count(*) from ml.user_segments where distance is null or runner_up_code is null "
            "or margin is null or distance not between 0 and 1 and scheme = 'value'"
        )
        assert unplaced.fetchall() == [(0,)]
        # Who did little has fewer.
        told = connection.sql(
            "select scheme, count(nullif(reason_1, '')), count(nullif(reason_3, '')) from ml.user_segments "
            "group by 1 order by 1"
        ).fetchall()
        assert [row[:2] for row in told] == [("behaviour", USERS), ("value", USERS)]
        assert all(thrice > USERS / 2 for *_, thrice in told)
        known = connection.sql("from ml.segment_definitions select distinct scheme, segment_code").fetchall()
        used = connection.sql("from ml.user_segments select distinct scheme, segment_code").fetchall()
    assert [row[:2] for row in deciles] == [(decile, USERS // 10) for decile in range(1, 11)]
    assert all(better[2] >= worse[3] for better, worse in pairwise(deciles))
    assert set(used) <= set(known)


def test_history_keeps_what_each_run_wrote(trained: synthetic.World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOAL_RUN_ID", "run-history")
    score(trained.paths, trained.as_of)
    kept = trained.paths.history / "ml" / "user_segments" / str(trained.as_of) / "run-history.parquet"
    assert duckdb.sql(f"select count(*), any_value(run_id) from '{kept}'").fetchall() == [
        (2 * USERS, "run-history")
    ]


def test_scoring_an_earlier_date_is_refused_with_remedy(trained: synthetic.World) -> None:
    with pytest.raises(
        ShoalError, match=r"version 1 knows days through 2026-06-30\): run python -m ml train"
    ):
        score(trained.paths, trained.test)


def test_changed_byte_in_a_registered_model_is_refused(trained: synthetic.World, tmp_path: Path) -> None:
    champion = promote.in_force("tiny.high_value", trained.as_of)
    assert champion is not None
    copy = tmp_path / "copy"
    shutil.copytree(champion.package(), copy)
    content = json.loads((copy / "high_value.json").read_text())
    (copy / "high_value.json").write_text(json.dumps(content | {"horizon_days": 31}))
    with pytest.raises(ShoalError, match=r"high_value.json is not what was sealed"):
        HighValue.load(copy, None)


def test_package_that_was_changed_and_sealed_again_is_refused(
    trained: synthetic.World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    champion = promote.in_force("tiny.high_value", trained.as_of)
    assert champion is not None
    shutil.copytree(champion.package(), tmp_path / "copy")
    content = json.loads((tmp_path / "copy" / "high_value.json").read_text())
    (tmp_path / "copy" / "high_value.json").write_text(json.dumps(content | {"horizon_days": 31}))
    packages.seal(tmp_path / "copy")
    monkeypatch.setattr(tracking.Version, "package", lambda _: tmp_path / "copy")
    shutil.rmtree(trained.paths.models / "champions" / "tiny.high_value", ignore_errors=True)
    with pytest.raises(ShoalError, match=r"version 1 of tiny.high_value was registered as .* and is now"):
        kept.in_force(trained.paths, tracking.HIGH_VALUE, trained.as_of)


def test_nothing_registered_is_a_pickle(trained: synthetic.World) -> None:
    kinds = {path.suffix for path in (settings.mlflow_dir() / "artifacts").rglob("*") if path.is_file()}
    assert kinds <= {
        *(".safetensors", ".json", ".txt", ".py", ".csv", ".yaml", ".yml", ".lock", "", ".pyc"),
        *(".md", ".png", ".sql"),
    }
    assert ".safetensors" in kinds


ELSEWHERE = """
import ast, importlib.metadata, json, pathlib, sys
import mlflow
folder, checkout = map(pathlib.Path, sys.argv[1:])
mlflow.set_tracking_uri(f"sqlite:///{folder}/none.db")
model = mlflow.pyfunc.load_model(str(folder))
out = model.predict(model.input_example)
files = {
    pathlib.Path(module.__file__).resolve()
    for name, module in sys.modules.items()
    if name.partition(".")[0] in ("ml", "cli", "settings", "journal", "warehouse") and module.__file__
}
names = set()
for node in (node for file in files for node in ast.walk(ast.parse(file.read_text()))):
    found = [one.name for one in node.names] if isinstance(node, ast.Import) else []
    found = [node.module] if isinstance(node, ast.ImportFrom) and node.module else found
    names |= {one.partition(".")[0] for one in found} & set(sys.modules)
packages = importlib.metadata.packages_distributions()
needed = {package.lower() for name in names for package in packages.get(name, [])}
package = folder / "artifacts" / "package"
damaged = next(file for file in package.glob("*.json") if file.name != "manifest.json")
damaged.write_text(damaged.read_text() + " ")
try:
    mlflow.pyfunc.load_model(str(folder))
    refused = "nothing"
except Exception as error:
    refused = str(error)
amounts = out["score"] if "score" in out else out["distance"]
print(json.dumps({
    "columns": list(out.columns), "rows": len(out), "least": float(amounts.min()),
    "inputs": model.metadata.signature.inputs.input_names(),
    "from_checkout": [str(file) for file in files if checkout in file.parents],
    "needed": sorted(needed), "refused": refused,
}))
"""
"""Says what a model does in a process that knows nothing but the model's folder."""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "columns"),
    [("high_value", ["score", "tier"]), ("behaviour_segments", ["segment_code", "distance"])],
)
def test_registered_model_answers_in_a_process_without_our_checkout(
    trained: synthetic.World, tmp_path: Path, name: str, columns: list[str]
) -> None:
    found = tracking.with_alias(f"tiny.{name}", "champion")
    assert found is not None
    folder = tmp_path / "model"
    shutil.copytree(found.package().parent.parent, folder)
    done = subprocess.run(
        [sys.executable, "-I", "-c", ELSEWHERE, str(folder), str(settings.ROOT)],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "MLFLOW_DISABLE_TELEMETRY": "true"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    said = json.loads(done.stdout.splitlines()[-1])
    assert (said["columns"], said["rows"]) == (columns, 3)
    assert said["least"] >= 0 and "hours_of_week" in said["inputs"]
    assert said["from_checkout"] == []
    pinned = {line.partition("==")[0] for line in (folder / "requirements.txt").read_text().split()}
    assert set(said["needed"]) <= pinned, "the model's own environment would lack these"
    assert "is not what was sealed" in said["refused"]


def test_unchanged_inputs_are_reused_and_force_gives_equal_metrics(trained: synthetic.World) -> None:
    found = reuse.find(trained.paths, trained.as_of, QUICK)
    assert found is not None and found.version == "1"
    other = QUICK.model_copy(update={"training": QUICK.training.model_copy(update={"steps": 41})})
    assert reuse.find(trained.paths, trained.as_of, other) is None
    decisions = train(trained.paths, trained.as_of, QUICK)  # what FORCE=1 does
    assert [decision.is_promoted for decision in decisions] == [False, False]
    assert decisions[0].is_rehearsal  # the same window decides once
    first, second = (run for run in reversed(tracking.recent_runs("tiny", 50)) if run["name"] == "bert")
    tested = [name for name in first["metrics"] if name.startswith("test/")]
    assert len(tested) > 10
    assert [second["metrics"][name] for name in tested] == pytest.approx(
        [first["metrics"][name] for name in tested], abs=1e-6
    )


def test_segments_trained_again_keep_their_codes_and_users(trained: synthetic.World) -> None:
    name = tracking.registered_name("tiny", tracking.BEHAVIOUR)
    if len(tracking.versions(name)) == 1:
        train(trained.paths, trained.as_of, QUICK)
    cut = Inputs.of(trained.paths, trained.as_of).cut(trained.as_of)
    first, again = (
        BehaviourSegments.load(tracking.version(name, number).package(), None) for number in ("1", "2")
    )
    assert {origin.event for origin in first.lineage.origins.values()} == {"born"}
    assert {origin.event for origin in again.lineage.origins.values()} == {"kept"}
    assert again.lineage.champion_version == "1"
    assert (first.place(cut)[0].code == again.place(cut)[0].code).all()


def test_every_training_notes_whether_its_segments_hold_and_agree(trained: synthetic.World) -> None:
    name = tracking.registered_name("tiny", tracking.BEHAVIOUR)
    if len(tracking.versions(name)) == 1:
        train(trained.paths, trained.as_of, QUICK)
    rows = list(journal.read(trained.paths.ops / "segment_stability.jsonl"))
    first, again = ([row for row in rows if row["model_version"] == number] for number in ("1", "2"))
    assert {(row["gate"], row["is_promoted"], row["ari_vs_champion"]) for row in first} == {
        ("first", True, None)
    }
    assert {(row["gate"], row["ari_vs_champion"], row["jaccard"]) for row in again} == {("young", 1.0, 1.0)}
    assert {row["decision_reason_zh"].partition("；")[0] for row in first} == {"此前没有分群"}
    assert min(row["bootstrap_jaccard"] for row in rows) > 0.5
    assert {row["behaviour_moved_share"] for row in rows} == {None}  # no day lies between the trainings
    metrics = tracking.client().get_run(again[0]["run_id"]).data.metrics
    assert {
        "k/bootstrap",
        "k/held_out",
        "k/difference",
        "bootstrap",
        "held_out",
        "difference",
    } < metrics.keys()
    tags = tracking.client().get_run(again[0]["run_id"]).data.tags
    assert tags["gate"] == "young" and "adjusted Rand index 1.00" in tags["decision"]


def test_champion_that_places_two_days_tells_who_moved_by_behaviour(trained: synthetic.World) -> None:
    champion = tracking.with_alias(tracking.registered_name("tiny", tracking.BEHAVIOUR), "champion")
    assert champion is not None
    held = BehaviourSegments.load(champion.package(), None)
    # The champion's day, and a week later, when a buyer and a carter do what the other did.
    for day, digest in ((trained.as_of, "then"), (trained.as_of + timedelta(days=7), "now")):
        later = synthetic.write(shop="later", users=200, digest=digest, as_of=day)
    buyer, carter = (
        next(user for user, kind in later.truth.items() if kind == one) for one in synthetic.TITLES
    )
    file = later.paths.snapshots / "now" / "fct_user_sequences.parquet"
    swap = f"case user_key when '{carter}' then '{buyer}' when '{buyer}' then '{carter}' else user_key end"
    pq.write_table(duckdb.sql(f"select * replace ({swap} as user_key) from '{file}'").to_arrow_table(), file)
    material = Material.read(later.paths, later.as_of, QUICK, Inputs.of(later.paths, later.as_of))
    before = held.before(champion.version, material.now)
    assert _moved_by_behaviour(material, champion, held, before) == 2 / 200
    # That day is this one, or its snapshot is gone.
    same = Material.read(later.paths, trained.as_of, QUICK, Inputs.of(later.paths, trained.as_of))
    assert _moved_by_behaviour(same, champion, held, held.before("1", same.now)) is None
    gone = replace(champion, tags={**champion.tags, "known_through": str(trained.as_of - timedelta(days=1))})
    assert _moved_by_behaviour(material, gone, held, before) is None


def test_decision_tells_who_moved_by_behaviour_and_what_no_k_avoids() -> None:
    decision = promote.Decision("behaviour_segments", True, Words("renewed", "已更新"))
    found = stability.Stability({}, 0.9, None, behaviour_moved_share=0.125)
    told = _beside(decision, found, Trial(2, 0.9, 3, 0.1), QUICK.clusters)
    assert told.reason == Words(
        "renewed; 12% of the users moved since the champion was trained, by what they did; "
        "no number of segments leaves each of them 10 users: the smallest has 3",
        "已更新；自在用分群训练以来，12% 的用户因自身行为而迁移；"
        "无论分成几群都做不到每群 10 位用户：最小的只有 3 位",
    )
    quiet = _beside(decision, stability.Stability({}, 0.9, None), Trial(2, 0.9, 10, 0.1), QUICK.clusters)
    assert quiet == decision


def test_cost_of_a_model_holds_what_its_fit_took(trained: synthetic.World) -> None:
    costs = {run["name"]: run["metrics"] for run in tracking.recent_runs("tiny", 50)}
    for name in ("rfm_logistic", "lightgbm", "bert"):
        assert 0 < costs[name]["cost/fit_cpu_seconds"] < costs[name]["cost/cpu_seconds"], name
    assert costs["bert"]["cost/cpu_seconds"] > costs["lightgbm"]["cost/cpu_seconds"]


def test_rows_after_the_cut_change_no_verdict(data: Path) -> None:
    """A future that differs only after the test cut leaves what was learned and judged untouched."""
    found, futures = [], []
    for digest, later_rows in (("a", False), ("b", True)):
        world = synthetic.write(users=500, digest=digest, later_rows=later_rows)
        material = Material.read(world.paths, world.as_of, QUICK, Inputs.of(world.paths, world.as_of))
        assert material.has_enough and material.test is not None
        classifier, curve = _fit_bert(material)
        models = {**_fit_rivals(material)[0], "bert": classifier}
        scores = {name: high_value.score(model, material.test) for name, model in models.items()}
        found.append((curve, _judge(material, scores)))
        futures.append(int(material.now.sequences.gap_seconds.sum()))
    assert futures[0] != futures[1]
    assert found[0] == found[1]


def test_event_after_its_as_of_date_stops_training(data: Path) -> None:
    world = synthetic.write(users=60)
    file = world.paths.snapshots / "d1" / "fct_user_sequences.parquet"
    rows = duckdb.sql(
        f"select * replace (last_event_at + interval 90 days as last_event_at) from '{file}'"
    ).to_arrow_table()
    pq.write_table(rows, file)
    with pytest.raises(ShoalError, match="after its as_of_date: a model trained on it would know the future"):
        Inputs.of(world.paths, world.as_of).cut(world.train)


def test_snapshot_of_an_earlier_release_is_not_scored(data: Path) -> None:
    world = synthetic.write(users=60)
    file = world.paths.snapshots / "d1" / "fct_user_sequences.parquet"
    pq.write_table(pq.read_table(file).drop_columns("content_key"), file)
    with pytest.raises(ShoalError, match="d1 has no content_key, an earlier release wrote it: run python -m"):
        Inputs.of(world.paths, world.as_of).day(world.as_of)


def test_tables_that_disagree_about_users_are_refused(data: Path) -> None:
    world = synthetic.write(users=60)
    file = world.paths.snapshots / "d1" / "fct_user_features.parquet"
    rows = duckdb.sql(
        f"from '{file}' where user_key <> (select min(user_key) from '{file}')"
    ).to_arrow_table()
    pq.write_table(rows, file)
    with pytest.raises(ShoalError, match="fct_user_features and fct_user_sequences name different users"):
        Inputs.of(world.paths, world.as_of).cut(world.as_of)


def test_too_few_positives_serve_the_simple_score(data: Path) -> None:
    world = synthetic.write(users=120)
    decisions = train(world.paths, world.as_of, QUICK)
    assert decisions[0].choice == "rfm_rank"
    assert decisions[0].reason.en.startswith("too few users of high value")
    done = score(world.paths, world.as_of)
    assert done.rows["user_scores"] == 120
    with duckdb.connect(str(world.paths.warehouse), read_only=True) as connection:
        assert connection.sql("select distinct model_name from ml.user_scores").fetchall() == [("rfm_rank",)]


def test_without_a_horizon_there_are_groups_but_no_scheme_value(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world = synthetic.write(users=150, horizon_days=None)
    assert [decision.choice for decision in train(world.paths, world.as_of, QUICK)] == [tracking.BEHAVIOUR]
    done = score(world.paths, world.as_of)
    assert done.rows["user_scores"] == 0
    assert done.rows["user_segments"] == 150
    assert "scheme value is absent" in capsys.readouterr().err


def test_where_nobody_has_ordered_there_are_groups_but_no_scheme_value(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world = synthetic.write(users=120)
    snapshot = world.paths.snapshots / world.digest
    for name, changes in {
        "fct_user_features": {"order_count": 0},
        "fct_user_labels": {"is_high_value": False, "is_buyer": False, "net_revenue_amount": 0.0},
    }.items():
        path = snapshot / f"{name}.parquet"
        # An earlier release did not tell who was treated.
        pd.read_parquet(path).assign(**changes).drop(columns="is_treated", errors="ignore").to_parquet(path)
    assert [decision.choice for decision in train(world.paths, world.as_of, QUICK)] == [tracking.BEHAVIOUR]
    assert "nobody has ordered anything: no score high_value" in capsys.readouterr().err
    done = score(world.paths, world.as_of)
    assert (done.rows["user_scores"], done.rows["user_segments"]) == (0, 120)


def test_champion_serves_later_days_and_alias_stays_with_the_newest(trained: synthetic.World) -> None:
    name = tracking.registered_name("tiny", tracking.BEHAVIOUR)
    assert promote.in_force(name, trained.as_of + timedelta(days=30)) is not None
    assert promote.in_force(name, trained.as_of - timedelta(days=1)) is None

"""Training: encode, fine-tune, judge beside the rivals, cluster, register, let the gate decide."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

import journal
import settings
from cli import ShoalError, console
from ml import figures, high_value, model_card, promote, reuse, run_page, tracking
from ml.configs import ClusterConfig, Config
from ml.costs import Cost, Spent, metered, peak_memory_mb
from ml.encoder.classifier import Classifier
from ml.encoder.kept import forget_unused
from ml.encoder.training import LearningPoint, finished_fits_kept, forget_old_fits
from ml.evaluation import canaries, leaks
from ml.evaluation.judge import Interval, Verdict, judge
from ml.evaluation.rivals import RfmRank
from ml.high_value import HighValue
from ml.judged import Judged
from ml.reasons import Model
from ml.refit import FITS, refit
from ml.segments import drift, identity, naming, stability
from ml.segments.behaviour import BehaviourSegments
from ml.segments.clusters import Trial
from ml.warehouse import Cut, Inputs
from ml.words import Words
from settings import ShopPaths

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Material:
    """What a training run works on."""

    paths: ShopPaths
    as_of: date
    config: Config
    inputs: Inputs
    train: Cut
    """Users to learn from; at the as_of_date itself, without outcomes, where no horizon has closed."""
    test: Cut | None
    now: Cut
    known_through: date
    made: Mapping[str, tracking.Version] = field(default_factory=dict)
    """What an earlier try of this training registered before something failed, by the name of the model."""

    @property
    def has_enough(self) -> bool:
        """Return whether both cuts hold enough positives to learn from and to judge by."""
        return min(self.positives()) >= self.config.gate.min_positives

    @property
    def knows_orders(self) -> bool:
        """Return whether anybody has ordered; without money and orders nobody is worth more than another."""
        return bool((self.now.features["order_count"] > 0).any())

    def positives(self) -> tuple[int, int]:
        """Return how many users were of high value after the train cut and after the test cut."""
        cuts = (self.train, self.test)
        found = [
            0 if cut is None or cut.outcomes is None else int(cut.outcomes.is_high_value.sum())
            for cut in cuts
        ]
        return found[0], found[1]

    @property
    def window(self) -> promote.Window:
        """Return the days after the test cut whose outcomes judge."""
        assert self.test is not None and self.inputs.horizon_days is not None
        first = self.test.as_of_date + timedelta(days=1)
        return promote.Window(first, self.test.as_of_date + timedelta(days=self.inputs.horizon_days))

    @classmethod
    def read(cls, paths: ShopPaths, as_of: date, config: Config, inputs: Inputs) -> Material:
        """Read the cuts of a snapshot."""
        now = inputs.cut(as_of)
        train_date, test_date = inputs.cut_date("train"), inputs.cut_date("test")
        if inputs.horizon_days is None or train_date is None or test_date is None:
            return cls(paths, as_of, config, inputs, now, None, now, as_of)
        closes = [
            day for day in (inputs.closes_on(train_date), inputs.closes_on(test_date)) if day is not None
        ]
        return cls(
            paths=paths,
            as_of=as_of,
            config=config,
            inputs=inputs,
            train=inputs.cut(train_date, with_outcomes=True),
            test=inputs.cut(test_date, with_outcomes=True),
            now=now,
            # Nothing in the snapshot is known after its as_of_date; the clusters are fitted on that very day.
            known_through=min([as_of, max(closes, default=as_of)]),
        )


def train(paths: ShopPaths, as_of: date, config: Config) -> list[promote.Decision]:
    """Train, judge and register both models of a shop, and return what the gate decided."""
    inputs = Inputs.of(paths, as_of)
    fingerprint = reuse.fingerprint(inputs.digest, config)
    material = Material.read(paths, as_of, config, inputs)
    _tell_material(material)
    tags = _tags(material, fingerprint)
    names = [
        tracking.registered_name(paths.shop, model) for model in (tracking.HIGH_VALUE, tracking.BEHAVIOUR)
    ]
    material = replace(material, made=tracking.take_back(names, fingerprint))
    with (
        finished_fits_kept() as kept,
        tracking.run(
            "encoder", f"train {paths.shop} {as_of}", tags | {"stage": "train"}, config.dotted()
        ) as parent,
    ):
        _sing(material, parent)
        sample = _try_leaks(material, parent)
        started = time.monotonic()
        with metered() as bert_took:
            classifier, curve = _fit_bert(material)
        parent.set_tags(classifier.said)
        _tell(f"fine-tuned BERT in {curve[-1].step} steps", started)
        if sample is not None:
            leaks.check_models({classifier.name: classifier}, sample)
        decisions = _high_value(material, classifier, bert_took, curve, tags, parent, sample)
        decisions.append(_behaviour(material, classifier, tags, parent, fingerprint))
    for checkpoint in kept:
        checkpoint.unlink(missing_ok=True)
    forget_old_fits(paths.models)
    forget_unused(paths.models)
    return decisions


def fit_ahead(paths: ShopPaths, as_of: date, config: Config) -> None:
    """Fit what takes longest and needs no MLflow; the next :func:`train` on the same finds it done."""
    with finished_fits_kept():
        _fit_bert(Material.read(paths, as_of, config, Inputs.of(paths, as_of)))


def _sing(material: Material, parent: tracking.Run) -> None:
    """Stop here if a cut knows its future."""
    if material.test is None or not material.has_enough:
        return
    config = material.config
    song = canaries.sing(material.train, material.test, config.rivals, config.training.seed)
    parent.log_metrics(
        {f"canary/{name}": value for name, value in vars(song).items() if name != "best_feature"}
    )


def _try_leaks(material: Material, parent: tracking.Run) -> leaks.Sample | None:
    """Stop here if what became known after the test cut changes what users were as of the cuts."""
    if material.test is None:
        return None
    started = time.monotonic()
    sample = leaks.sing(
        material.paths,
        material.inputs,
        material.train,
        material.test,
        material.now,
        material.config.training.seed,
    )
    parent.log_metrics(
        {
            "canary/sampled_users": 0.0 if sample is None else float(sample.users),
            "canary/injected_rows": 0.0 if sample is None else float(sample.injected_rows),
        }
    )
    if sample is None:
        console.print(
            f"what was landed is not here ({material.paths.ledger}): whether late deliveries change the "
            "features of this snapshot was not tried",
            style="yellow",
        )
        return None
    _tell(f"{sample.injected_rows} later rows changed nothing of {sample.users} users at the cuts", started)
    return sample


def _fit_bert(material: Material) -> tuple[Classifier, list[LearningPoint]]:
    cut = material.train
    outcomes = cut.outcomes if material.has_enough else None
    return Classifier.fit(
        cut.users, cut.sequences, cut.features, outcomes, material.config, material.paths.models
    )


def _high_value(
    material: Material,
    classifier: Classifier,
    bert_took: Spent,
    curve: list[LearningPoint],
    tags: Mapping[str, object],
    parent: tracking.Run,
    sample: leaks.Sample | None,
) -> list[promote.Decision]:
    test = material.test
    if test is None or test.outcomes is None:
        console.print(
            "no horizon of 30 days or more has closed twice: no score high_value and no scheme value yet; "
            "both come with more history",
            style="yellow",
        )
        told = "no horizon has closed yet: no high_value"
        parent.set_tags({"decision": told})
        parent.note(told)
        return []
    if not material.knows_orders:
        console.print(
            "nobody has ordered anything: no score high_value and no scheme value; both need orders",
            style="yellow",
        )
        parent.set_tags({"decision": "nobody has ordered anything: no high_value"})
        return []
    models, fits = _fit_rivals(material)
    if sample is not None:
        leaks.check_models(models, sample)
    if material.has_enough:
        models["bert"], fits["bert"] = classifier, bert_took
    scores, costs = _score_all(models, test, fits)
    name = tracking.registered_name(material.paths.shop, tracking.HIGH_VALUE)
    champion = promote.in_force(name, material.as_of, besides=material.made.get(name))
    champion_model = None if champion is None else HighValue.load(champion.package(), material.paths.models)
    rehearsal = _rehearsal(material, champion)
    if champion_model is not None and rehearsal is None:
        scores[promote.CHAMPION] = champion_model.score(test).scores
    verdict = _judge(material, scores)
    decision = promote.decide(
        _choose(material, verdict),
        verdict if material.has_enough else None,
        None if champion_model is None else champion_model.name,
        material.config.gate,
        rehearsal,
    )
    if champion is not None and promote.CHAMPION in scores:
        _quote(champion, material, verdict)
    _tell_verdict(verdict, decision)
    parent.log_metrics(_metrics(verdict, decision.choice))
    parent.set_tags(
        {"decision": decision.reason.en, "rows_digest": verdict.rows_digest, "choice": decision.choice}
    )
    run_page.show_inputs(parent, material)
    run_page.show_training(parent, material, scores, verdict, decision)
    for name, model in models.items():
        _log_one(material, name, model, scores[name], verdict, decision, tags, parent, curve, costs)
    return [decision]


def _rehearsal(material: Material, champion: tracking.Version | None) -> Words | None:
    """Return why the test cut must not decide about the champion, None where it may."""
    if champion is None:
        return None
    last = promote.last_window(champion.name, material.as_of, besides=material.made.get(champion.name))
    return promote.why_rehearsal(material.window, last, champion.known_through)


def _quote(champion: tracking.Version, material: Material, verdict: Verdict) -> None:
    """Note what the champion reached in the first window that closed after its promotion."""
    auc = verdict.metrics[promote.CHAMPION]["roc_auc"]
    if "quoted_roc_auc" not in champion.tags and np.isfinite(auc.value):
        champion.set_tags({"quoted_roc_auc": auc, "quoted_window": material.window})


def _fit_rivals(material: Material) -> tuple[dict[str, Model], dict[str, Spent]]:
    """Return the rivals by name, and what fitting each took."""
    if not material.has_enough:
        return {"rfm_rank": RfmRank()}, {"rfm_rank": Spent()}
    models: dict[str, Model] = {}
    fits = {}
    for name in ("rfm_logistic", "lightgbm"):
        with metered() as fits[name]:
            models[name] = FITS[name](material.train, material.config, None)
    return models, fits


def _score_all(
    models: Mapping[str, Model], test: Cut, fits: Mapping[str, Spent]
) -> tuple[dict[str, Floats], dict[str, Cost]]:
    """Score the test cut with each model, and say what each costs."""
    scores, costs = {}, {}
    for name, model in models.items():
        with metered() as took:
            scores[name] = high_value.score(model, test)
        costs[name] = Cost(fits[name], took, len(test))
    return scores, costs


def _judge(material: Material, scores: Mapping[str, Floats]) -> Verdict:
    test, gate = material.test, material.config.gate
    assert test is not None and test.outcomes is not None
    seed = material.config.training.seed
    outcomes = test.outcomes
    return judge(
        *(test.users, outcomes.is_high_value, scores, gate.resamples, gate.confidence, seed),
        outcomes.is_treated,
    )


def _choose(material: Material, verdict: Verdict) -> promote.Decision:
    if material.has_enough:
        return promote.choose(verdict)
    train, test = material.positives()
    need = material.config.gate.min_positives
    why = Words(
        f"too few users of high value ({train} to learn from, {test} to judge by, {need} needed of each): "
        "the simple score rfm_rank serves",
        f"高价值用户太少（可学习 {train} 位，可评判 {test} 位，各需 {need} 位）：采用简单评分 rfm_rank",
    )
    return promote.Decision("rfm_rank", True, why)


def _log_one(
    material: Material,
    name: str,
    model: Model,
    scores: Floats,
    verdict: Verdict,
    decision: promote.Decision,
    tags: Mapping[str, object],
    parent: tracking.Run,
    curve: list[LearningPoint],
    costs: Mapping[str, Cost],
) -> None:
    """Log one model in a nested run of its own; register the chosen one and let the gate act."""
    assert material.test is not None and material.test.outcomes is not None
    assert material.inputs.horizon_days is not None
    paths, config = material.paths, material.config
    is_choice = name == decision.choice
    registered = tracking.registered_name(paths.shop, tracking.HIGH_VALUE)
    stage = {**tags, "stage": name}
    cost = costs[name]
    with tracking.run("encoder", name, stage, config.dotted(), parent, cost) as run:
        run.log_metrics(_metrics(verdict, name) | _cost_metrics(cost))
        run_page.show_inputs(run, material)
        if name == "bert":
            _log_curve(run, curve)
        frozen = HighValue.freeze(
            model,
            material.test,
            scores,
            material.inputs.horizon_days,
            material.known_through,
            material.as_of,
            config.gate,
        )
        if is_choice:
            again = refit(frozen, material.test, material.now, config, paths.models)
            frozen = again.served
            run.log_metrics(again.as_metrics())
            console.print(again.reason)
        example = material.inputs.example(material.as_of)
        made = material.made.get(registered) if is_choice else None
        if made is not None and made.tags.get("kind") != name:
            made = None
        registers = registered if is_choice and made is None else None
        version = run.log_model(name, frozen.save, example, registers) or made
        if version is not None:
            version = version.set_tags(
                {
                    **tags,
                    "kind": name,
                    "known_through": material.known_through,
                    "rows_digest": verdict.rows_digest,
                    **material.window.as_tags(),
                    "refit": again.reason,
                }
            )
            card = model_card.high_value(material, name, scores, verdict, decision, costs, again.reason)
            run_page.describe(run, version, card)
            version = _elect(version, decision)
        chosen = Words(f"{decision.choice} was chosen", f"选用了 {decision.choice}")
        told = decision.reason if is_choice else chosen
        is_promoted = is_choice and decision.is_promoted
        run.set_tags({"decision": told.en, "is_promoted": is_promoted, "rows_digest": verdict.rows_digest})
        run_page.show_model(run, name, verdict, told.en, is_promoted)
        _judged(material, scores).save(paths, run.run_id)
    cost_told = _costs_beside_the_rival(name, verdict, costs)
    calibration = figures.calibration_told(material.test.outcomes.is_high_value, scores)
    _remember(material, run, name, verdict.metrics[name], told, is_promoted, version, cost_told, calibration)


def _judged(material: Material, scores: Floats) -> Judged:
    test = material.test
    assert test is not None and test.outcomes is not None and material.inputs.horizon_days is not None
    return Judged(
        test.as_of_date, material.inputs.horizon_days, test.users, test.outcomes.is_high_value, scores
    )


def _elect(version: tracking.Version, decision: promote.Decision) -> tracking.Version:
    version.set_alias("challenger")
    if decision.is_promoted:
        return promote.promote(version, decision.reason.en)
    promote.name_champion(version.name)
    return version if decision.is_rehearsal else promote.stay_behind(version)


def _behaviour(
    material: Material,
    classifier: Classifier,
    tags: Mapping[str, object],
    parent: tracking.Run,
    fingerprint: str,
) -> promote.Decision:
    """Cluster the users of the as_of_date, name the clusters, register them and let the gate act."""
    paths, now, config = material.paths, material.now, material.config
    name = tracking.registered_name(paths.shop, tracking.BEHAVIOUR)
    tags = {**tags, "stage": "cluster"}
    with tracking.run(
        "segments", f"cluster {paths.shop} {material.as_of}", tags, config.dotted(), parent
    ) as run:
        made = material.made.get(name)
        champion = promote.in_force(name, material.as_of, besides=made)
        held = None if champion is None else BehaviourSegments.load(champion.package(), paths.models)
        before = None if held is None or champion is None else held.before(champion.version, now)
        embedded = classifier.embed(now.sequences)
        segments, trials = BehaviourSegments.make(
            classifier,
            now,
            embedded.vectors,
            material.as_of,
            config.clusters,
            naming.Rules.load(),
            before,
            config.identity,
            held,
        )
        vectors = segments.vectors(now)
        placed = segments.clusters.place(vectors)
        _log_trials(run, trials)
        _log_lineage(run, segments.lineage)
        days = 0 if champion is None else (material.as_of - champion.known_through).days
        found = stability.ask(segments.clusters, vectors, now.features, before, days, config)
        if held is not None and champion is not None and before is not None:
            k = len(segments.clusters.codes)
            found = replace(
                found,
                drift=drift.ask(now, k, config.clusters, config.drift),
                behaviour_moved_share=_moved_by_behaviour(material, champion, held, before),
            )
        persistence = segments.persistence(now)
        run.log_metrics(found.metrics() | {"stability/persistence": persistence})
        decision = promote.decide_segments(
            None if champion is None else champion.known_through,
            material.as_of,
            found,
            config.gate,
            config.stability,
        )
        chosen = next(trial for trial in trials if trial.is_chosen)
        decision = _beside(decision, found, chosen, config.clusters)
        _tell_segments(placed.code, trials, decision)
        example = material.inputs.example(material.as_of)
        registers = name if made is None else None
        version = run.log_model("behaviour_segments", segments.save, example, registers) or made
        assert version is not None
        # The fingerprint comes last: whoever finds it finds both models complete.
        version = version.set_tags({**tags, "known_through": material.as_of})
        card = _segments_card(material, segments, placed.code, trials, decision, persistence)
        run_page.describe(run, version, card)
        version = _elect(version, decision)
        run.set_tags(
            {"decision": decision.reason.en, "is_promoted": decision.is_promoted, "gate": decision.gate}
        )
        run_page.show_users(run, material)
        run_page.show_segments(run, embedded.vectors, placed.code, card, decision, config.training.seed)
    metrics = {"stability": chosen.stability, "silhouette": chosen.silhouette, "k": chosen.k}
    _remember_stability(material, run, segments, found, chosen, decision, version)
    _remember(material, run, "behaviour_segments", metrics, decision.reason, decision.is_promoted, version)
    version.set_tags({"complete": fingerprint})
    return decision


def _moved_by_behaviour(
    material: Material, champion: tracking.Version, held: BehaviourSegments, before: identity.Before
) -> float | None:
    """Return the share of users whom the champion puts elsewhere than on the day that it was trained on.

    None where that day is this one, or its snapshot can't be read any more.
    """
    day = champion.known_through
    if day == material.as_of:
        return None
    try:
        then = Inputs.of(material.paths, day).day(day)
    except ShoalError as error:
        console.print(f"who moved by behaviour since {day} can't be told: {error}", style="yellow")
        return None
    return stability.moved(held.codes(then), pd.Series(before.placed, index=material.now.users))


def _beside(
    decision: promote.Decision, found: stability.Stability, chosen: Trial, config: ClusterConfig
) -> promote.Decision:
    """Add to a decision in words what did not decide it."""
    told = []
    if found.behaviour_moved_share is not None:
        share = f"{found.behaviour_moved_share:.0%}"
        told.append(
            Words(
                f"{share} of the users moved since the champion was trained, by what they did",
                f"自在用分群训练以来，{share} 的用户因自身行为而迁移",
            )
        )
    if chosen.smallest < config.min_users:
        told.append(
            Words(
                f"no number of segments leaves each of them {config.min_users} users: "
                f"the smallest has {chosen.smallest}",
                f"无论分成几群都做不到每群 {config.min_users} 位用户：最小的只有 {chosen.smallest} 位",
            )
        )
    return replace(decision, reason=decision.reason.then(*told))


def _segments_card(
    material: Material,
    segments: BehaviourSegments,
    codes: NDArray[np.object_],
    trials: list[Trial],
    decision: promote.Decision,
    persistence: float,
) -> model_card.Card:
    names, counts = np.unique(codes.astype("U"), return_counts=True)
    users = {str(name): int(count) for name, count in zip(names, counts, strict=True)}
    return model_card.segments(material, segments, users, trials, decision, persistence)


def _remember_stability(
    material: Material,
    run: tracking.Run,
    segments: BehaviourSegments,
    found: stability.Stability,
    trial: Trial,
    decision: promote.Decision,
    version: tracking.Version,
) -> None:
    """Keep a row per segment, new and in force, with what the gate said."""
    lineage, told = segments.lineage, found.agreement
    events = {code: origin.event for code, origin in lineage.origins.items()}
    events |= {code: "retired" for code, day in lineage.retired.items() if day == material.as_of}
    common = {
        "recorded_at": journal.now(),
        "run_id": run.run_id,
        "as_of_date": material.as_of,
        "scheme": "behaviour",
        "model_version": version.version,
        "champion_version": lineage.champion_version,
        "ari_vs_champion": told and told.ari,
        "psi": told and told.psi,
        "moved_share": told and told.moved_share,
        "behaviour_moved_share": found.behaviour_moved_share,
        "fit_gap": told and told.fit.value,
        "fit_gap_low": told and told.fit.low,
        "fit_gap_high": told and told.fit.high,
        "k": trial.k,
        "silhouette": trial.silhouette,
        "gate": decision.gate,
        "is_promoted": decision.is_promoted,
        **decision.reason.as_record(),
    }
    rows = [
        {
            **common,
            "segment_code": code,
            "event": event,
            "parent_code": lineage.origins[code].parent_code if code in lineage.origins else None,
            "jaccard": told and told.jaccard.get(code),
            "bootstrap_jaccard": found.bootstrap.get(code),
        }
        for code, event in sorted(events.items())
    ]
    journal.append(material.paths.ops / "segment_stability.jsonl", rows)
    run.log_table("segment_stability.csv", pd.DataFrame(rows))


def _metrics(verdict: Verdict, name: str) -> dict[str, float]:
    """Return a model's metrics with intervals, and every other model's beside them as ``baseline``."""
    found: dict[str, float] = {}
    for metric, interval in verdict.metrics[name].items():
        found |= _spread(f"test/{metric}", interval)
    for other in verdict.metrics:
        if other != name:
            found |= {
                f"baseline/{other}/{metric}": one.value for metric, one in verdict.metrics[other].items()
            }
            found |= _spread(f"gap/{other}/roc_auc", verdict.differences[name, other]["roc_auc"])
            found |= _spread(f"gap/{other}/pr_auc", verdict.differences[name, other]["pr_auc"])
    found |= {"test/users": float(verdict.users), "test/positives": float(verdict.positives)}
    if verdict.untreated is not None:
        found["untreated/users"] = float(verdict.untreated.users)
        for metric, interval in verdict.untreated.metrics[name].items():
            found |= _spread(f"untreated/{metric}", interval)
    return found


def _spread(name: str, interval: Interval) -> dict[str, float]:
    return {name: interval.value, f"{name}_low": interval.low, f"{name}_high": interval.high}


def _cost_metrics(cost: Cost) -> dict[str, float]:
    return {
        "cost/fit_cpu_seconds": cost.fit.cpu_seconds,
        "cost/score_cpu_seconds_per_1000_users": cost.per_1000_users,
    }


def _costs_beside_the_rival(name: str, verdict: Verdict, costs: Mapping[str, Cost]) -> dict[str, object]:
    """Return what a model costs, and what the best of the others costs."""
    others = [other for other in costs if other != name]
    rival = max(others, key=lambda other: verdict.metrics[other]["roc_auc"].value, default=None)
    beside = {} if rival is None else {f"rival_{key}": value for key, value in _told(costs[rival]).items()}
    return {"rival": rival, **_told(costs[name]), **beside}


def _told(cost: Cost) -> dict[str, float]:
    return {
        "fit_cpu_seconds": round(cost.fit.cpu_seconds, 3),
        "cpu_seconds_per_1000_users": round(cost.per_1000_users, 4),
        "peak_memory_mb": round(cost.peak_memory_mb, 1),
    }


def _log_curve(run: tracking.Run, curve: list[LearningPoint]) -> None:
    for point in curve:
        run.log_metrics(
            {"train/loss": point.train_loss, "validation/loss": point.validation_loss}, point.step
        )


def _log_trials(run: tracking.Run, trials: list[Trial]) -> None:
    run.log_table("choice_of_k.csv", pd.DataFrame([vars(trial) for trial in trials]))
    for trial in trials:
        found = {
            "stability": trial.stability,
            "silhouette": trial.silhouette,
            "smallest_cluster": float(trial.smallest),
        }
        told = {name: getattr(trial, name) for name in ("bootstrap", "held_out", "gain", "difference")}
        found |= {name: value for name, value in told.items() if value is not None}
        run.log_metrics({f"k/{name}": value for name, value in found.items()}, step=trial.k)
        if trial.is_chosen:
            run.log_metrics(found | {"k": float(trial.k)})


def _log_lineage(run: tracking.Run, lineage: identity.Lineage) -> None:
    """Keep what became of the champion's segments."""
    told = [(code, origin.event, origin.parent_code) for code, origin in lineage.origins.items()]
    told += [(code, "retired", None) for code in lineage.retired]
    run.log_table("lineage.csv", pd.DataFrame(told, columns=["segment_code", "event", "parent_code"]))


def _tags(material: Material, fingerprint: str) -> dict[str, object]:
    inputs = material.inputs
    return {
        "shop": material.paths.shop,
        "as_of_date": material.as_of,
        "train_cut": inputs.cut_date("train"),
        "test_cut": inputs.cut_date("test"),
        "horizon_days": inputs.horizon_days,
        "data_digest": inputs.digest,
        "config_digest": material.config.digest(),
        "code_digest": reuse.code_digest(),
        "fingerprint": fingerprint,
        "git_sha": tracking.git_sha(),
        "dag_run_id": settings.dag_run_id(),
        "shoal_run_id": settings.run_id(),
        "seed": material.config.training.seed,
        "trained_users": len(material.train),
    }


def _remember(
    material: Material,
    run: tracking.Run,
    model: str,
    metrics: Mapping[str, Any],
    reason: Words,
    is_promoted: bool,
    version: tracking.Version | None,
    costs: Mapping[str, object] | None = None,
    calibration: list[dict[str, float]] | None = None,
) -> None:
    record = {
        "recorded_at": journal.now(),
        "run_id": settings.run_id(),
        "mlflow_run_id": run.run_id,
        "dag_run_id": settings.dag_run_id(),
        "model": model,
        "registered_model": None if version is None else version.name.partition(".")[2],
        "model_version": None if version is None else version.version,
        "recipe": material.config.digest(),
        "as_of_date": material.as_of,
        "data_digest": material.inputs.digest,
        "params_hash": material.config.digest(),
        "metrics": {
            name: vars(value) if isinstance(value, Interval) else value for name, value in metrics.items()
        },
        "calibration": calibration,
        "decision": "promoted" if is_promoted else "registered" if version is not None else "compared",
        **reason.as_record(),
        "cpu_seconds": round(run.cpu_seconds, 3),
        "peak_memory_mb": round(peak_memory_mb(), 1),
        **(costs or {}),
    }
    journal.append(material.paths.ops / "model_run.jsonl", [record])


def _tell(what: str, started: float) -> None:
    console.print(f"{what} [dim]{time.monotonic() - started:.1f} s[/]")


def _tell_material(material: Material) -> None:
    inputs = material.inputs
    horizon = "none" if inputs.horizon_days is None else f"{inputs.horizon_days} days"
    train, test = material.positives()
    console.print(
        f"snapshot {inputs.digest[:12]}: horizon {horizon}, train cut {inputs.cut_date('train')} "
        f"({len(material.train)} users, {train} of high value), test cut {inputs.cut_date('test')} "
        f"({0 if material.test is None else len(material.test)} users, {test} of high value), "
        f"{len(material.now)} users on {material.as_of}"
    )


def _tell_verdict(verdict: Verdict, decision: promote.Decision) -> None:
    from rich.table import Table

    table = Table(title=f"high_value on {verdict.users} later users, {verdict.positives} of high value")
    metrics = list(next(iter(verdict.metrics.values())))
    for column in ("model", *metrics):
        table.add_column(column)
    for name, found in verdict.metrics.items():
        table.add_row(name, *(str(found[metric]) for metric in metrics))
    console.print(table)
    if verdict.told_apart:
        console.print(verdict.told_apart, markup=False)
    console.print(f"gate: {'promoted' if decision.is_promoted else 'not promoted'}: {decision.reason}")


def _tell_segments(codes: NDArray[np.object_], trials: list[Trial], decision: promote.Decision) -> None:
    chosen = next(trial for trial in trials if trial.is_chosen)
    names, counts = np.unique(codes.astype("U"), return_counts=True)
    sizes = ", ".join(f"{name} {count}" for name, count in zip(names, counts, strict=True))
    console.print(
        f"behaviour: k = {chosen.k}, stability {chosen.stability:.2f}, "
        f"silhouette {chosen.silhouette:.2f}: {sizes}"
    )
    console.print(f"gate: {'promoted' if decision.is_promoted else 'not promoted'}: {decision.reason}")

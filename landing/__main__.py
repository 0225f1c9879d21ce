"""``python -m landing``: take in what a shop dropped, and look at what was taken in."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterable
from datetime import date, datetime
from importlib import import_module
from pathlib import Path

from rich.markup import escape
from rich.table import Table

import cli
from landing import contracts, incoming, ledger, quarantine, repair, shops
from landing.ledger import LedgerFile
from landing.receive import Report, is_required, receive
from landing.workplace import workplace
from settings import ShopPaths

RECEIVE_MANUAL = """\
Lands every new file of a folder (sub-folders included), or one file.

Each file is found by its name in shops/<shop>.yml, checked against landing/contracts/,
pseudonymised, and written as Parquet by table and business day. Bad rows go to the quarantine
with every reason; all others count. A file lacking a required column is refused as a whole.
The file counts once its line stands in the ledger: killed at any point, repeat the command.
Repeating it lands nothing twice.

The day of delivery decides what an as_of_date may see. It is taken from --delivered-on, else
(for a history load) from each row, else from the (latest) date in the file's name.

A torn or growing file waits, and so does one without its .done where the shop uses markers: the next
receive looks again, and tells since when it waits.

A file of which more rows are bad than its contracts allow is held: nothing of it counts until a
person has decided, by accept, withdraw or replay. Rows of a day that has not come wait in the
quarantine; the receive that completes their day takes them in.

exit codes: 0 done, also with quarantined rows, and degraded where a file of an optional table was
refused · 2 wrong usage · 3 a file is held, or one of a required table was refused: nothing should
be published from this delivery
"""

TARGET = "a batch, a file's id or a file's name, as `python -m landing ledger` lists them"

ACCEPT_MANUAL = """\
Lets held files count after all, as they are: their good rows; what is quarantined stays there.

Of a batch, its held files; a single file also after it was withdrawn. What the border `incoming`
held is not judged by it again; what receive held is.
"""

WITHDRAW_MANUAL = """\
Lets nothing of a batch or file count any more. Its rows leave the tables with the next build of the
core; published days stay as they were said. A withdrawn file is not landed again.
"""

REPLAY_MANUAL = """\
Reads quarantined rows again, after a contract or the shop's mapping has changed, and refused files.

Rows that are good now are landed under their old file and row number; the rest stays quarantined.
A file that receive held counts once few enough of its rows are bad; what the border `incoming` held
stays held. Replaying again changes nothing.

exit codes: 0 done · 2 wrong usage · 3 some file is still held, or one of a required table refused
"""

MAP_MANUAL = """\
Drafts shops/<shop>.yml from a sample of each kind of file that a shop drops.

It finds out the format, the delimiter, the encoding, whether there is a header, how times and
money are written, and which of Shoal's tables and columns the columns may be: by their names
(landing/drafts/vocabulary.yml) and by what stands in them. Whatever it is not sure of is marked
TODO; columns that name a person are marked too. The draft goes to stdout:

  python -m landing map behaviour_2024-03-01.csv orders_2024-03-01.csv --shop myshop > shops/myshop.yml
  python -m landing receive incoming/ --shop myshop

The first 2,000 rows are read. No values are printed but the words of event types and order
states: any other column may name a person.

exit codes: 0 the draft is a whole shop's file · 1 something is missing, or the sample cannot be
read · 2 wrong usage
"""

SIMULATE_MANUAL = """\
Writes what a shop would drop, day by day, in mixed formats, for all tables, with dirty rows and late
files; and, in a folder that nothing of the pipeline reads, the truth behind it: who belongs to which
group, whose devices are whose, what each offer does, who cheats. docs/simulated-shop.md tells more.

  python -m landing simulate --users 2000 --days 120 --out drops
  python -m landing receive drops --shop simulated

Files of an earlier simulation in these folders are replaced.
"""

EXAMPLES = """\
examples:
  python -m landing receive incoming/ --shop online_retail
  python -m landing receive export.jsonl.gz --shop simulated --delivered-on 2024-03-01
  python -m landing map export.csv --shop myshop > shops/myshop.yml
  python -m landing ledger --status refused
  python -m landing quarantine --json
  python -m landing replay events_2024-03-01.csv
"""


def parser() -> argparse.ArgumentParser:
    """Return the manual of this room."""
    plain = argparse.RawDescriptionHelpFormatter
    root = argparse.ArgumentParser(
        "python -m landing", description=__doc__, epilog=EXAMPLES, formatter_class=plain
    )
    verbs = root.add_subparsers(title="verbs", required=True, metavar="verb")

    verb = verbs.add_parser(
        "receive", help="land new files", description=RECEIVE_MANUAL, formatter_class=plain
    )
    verb.add_argument("target", type=Path, help="the folder that the shop drops into, or one file")
    cli.add_shop(verb)
    when = verb.add_mutually_exclusive_group()
    when.add_argument(
        "--delivered-on",
        type=date.fromisoformat,
        metavar="YYYY-MM-DD",
        help="the day on which all these files were delivered",
    )
    when.add_argument(
        "--history",
        action="store_true",
        help="a history load: each row was delivered on its own business day",
    )
    verb.set_defaults(act=_receive)

    for name, tell, manual, act in (
        ("accept", "let held files count", ACCEPT_MANUAL, _accept),
        ("withdraw", "let files count no more", WITHDRAW_MANUAL, _withdraw),
        ("replay", "read quarantined rows and refused files again", REPLAY_MANUAL, _replay),
    ):
        verb = verbs.add_parser(name, help=tell, description=manual, formatter_class=plain)
        verb.add_argument("target", metavar="batch-or-file", help=TARGET)
        cli.add_shop(verb)
        if act is not _replay:
            verb.add_argument("--reason", default=f"{name} by hand", help="why, for the ledger")
        verb.set_defaults(act=act)

    verb = verbs.add_parser(
        "map", help="draft a shop's file from samples", description=MAP_MANUAL, formatter_class=plain
    )
    verb.add_argument("samples", type=Path, nargs="+", help="a file of each kind that the shop drops")
    verb.add_argument("--shop", help="the new shop's name (default: made of the first file's name)")
    verb.add_argument("--time-zone", metavar="ZONE", help="the shop's IANA time zone, such as Europe/Berlin")
    verb.add_argument("--currency", metavar="CODE", help="the shop's ISO 4217 currency, such as EUR")
    verb.set_defaults(act=_map)

    verb = verbs.add_parser(
        "latest-day",
        help="print the latest complete day",
        description="Prints the last day for which every table that the shop calls daily has an accepted "
        "delivery; nothing where there is none.",
    )
    cli.add_shop(verb)
    verb.add_argument(
        "--up-to", type=date.fromisoformat, metavar="YYYY-MM-DD", help="look at no later day than this"
    )
    verb.set_defaults(act=_latest_day)

    verb = verbs.add_parser(
        "ledger",
        help="list the files and what was decided",
        description="Lists the latest decision on every file.",
    )
    cli.add_shop(verb)
    verb.add_argument("--status", choices=["waiting", "refused", "accepted", "held", "withdrawn"])
    verb.add_argument("--json", action="store_true", help="one JSON line per file, with the days it touched")
    verb.set_defaults(act=_ledger)

    verb = verbs.add_parser(
        "quarantine",
        help="count quarantined rows by reason",
        description="Counts quarantined rows by file and reason. --json shows each row without what names a "
        "person; the raw rows stay in data/<shop>/quarantine/ for the owner of the files.",
    )
    cli.add_shop(verb)
    verb.add_argument("--json", action="store_true", help="one JSON line per row")
    verb.set_defaults(act=_quarantine)

    if sys.argv[1:2] == ["simulate"]:  # imported only when asked for: it is larger than all the rest
        simulate = import_module("landing.simulate")
        verb = verbs.add_parser("simulate", description=SIMULATE_MANUAL, formatter_class=plain)
        simulate.add_arguments(verb)
        verb.set_defaults(act=simulate.act)
    else:
        verbs.add_parser("simulate", help="write what a shop with a known truth would drop")
    return root


def _receive(arguments: argparse.Namespace) -> int:
    shop = shops.load(arguments.shop)
    report = receive(shop, arguments.target, arguments.delivered_on, arguments.history)
    _show(report, shop)
    return cli.GATE_STOPPED if report.stops(shop) else cli.DONE


def _accept(arguments: argparse.Namespace) -> int:
    paths = ShopPaths(shops.load(arguments.shop).shop)
    _say_decided("accepted", repair.accept(paths, arguments.target, arguments.reason), arguments.target)
    return cli.DONE


def _withdraw(arguments: argparse.Namespace) -> int:
    paths = ShopPaths(shops.load(arguments.shop).shop)
    _say_decided("withdrawn", repair.withdraw(paths, arguments.target, arguments.reason), arguments.target)
    return cli.DONE


def _say_decided(what: str, changed: list[LedgerFile], target: str) -> None:
    if not changed:
        cli.console.print(f"nothing changed: no file of {escape(target)} was waiting to be {what}")
    for file in changed:
        cli.console.print(f"{what} {escape(file.file_name)}: {file.rows_good:,} good rows", soft_wrap=True)


def _replay(arguments: argparse.Namespace) -> int:
    shop = shops.load(arguments.shop)
    chosen = ledger.choose(ShopPaths(shop.shop), arguments.target)
    _say_names("withdrawn, left alone", [file.file_name for file in chosen if file.status == "withdrawn"])
    codes = [cli.DONE, _replay_rows(shop, arguments.target)]
    for file in chosen:
        if file.status in ("refused", "waiting"):
            report = receive(shop, _found_again(file), file.delivered_on, file.is_history)
            _show(report, shop)
            codes.append(cli.GATE_STOPPED if report.stops(shop) else cli.DONE)
    return max(codes)


def _replay_rows(shop: shops.Shop, target: str) -> int:
    with workplace(shop, ShopPaths(shop.shop).landing) as place:
        files = [file for file in ledger.choose(place.paths, target) if file.status in ("accepted", "held")]
        replayed = {file.file_id: file for file in repair.replay_all(place, files)}
    for before in files:
        if after := replayed.get(before.file_id):
            cli.console.print(
                f"replayed {escape(after.file_name)}: {after.rows_good - before.rows_good:,} rows good now, "
                f"{after.rows_quarantined:,} still quarantined; {after.status}",
                soft_wrap=True,
            )
    if files and not replayed:
        cli.console.print("no quarantined row to read again")
    is_held = any(replayed.get(file.file_id, file).status == "held" for file in files)
    return cli.GATE_STOPPED if is_held else cli.DONE


def _found_again(file: LedgerFile) -> Path:
    path = Path(file.folder or ".") / file.file_name
    if not path.exists():
        raise cli.UsageError(
            f"{path} is no longer there: deliver it again, then "
            f"`python -m landing receive <folder> --shop {file.shop}`"
        )
    return path


def _map(arguments: argparse.Namespace) -> int:
    from landing.drafts import draft

    made = draft(arguments.samples, arguments.shop, arguments.time_zone, arguments.currency)
    print(made.text, end="")
    if made.missing:
        raise cli.ShoalError(f"the draft is not whole yet: {made.missing}")
    cli.console.print(
        f"settle every TODO, write it to shops/{made.shop}.yml, then try it: "
        f"`python -m landing receive <folder> --shop {made.shop}`",
        soft_wrap=True,
    )
    return cli.DONE


def _show(report: Report, shop: shops.Shop) -> None:
    table = Table("source", title=f"landed for {shop.shop}", title_justify="left")
    for column in ("files", "rows in", "good", "quarantined", "repeated"):
        table.add_column(column, justify="right")
    for source in shop.sources:
        files = [file for file in report.landed if file.source == source.name]
        if files:
            sums = (
                sum(getattr(file, name) for file in files)
                for name in ("rows_in", "rows_good", "rows_quarantined", "rows_duplicate")
            )
            table.add_row(source.name, f"{len(files):,}", *(f"{value:,}" for value in sums))
    if report.landed:
        cli.console.print(table)
    else:
        cli.console.print("nothing new was landed")
    for reason, rows in report.reasons.most_common(10):
        cli.console.print(f"  quarantined: {rows:,} rows, {reason}")
    if report.reasons["other_currency:currency"]:
        cli.console.print(
            f"  what belongs to an order in another currency and tells none counts as {shop.currency}: "
            "map the currency of lines, payments and refunds too, or leave them out by `where`",
            soft_wrap=True,
        )
    _say_names("already landed", report.already_landed)
    for file in report.waiting:
        since = datetime.fromisoformat(file.landed_at)
        told = f"{escape(file.file_name)}: {escape('; '.join(file.reasons))}"
        cli.console.print(f"[yellow]waits[/] since {since:%Y-%m-%d %H:%M} UTC, {told}", soft_wrap=True)
    _say_unused(report)
    if report.released:
        cli.console.print(f"  released: rows of {len(report.released):,} files whose day has come")
    _say_names("withdrawn earlier, left alone", report.withdrawn)
    _say_ignored(report)
    for file in [*report.held, *report.refused]:
        told = f"{escape(file.file_name)}: {escape('; '.join(file.reasons))}"
        cli.console.print(f"[red]{file.status}[/] {told}", soft_wrap=True)
    if held := sorted({file.batch_id for file in report.held}):
        told = " or ".join(f"`python -m landing accept|replay {batch} --shop {shop.shop}`" for batch in held)
        cli.console.print(
            f"  nothing of what is held counts until you decide: {told}, "
            "or `withdraw <file>`; of a batch, withdraw takes what counts too",
            soft_wrap=True,
        )
    if degraded := [file.file_name for file in report.refused if not is_required(file, shop)]:
        _say_names("[yellow]degraded[/]: refused, and the rest goes on without", degraded)
    _say_empty_tables(shop)


def _say_ignored(report: Report) -> None:
    ignored: dict[str, list[str]] = {}
    for path in report.ignored:
        told = incoming.unread(path) or "no source of the shop has such a name"
        ignored.setdefault(told, []).append(incoming.shown(path.name))
    for told, names in ignored.items():
        _say_names(f"[yellow]ignored[/], {told}", names)


def _say_unused(report: Report) -> None:
    unused: dict[str, set[str]] = {}
    for file in report.landed:
        unused.setdefault(file.source, set()).update(file.unused_columns)
    for source, columns in unused.items():
        if columns:
            shown = ", ".join(sorted(columns)[:10]) + (" …" if len(columns) > 10 else "")
            told = f"  columns of {source} that nothing reads, kept in quarantine: {escape(shown)}"
            cli.console.print(told, soft_wrap=True)


def _say_names(what: str, names: list[str]) -> None:
    if names:
        shown = ", ".join(names[:3]) + (f" and {len(names) - 3:,} more" if len(names) > 3 else "")
        cli.console.print(f"  {what}: {len(names):,} files ({escape(shown)})")


def _say_empty_tables(shop: shops.Shop) -> None:
    filled = {day.table for file in ledger.accepted(ShopPaths(shop.shop)) for day in file.tables}
    if vacant := sorted(contracts.load().keys() - filled):
        cli.console.print(
            f"  no rows so far in {', '.join(vacant)}: what is built on them alone stays empty",
            soft_wrap=True,
        )


def _latest_day(arguments: argparse.Namespace) -> int:
    days = ledger.complete_days(arguments.shop)
    day = max((day for day in days if arguments.up_to is None or day <= arguments.up_to), default=None)
    if day is None:
        daily = ", ".join(shops.load(arguments.shop).daily)
        cli.console.print(
            f"shop {arguments.shop} has no complete day: none on which all of {daily} were delivered; "
            f"land its files with `python -m landing receive <folder> --shop {arguments.shop}`",
            soft_wrap=True,
        )
    else:
        print(day)
    return cli.DONE


def _ledger(arguments: argparse.Namespace) -> int:
    shops.load(arguments.shop)
    files = [
        file for file in ledger.files(ShopPaths(arguments.shop)) if arguments.status in (None, file.status)
    ]
    if arguments.json:
        _print_json(file.model_dump(mode="json") for file in files)
        return cli.DONE
    table = Table("file", "status", "delivered on", "batch", title=f"ledger of {arguments.shop}")
    for column in ("rows in", "good", "quarantined", "repeated"):
        table.add_column(column, justify="right")
    table.add_column("reasons")
    for file in files:
        counts = (file.rows_in, file.rows_good, file.rows_quarantined, file.rows_duplicate)
        delivered = str(file.delivered_on or ("each row's day" if file.status != "refused" else ""))
        table.add_row(
            escape(file.file_name),
            file.status,
            delivered,
            file.batch_id,
            *(f"{count:,}" for count in counts),
            escape("; ".join(file.reasons)),
        )
    cli.answer.print(table)
    return cli.DONE


def _quarantine(arguments: argparse.Namespace) -> int:
    shops.load(arguments.shop)
    rows = quarantine.rows(ShopPaths(arguments.shop))
    if arguments.json:
        _print_json(rows)
        return cli.DONE
    counted = Counter(
        (row["file_name"], row["table"], reason, row["status"]) for row in rows for reason in row["reasons"]
    )
    table = Table("file", "table", "reason", "status", title=f"quarantine of {arguments.shop}")
    table.add_column("rows", justify="right")
    for (file_name, name, reason, status), count in sorted(counted.items()):
        table.add_row(escape(file_name), name, reason, status, f"{count:,}")
    cli.answer.print(table)
    return cli.DONE


def _print_json(records: Iterable[object]) -> None:
    for record in records:
        print(json.dumps(record, ensure_ascii=False))


if __name__ == "__main__":
    cli.main(parser())

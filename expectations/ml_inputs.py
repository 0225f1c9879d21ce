"""The border ``ml_inputs``: the Parquet snapshot, before a model learns from it or scores it.

One row per user and as_of_date, for the score date and the two cuts that training needs.
What dbt's contract and tests already hold (names, types, keys within a build) is not
repeated, except where a wrong snapshot would make a model that looks right and is not:
a leak from the future, a missing cut, lists that slip against one another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import duckdb

from expectations.facts import create_header, insert_rows, write_identifying_words
from expectations.rules import BorderExpectation
from landing import shops
from settings import ShopPaths
from warehouse.snapshot import Snapshot

FEATURES, SEQUENCES, LABELS = "fct_user_features", "fct_user_sequences", "fct_user_labels"
TABLES = (FEATURES, SEQUENCES, LABELS)

THRESHOLDS = {
    # The longest sequence that dbt builds (its variable sequence_length) and BERT reads.
    "max_sequence_length": 64,
    "max_hour_of_week": 167,
    # Below, a model learns noise and the simple score serves.
    "min_positives": 100,
    # A column that half vanished changes what a model means by it.
    "max_missing_shift": 0.25,
    # Missing shares of a handful of users jump by chance.
    "min_users_for_shares": 50,
    # What lies further back says little about a sudden change.
    "max_previous_age_days": 7,
}


class ExpectSnapshotToBeComplete(BorderExpectation):
    """A snapshot cut short by a full disk has fewer rows than its manifest."""

    sentence = "each table holds as many rows as the snapshot's manifest says"
    query = """
        select e.table_name, null as file_id,
            'manifest ' || e.row_count || ' rows, Parquet ' || coalesce(f.row_count, 0) as observed
        from batch as b, manifest_table as e
        left join table_fact as f on f.table_name = e.table_name
        where e.row_count is distinct from coalesce(f.row_count, 0)
    """
    tables = TABLES


class ExpectOneRowPerUserAndDate(BorderExpectation):
    """A doubled user counts twice in every model and share."""

    sentence = "one row per user_key and as_of_date"
    query = """
        select k.table_name, null as file_id, k.as_of_date || ': ' || count(*) || ' users doubled' as observed
        from (
            select table_name, as_of_date, user_key from user_row, batch as b
            group by table_name, as_of_date, user_key having count(*) > 1
        ) as k
        group by k.table_name, k.as_of_date
    """
    tables = TABLES
    column = "user_key"


class ExpectSameUsersInFeaturesAndSequences(BorderExpectation):
    """Rivals are compared on the same rows, so each user needs both."""

    sentence = "features and sequences speak of the same users on the same dates"
    query = """
        select coalesce(f.missing_in, s.missing_in) as table_name, null as file_id,
            coalesce(f.as_of_date, s.as_of_date) || ': ' || count(*) || ' users missing' as observed
        from batch as b, (
            select distinct as_of_date, user_key, 'fct_user_sequences' as missing_in
            from user_row where table_name = 'fct_user_features'
        ) as f
        full outer join (
            select distinct as_of_date, user_key, 'fct_user_features' as missing_in
            from user_row where table_name = 'fct_user_sequences'
        ) as s on s.user_key = f.user_key and s.as_of_date = f.as_of_date
        where f.user_key is null or s.user_key is null
        group by all
    """
    tables = (FEATURES, SEQUENCES)
    column = "user_key"


class ExpectUsersToScore(BorderExpectation):
    """Nobody to score means that something before broke, not that the shop is empty."""

    sentence = "there is at least one user on the as_of_date"
    query = """
        select t.table_name, null as file_id, 'no row on ' || b.as_of_date as observed
        from batch as b, (values ('fct_user_features'), ('fct_user_sequences')) as t (table_name)
        where not exists (
            select 1 from user_row as u where u.table_name = t.table_name and u.as_of_date = b.as_of_date
        )
    """
    tables = (FEATURES, SEQUENCES)


class ExpectAllCutsPresent(BorderExpectation):
    """Training needs both of its cuts, in every table."""

    sentence = "the rows of each cut that the manifest names are there"
    query = """
        select t.table_name, null as file_id, c.cut || ' cut ' || c.cut_date || ' has no row' as observed
        from batch as b, cut as c, table_fact as t
        where c.cut <> 'score' and not exists (
            select 1 from user_row as u where u.table_name = t.table_name and u.as_of_date = c.cut_date
        )
    """
    subjects = """
        select t.table_name, case when (select count(*) from cut where cut <> 'score') = 0
            then 'no train and test cut: the history is too short for any horizon' end as reason
        from table_fact as t
    """
    column = "as_of_date"


class ExpectListsOfEqualLength(BorderExpectation):
    """Lists that slip pair an amount with another event's product."""

    sentence = "all lists of a sequence are as long as its event_count"
    query = """
        select 'fct_user_sequences' as table_name, null as file_id,
            s.as_of_date || ': ' || count(*) || ' users' as observed
        from batch as b, fct_user_sequences as s
        where not coalesce(
            len(s.event_types) = s.event_count and len(s.texts) = s.event_count
            and len(s.product_ids) = s.event_count and len(s.categories) = s.event_count
            and len(s.channels) = s.event_count and len(s.gap_seconds) = s.event_count
            and len(s.hours_of_week) = s.event_count and len(s.amounts) = s.event_count
            and len(s.quantities) = s.event_count, false)
        group by s.as_of_date
    """
    tables = (SEQUENCES,)
    column = "event_count"


class ExpectSequencesInRange(BorderExpectation):
    """Bounds of what an encoder has an embedding for."""

    sentence = "sequences have at most 64 events, no negative gap, and hours from 0 to 167"
    query = """
        select 'fct_user_sequences' as table_name, null as file_id,
            s.as_of_date || ': ' || count(*) || ' users' as observed
        from batch as b, fct_user_sequences as s
        where s.event_count > b.max_sequence_length
            or list_min(s.gap_seconds) < 0
            or list_min(s.hours_of_week) < 0
            or list_max(s.hours_of_week) > b.max_hour_of_week
        group by s.as_of_date
    """
    tables = (SEQUENCES,)


class ExpectNoEventAfterAsOf(BorderExpectation):
    """A feature from the future makes every evaluation a lie."""

    sentence = "no event lies after the end of its as_of_date in the shop's time zone"
    query = """
        select 'fct_user_sequences' as table_name, null as file_id,
            s.as_of_date || ': ' || count(*) || ' users with a later event' as observed
        from batch as b, fct_user_sequences as s
        join day_end as e on e.as_of_date = s.as_of_date
        where s.last_event_at >= e.ends_at
        group by s.as_of_date
    """
    tables = (SEQUENCES,)
    column = "last_event_at"


class ExpectFeaturesInRange(BorderExpectation):
    """Shares between zero and one, counts and days not negative, stars from one to five."""

    sentence = "shares lie in [0, 1], counts and days are not negative, review scores in [1, 5]"
    query = """
        select 'fct_user_features' as table_name, null as file_id,
            f.column_name || ' on ' || f.as_of_date || ': ' || f.low || ' to ' || f.high as observed
        from batch as b, column_fact as f
        where not f.is_previous and (
            (regexp_matches(f.column_name, '_share$') and (f.low < 0 or f.high > 1))
            or (regexp_matches(f.column_name, '(_count|_days)(_|$)') and f.low < 0)
            or (f.column_name = 'review_score_avg' and (f.low < 1 or f.high > 5))
            or f.high = 'inf'::double or f.low = '-inf'::double or isnan(f.high)
        )
    """
    tables = (FEATURES,)


class ExpectWindowsToNest(BorderExpectation):
    """What happened in the last 7 days also happened in the last 30."""

    sentence = "counts of shorter windows do not exceed those of longer ones, recency not tenure"
    query = """
        select 'fct_user_features' as table_name, null as file_id,
            f.as_of_date || ': ' || count(*) || ' users' as observed
        from batch as b, fct_user_features as f
        where f.order_count_last_7_days > f.order_count_last_30_days
            or f.order_count_last_30_days > f.order_count_last_90_days
            or f.order_count_last_90_days > f.order_count
            or f.event_count_last_7_days > f.event_count_last_30_days
            or f.event_count_last_30_days > f.event_count_last_90_days
            or f.event_count_last_90_days > f.event_count
            or f.recency_days > f.tenure_days
        group by f.as_of_date
    """
    tables = (FEATURES,)


class ExpectLabelsOnlyFromClosedHorizons(BorderExpectation):
    """A label of a horizon that still runs is too low, and one of the score date is a leak."""

    sentence = "labels are set where the horizon has ended by the as_of_date, and nowhere else"
    query = """
        select 'fct_user_labels' as table_name, null as file_id,
            l.as_of_date || ': ' || count(*) || ' users' as observed
        from batch as b, fct_user_labels as l
        where (l.is_buyer is not null) <> (l.as_of_date + l.horizon_days <= b.as_of_date)
        group by l.as_of_date
    """
    tables = (LABELS,)
    column = "is_buyer"


class ExpectEnoughPositives(BorderExpectation):
    """With too few, the simple score serves, and the tables say so."""

    sentence = "each cut has at least 100 users of high value"
    query = """
        select 'fct_user_labels' as table_name, null as file_id,
            c.cut || ' cut ' || c.cut_date || ': ' || count(*) filter (where l.is_high_value) || ' of '
            || count(l.user_key) || ' users: too few' as observed
        from batch as b, cut as c left join fct_user_labels as l on l.as_of_date = c.cut_date
        where c.cut <> 'score'
        group by c.cut, c.cut_date
        having count(*) filter (where l.is_high_value) < any_value(b.min_positives)
    """
    subjects = """
        select 'fct_user_labels' as table_name, case when (select count(*) from cut where cut <> 'score') = 0
            then 'no train and test cut: the history is too short for any horizon' end as reason
    """
    column = "is_high_value"
    level = "warning"


class ExpectMissingSharesNearThePrevious(BorderExpectation):
    """A source that went silent shows as a column that is suddenly null."""

    sentence = "the share of missing values per feature stays within 25 points of the previous snapshot"
    query = """
        select 'fct_user_features' as table_name, null as file_id,
            n.column_name || ': ' || round(n.missing_share, 3) || ' missing, previously '
            || round(p.missing_share, 3) as observed
        from batch as b, column_fact as n
        join column_fact as p on p.column_name = n.column_name and p.is_previous
        where not n.is_previous and n.as_of_date = b.as_of_date
            and n.row_count >= b.min_users_for_shares and p.row_count >= b.min_users_for_shares
            and abs(n.missing_share - p.missing_share) > b.max_missing_shift
    """
    subjects = """
        select 'fct_user_features' as table_name, case
            when b.previous_as_of_date is null then 'no snapshot of the ' || b.max_previous_age_days || ' days before'
        end as reason
        from border as b
    """


class ExpectNoIdentifyingColumn(BorderExpectation):
    """Models know people by pseudonym only."""

    sentence = "no column is named like something that identifies a person, and user_key is a pseudonym"
    query = """
        select c.table_name, null as file_id, c.column_name || ' is named like ' || w.word as observed
        from batch as b, column_name as c
        join identifying_word as w on c.column_name = w.word or ends_with(c.column_name, '_' || w.word)
        union all
        select u.table_name, null, count(*) || ' rows whose user_key is no pseudonym'
        from user_row as u where length(u.user_key) <> 64 or not regexp_matches(u.user_key, '^[0-9a-f]+$')
        group by u.table_name
    """
    tables = TABLES


EXPECTATIONS: tuple[type[BorderExpectation], ...] = (
    ExpectSnapshotToBeComplete,
    ExpectOneRowPerUserAndDate,
    ExpectSameUsersInFeaturesAndSequences,
    ExpectUsersToScore,
    ExpectAllCutsPresent,
    ExpectListsOfEqualLength,
    ExpectSequencesInRange,
    ExpectNoEventAfterAsOf,
    ExpectFeaturesInRange,
    ExpectWindowsToNest,
    ExpectLabelsOnlyFromClosedHorizons,
    ExpectEnoughPositives,
    ExpectMissingSharesNearThePrevious,
    ExpectNoIdentifyingColumn,
)


def prepare(connection: duckdb.DuckDBPyConnection, paths: ShopPaths, snapshot: Snapshot) -> None:
    """Lay out the facts of a snapshot and of the one before it."""
    as_of = date.fromisoformat(snapshot.manifest["as_of_date"])
    previous = _previous(paths, as_of)
    create_header(connection, THRESHOLDS, as_of_date=as_of, previous_as_of_date=previous and previous[0])
    _open_tables(connection, snapshot.folder)
    _write_manifest(connection, snapshot.manifest)
    _write_day_ends(connection, shops.load(paths.shop))
    write_identifying_words(connection)
    _write_columns(connection, FEATURES, is_previous=False)
    if previous:
        connection.execute("set variable previous_features = ?", [str(previous[1] / f"{FEATURES}.parquet")])
        connection.execute(
            "create temp view previous_features as select f.* "
            "from read_parquet(getvariable('previous_features')) as f, border as b "
            "where f.as_of_date = b.previous_as_of_date"
        )
        _write_columns(connection, "previous_features", is_previous=True)


def _previous(paths: ShopPaths, as_of: date) -> tuple[date, Path] | None:
    """Find the newest earlier snapshot, unless it is too old to tell of a sudden change."""
    oldest = as_of - timedelta(days=THRESHOLDS["max_previous_age_days"])
    found = [
        (day, link.resolve())
        for link in paths.snapshots.glob("latest-*")
        if oldest <= (day := date.fromisoformat(link.name.removeprefix("latest-"))) < as_of
    ]
    return max(found, default=None)


def _open_tables(connection: duckdb.DuckDBPyConnection, folder: Path) -> None:
    connection.execute("create temp table table_fact (table_name varchar, row_count bigint)")
    connection.execute("create temp table column_name (table_name varchar, column_name varchar)")
    for table in TABLES:
        connection.execute(f'set variable "{table}" = ?', [str(folder / f"{table}.parquet")])
        connection.execute(
            f"create temp view \"{table}\" as select * from read_parquet(getvariable('{table}'))"
        )
        connection.execute(f'insert into table_fact select ?, count(*) from "{table}"', [table])
        connection.execute(
            f'insert into column_name select ?, column_name from (describe "{table}")', [table]
        )
    rows = " union all ".join(
        f"select '{table}' as table_name, as_of_date, user_key from \"{table}\"" for table in TABLES
    )
    connection.execute(f"create temp view user_row as {rows}")


def _write_manifest(connection: duckdb.DuckDBPyConnection, manifest: Mapping[str, Any]) -> None:
    connection.execute("create temp table cut (cut varchar, cut_date date)")
    connection.execute("create temp table manifest_table (table_name varchar, row_count bigint)")
    insert_rows(connection, "cut", [(cut, day) for cut, day in manifest["cuts"].items() if day])
    insert_rows(
        connection, "manifest_table", [(table, manifest["tables"][table]["rows"]) for table in TABLES]
    )


def _write_day_ends(connection: duckdb.DuckDBPyConnection, shop: shops.Shop) -> None:
    """Say in UTC when each as_of_date ends in the shop's time zone: the next one's first instant."""
    connection.execute("create temp table day_end (as_of_date date, ends_at timestamp)")
    days = [day for (day,) in connection.execute("select distinct as_of_date from user_row").fetchall()]
    insert_rows(connection, "day_end", [(day, _end_of(day, shop)) for day in days])


def _end_of(day: date, shop: shops.Shop) -> datetime:
    midnight = datetime.combine(day + timedelta(days=1), time(), tzinfo=shop.zone)
    return midnight.astimezone(UTC).replace(tzinfo=None)


def _write_columns(connection: duckdb.DuckDBPyConnection, relation: str, is_previous: bool) -> None:
    """Measure every column of the features: rows, missing share, and range where it has numbers."""
    connection.execute(
        "create table if not exists temp.column_fact (is_previous boolean, column_name varchar, as_of_date date, "
        "row_count bigint, missing_share double, low double, high double)"
    )
    for column, kind in _columns(connection, relation):
        low, high = (
            (f'min("{column}")::double', f'max("{column}")::double') if _is_number(kind) else ("null", "null")
        )
        connection.execute(
            f"insert into column_fact select ?, ?, as_of_date, count(*), "
            f'avg(("{column}" is null)::int), {low}, {high} from "{relation}" group by as_of_date',
            [is_previous, column],
        )


def _columns(connection: duckdb.DuckDBPyConnection, relation: str) -> Sequence[tuple[str, str]]:
    described = connection.execute(f'select column_name, column_type from (describe "{relation}")').fetchall()
    return [(name, kind) for name, kind in described if name not in ("user_key", "as_of_date")]


def _is_number(kind: str) -> bool:
    return kind.startswith(
        ("DECIMAL", "DOUBLE", "FLOAT", "BIGINT", "INTEGER", "SMALLINT", "TINYINT", "HUGEINT")
    )

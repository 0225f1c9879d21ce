"""The border ``ml_inputs``: the Parquet snapshot, before a model learns from it or scores it.

One row per user and as_of_date, for the score date and the two cuts that training needs.
What dbt's contract and tests already hold (names, types, keys within a build) is not
repeated, except where a wrong snapshot would make a model that looks right and is not:
a leak from the future, a missing cut, lists that slip against one another.
"""

from __future__ import annotations

from expectations.ml_inputs_facts import FEATURES, LABELS, SEQUENCES, TABLES
from expectations.rules import BorderExpectation


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
        from batch as b, (
            select table_name, as_of_date, user_key from user_row
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
        select m.table_name, null as file_id, m.as_of_date || ': ' || count(*) || ' users missing' as observed
        from batch as b, (
            select coalesce(f.missing_in, s.missing_in) as table_name,
                coalesce(f.as_of_date, s.as_of_date) as as_of_date
            from (
                select distinct as_of_date, user_key, 'fct_user_sequences' as missing_in
                from user_row where table_name = 'fct_user_features'
            ) as f
            full outer join (
                select distinct as_of_date, user_key, 'fct_user_features' as missing_in
                from user_row where table_name = 'fct_user_sequences'
            ) as s on s.user_key = f.user_key and s.as_of_date = f.as_of_date
            where f.user_key is null or s.user_key is null
        ) as m
        group by m.table_name, m.as_of_date
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
        from batch as b, (
            -- A window is no measure: refunds alone in 30 days are a negative amount.
            select *, regexp_replace(column_name, '_last_[0-9]+_days$', '') as window_free_name
            from column_fact
        ) as f
        where not f.is_previous and (
            (regexp_matches(f.column_name, '_share$') and (f.low < 0 or f.high > 1))
            or (regexp_matches(f.window_free_name, '(_count|_days)$|^days_') and f.low < 0)
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
            when b.previous_as_of_date is null
                then 'no snapshot of the ' || b.max_previous_age_days || ' days before'
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

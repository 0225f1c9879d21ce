"""The border ``bi``: the segment tables in the working warehouse, before they are published.

Judged is the as_of_date at hand, on the connection that holds the warehouse's lock, reading
only. If anything fails, nothing is published and readers keep the version they have.
"""

from __future__ import annotations

from expectations.rules import BorderExpectation

NO_PREVIOUS = """
select table_name, case when b.previous_as_of_date is null
    then 'no snapshot of the ' || b.max_previous_age_days || ' days before' end as reason
from border as b, (values ('user_segment_daily')) as t (table_name)
"""


class ExpectEveryEligibleUserInEachScheme(BorderExpectation):
    """The analysts' first check: nobody is lost between the models and the table."""

    sentence = "each scheme has exactly the eligible users of the as_of_date"
    query = """
        select 'user_segment_daily' as table_name, null as file_id,
            s.scheme || ': ' || count(*) filter (where u.user_key is null) || ' eligible users missing, '
            || count(*) filter (where e.user_key is null) || ' users too many' as observed
        from batch as b, (
            select scheme.scheme, eligible.user_key
            from eligible cross join (select distinct scheme from segment_now) as scheme
        ) as e
        full outer join (select distinct scheme, user_key from segment_now) as u
            on u.scheme = e.scheme and u.user_key = e.user_key
        cross join lateral (select coalesce(e.scheme, u.scheme) as scheme) as s
        where e.user_key is null or u.user_key is null
        group by s.scheme
    """
    tables = ("user_segment_daily",)
    column = "user_key"


class ExpectSegmentsForTheAsOfDate(BorderExpectation):
    """An empty day would pass every other check."""

    sentence = "the schemes rfm and lifecycle, which need no model, have rows on the as_of_date"
    query = """
        select 'user_segment_daily' as table_name, null as file_id,
            t.scheme || ': no row on ' || b.as_of_date as observed
        from batch as b, (values ('rfm'), ('lifecycle')) as t (scheme)
        where not exists (select 1 from segment_now as s where s.scheme = t.scheme)
    """
    tables = ("user_segment_daily",)
    column = "as_of_date"


class ExpectOneSegmentPerUserAndScheme(BorderExpectation):
    """Twice in a scheme is in two groups at once."""

    sentence = "one row per as_of_date, user_key and scheme"
    query = """
        select 'user_segment_daily' as table_name, null as file_id,
            d.scheme || ': ' || count(*) || ' users doubled' as observed
        from batch as b, (
            select scheme, user_key from segment_now group by scheme, user_key having count(*) > 1
        ) as d
        group by d.scheme
    """
    tables = ("user_segment_daily",)
    column = "user_key"


class ExpectEverySegmentDefined(BorderExpectation):
    """A code without a definition is an unnamed cluster."""

    sentence = "every segment_code is in dim_segment, valid on the as_of_date"
    query = """
        select 'user_segment_daily' as table_name, null as file_id,
            s.scheme || '/' || s.segment_code || ': ' || count(*) || ' users' as observed
        from batch as b, segment_now as s
        where not exists (
            select 1 from bi.dim_segment as d
            where d.scheme = s.scheme and d.segment_code = s.segment_code
                and d.valid_from <= b.as_of_date and (d.valid_to is null or d.valid_to > b.as_of_date)
        )
        group by s.scheme, s.segment_code
    """
    tables = ("user_segment_daily",)
    column = "segment_code"


class ExpectNamesInBothLanguages(BorderExpectation):
    """A team acts on names."""

    sentence = "every segment has an English and a Chinese name"
    query = """
        select 'dim_segment' as table_name, null as file_id, d.scheme || '/' || d.segment_code as observed
        from batch as b, bi.dim_segment as d
        where coalesce(trim(d.segment_name_en), '') = '' or coalesce(trim(d.segment_name_zh), '') = ''
    """
    tables = ("dim_segment",)
    column = "segment_name_en, segment_name_zh"


class ExpectProfilesToCountEveryUser(BorderExpectation):
    """Figures that disagree between tables cost the trust in all of them."""

    sentence = "the users of a scheme's profiles sum to its users in user_segment_daily"
    query = """
        select 'segment_profile_daily' as table_name, null as file_id,
            coalesce(p.scheme, s.scheme) || ': profiles ' || coalesce(p.users, 0)
            || ' users, user_segment_daily ' || coalesce(s.users, 0) as observed
        from batch as b, (select scheme, sum(users) as users from profile_now group by scheme) as p
        full outer join (select scheme, count(*) as users from segment_now group by scheme) as s
            on s.scheme = p.scheme
        where p.users is distinct from s.users
    """
    tables = ("segment_profile_daily",)
    column = "users"


class ExpectSharesToSumToOne(BorderExpectation):
    """Shares that do not add up were computed over different totals."""

    sentence = "user_share and revenue_share of a scheme each sum to 1"
    query = """
        select 'segment_profile_daily' as table_name, null as file_id,
            p.scheme || ': users ' || round(sum(p.user_share), 6)
            || ', revenue ' || coalesce(round(sum(p.revenue_share), 6)::varchar, 'unknown') as observed
        from batch as b, profile_now as p
        group by p.scheme
        having abs(sum(p.user_share) - 1) > any_value(b.share_tolerance)
            or abs(sum(p.revenue_share) - 1) > any_value(b.share_tolerance)
    """
    tables = ("segment_profile_daily",)
    column = "user_share, revenue_share"


class ExpectScoresInRange(BorderExpectation):
    """A score is a probability, a decile one of ten."""

    sentence = "score and percentile lie in [0, 1], decile in 1 to 10"
    query = """
        select 'user_score_daily' as table_name, null as file_id,
            s.score_name || ': ' || count(*) || ' users' as observed
        from batch as b, score_now as s
        where not coalesce(s.score between 0 and 1, false)
            or not coalesce(s.percentile between 0 and 1, true)
            or not coalesce(s.decile between 1 and 10, true)
        group by s.score_name
    """
    subjects = """
        select 'user_score_daily' as table_name,
            case when not exists (select 1 from score_now) then 'no score on this as_of_date' end as reason
    """
    column = "score"


class ExpectEveryEligibleUserScored(BorderExpectation):
    """Who has no score is in no audience, and nobody notices."""

    sentence = "each score has exactly one row per eligible user"
    query = """
        select 'user_score_daily' as table_name, null as file_id,
            n.score_name || ': ' || n.users || ' users in ' || n.row_count
            || ' rows, eligible ' || e.users as observed
        from batch as b, (
            select s.score_name, count(*) as row_count, count(distinct s.user_key) as users,
                count(distinct s.user_key) filter (where e.user_key is not null) as eligible_users
            from score_now as s left join eligible as e on e.user_key = s.user_key
            group by s.score_name
        ) as n
        cross join (select count(*) as users from eligible) as e
        where n.row_count <> e.users or n.eligible_users <> e.users
    """
    subjects = ExpectScoresInRange.subjects
    column = "user_key"


class ExpectUserCountsNearThePrevious(BorderExpectation):
    """Half the users gone overnight is a broken join before it is a trend."""

    sentence = "a scheme's users stay within half and twice of the previous snapshot"
    query = """
        select 'user_segment_daily' as table_name, null as file_id,
            n.scheme || ': ' || n.users || ' users, previously ' || p.users as observed
        from batch as b, (select scheme, count(*) as users from segment_now group by scheme) as n
        join (select scheme, count(*) as users from segment_previous group by scheme) as p
            on p.scheme = n.scheme
        where n.users > b.max_user_ratio * p.users or n.users * b.max_user_ratio < p.users
    """
    subjects = NO_PREVIOUS


class ExpectStableSegmentShares(BorderExpectation):
    """People move slowly; segments that move fast ask for a look."""

    sentence = "the population stability index of a scheme against the previous snapshot is at most 0.25"
    query = """
        select 'user_segment_daily' as table_name, null as file_id,
            x.scheme || ': PSI ' || round(x.psi, 3) as observed
        from batch as b, (
            select coalesce(n.scheme, p.scheme) as scheme,
                sum((coalesce(n.share, h.psi_floor) - coalesce(p.share, h.psi_floor))
                    * ln(coalesce(n.share, h.psi_floor) / coalesce(p.share, h.psi_floor))) as psi
            from (
                select scheme, segment_code, count(*) / sum(count(*)) over (partition by scheme) as share
                from segment_now group by scheme, segment_code
            ) as n
            full outer join (
                select scheme, segment_code, count(*) / sum(count(*)) over (partition by scheme) as share
                from segment_previous group by scheme, segment_code
            ) as p on p.scheme = n.scheme and p.segment_code = n.segment_code
            cross join border as h
            where coalesce(n.scheme, p.scheme) in (select scheme from segment_previous)
                and coalesce(n.scheme, p.scheme) in (select scheme from segment_now)
            group by 1
        ) as x
        where x.psi > b.max_psi
    """
    subjects = NO_PREVIOUS
    column = "segment_code"
    level = "warning"


class ExpectCohortMoneyToAgreeWithCore(BorderExpectation):
    """Revenue by cohort is the revenue of all identified customers, to the cent."""

    sentence = "net revenue over all cohorts is that of core.fct_events with a customer, to the cent"
    query = """
        select 'customer_cohort_monthly' as table_name, null as file_id,
            'cohorts ' || c.amount || ', core ' || e.amount as observed
        from batch as b, (
            select coalesce(sum(net_revenue_amount), 0) as amount from bi.customer_cohort_monthly
        ) as c
        cross join (
            select coalesce(sum(f.net_amount), 0) as amount
            from core.fct_events as f cross join border as h
            left join intermediate.int_devices_stitched as s
                on f.user_key is null and s.device_key = f.device_key and s.as_of_date = h.as_of_date
                and f.occurred_at >= s.valid_from and f.occurred_at < s.valid_to
            where f.event_date <= h.as_of_date and coalesce(f.user_key, s.user_key) is not null
        ) as e
        where abs(c.amount - e.amount) > b.half_a_cent
            and not exists (select 1 from core.fct_events as f where f.delivered_on > b.as_of_date)
            and not exists (select 1 from bi.user_segment_daily as d where d.as_of_date > b.as_of_date)
            and exists (select 1 from intermediate.int_users_eligible as u where u.as_of_date = b.as_of_date)
    """
    subjects = """
        select 'customer_cohort_monthly' as table_name, case
            when exists (select 1 from core.fct_events as f where f.delivered_on > b.as_of_date)
                then 'core already knows later days'
            when exists (select 1 from bi.user_segment_daily as d where d.as_of_date > b.as_of_date)
                then 'the cohorts tell what a newer snapshot knows'
            when not exists (
                select 1 from intermediate.int_users_eligible as u where u.as_of_date = b.as_of_date
            ) then 'leg 1 was built for another day meanwhile'
        end as reason
        from border as b
    """
    column = "net_revenue_amount"


class ExpectProfileMoneyToAgreeWithUsers(BorderExpectation):
    """Revenue by segment is the revenue of the segment's users, to the cent."""

    sentence = "net revenue of a scheme's profiles is that of the eligible users, to the cent"
    query = """
        select 'segment_profile_daily' as table_name, null as file_id,
            p.scheme || ': profiles ' || p.amount || ', users ' || u.amount as observed
        from batch as b, (
            select scheme, sum(net_revenue_amount) as amount from profile_now group by scheme
        ) as p
        cross join (select sum(net_revenue_amount::decimal(18, 4)) as amount from eligible) as u
        where abs(p.amount - u.amount) > b.half_a_cent
    """
    tables = ("segment_profile_daily",)
    column = "net_revenue_amount"


class ExpectNoSmallGroup(BorderExpectation):
    """A figure about nine people is about people."""

    sentence = "no group of under ten users is told, but in a shop that has no more"
    query = """
        select g.table_name, null as file_id, g.told || ': ' || count(*) || ' groups under '
            || any_value(b.smallest_group) || ' users' as observed
        from batch as b, (
            select 'segment_profile_daily' as table_name, p.scheme as told, p.users,
                sum(p.users) over (partition by p.scheme) as all_users
            from profile_now as p
            union all
            select 'funnel_daily', f.scheme || ' on ' || f.date, f.users, (select count(*) from eligible)
            from bi.funnel_daily as f
            union all
            select 'customer_cohort_monthly', 'cohort ' || c.cohort_month, c.users,
                sum(c.users) filter (where c.month_number = 0) over ()
            from bi.customer_cohort_monthly as c
            union all
            select 'segment_migration', m.scheme || ' from ' || m.from_date || ' to ' || m.to_date, m.users,
                sum(m.users) over (partition by m.scheme, m.from_date, m.to_date)
            from bi.segment_migration as m
        ) as g
        where g.users < b.smallest_group and g.all_users >= b.smallest_group
        group by g.table_name, g.told
    """
    tables = ("segment_profile_daily", "funnel_daily", "customer_cohort_monthly", "segment_migration")
    column = "users"


class ExpectNoIdentifyingColumnInBi(BorderExpectation):
    """BI knows people by pseudonym only."""

    sentence = "no column of bi is named like something that identifies a person, and user_key is a pseudonym"
    query = """
        select c.table_name, null as file_id, c.column_name || ' is named like ' || w.word as observed
        from batch as b, information_schema.columns as c
        join identifying_word as w on c.column_name = w.word or ends_with(c.column_name, '_' || w.word)
        where c.table_schema = 'bi'
        union all
        select 'user_segment_daily', null, count(*) || ' rows whose user_key is no pseudonym'
        from segment_now where length(user_key) <> 64 or not regexp_matches(user_key, '^[0-9a-f]+$')
        having count(*) > 0
    """
    tables = ("user_segment_daily",)


EXPECTATIONS: tuple[type[BorderExpectation], ...] = (
    ExpectSegmentsForTheAsOfDate,
    ExpectEveryEligibleUserInEachScheme,
    ExpectOneSegmentPerUserAndScheme,
    ExpectEverySegmentDefined,
    ExpectNamesInBothLanguages,
    ExpectProfilesToCountEveryUser,
    ExpectSharesToSumToOne,
    ExpectScoresInRange,
    ExpectEveryEligibleUserScored,
    ExpectUserCountsNearThePrevious,
    ExpectStableSegmentShares,
    ExpectCohortMoneyToAgreeWithCore,
    ExpectProfileMoneyToAgreeWithUsers,
    ExpectNoSmallGroup,
    ExpectNoIdentifyingColumnInBi,
)

{{ config(materialized='incremental', pre_hook="{{ forget_restated_day() }}") }}
{%- set k = var('smallest_group') %}

-- What published scores came to, once a day's horizon has closed: the day's scores beside what the same users then did,
-- and beside the simplest rival, what they had spent in the equally long window before. Devices tell whom they tell now.
with
find_closed_days as (
    select
        as_of_date,
        max(horizon_days) as horizon_days,
        cast({{ dbt.dateadd('day', 'max(horizon_days)', 'as_of_date') }} as date) as ends_on,
        cast({{ dbt.dateadd('day', 'max(horizon_days) + ' ~ var('refund_days'), 'as_of_date') }} as date) as closes_on,
        cast({{ dbt.dateadd('day', '-max(horizon_days)', 'as_of_date') }} as date) as starts_after
    from {{ ref('user_score_daily') }}
    where score_name = 'high_value' and horizon_days > 0
    group by as_of_date
),

list_horizons as (
    select *
    from find_closed_days
    where
        closes_on <= {{ as_of_date() }}
        {%- if is_incremental() %}
        and as_of_date not in (select told.as_of_date from {{ this }} as told)
        {%- endif %}
),

{{ sum_outcomes("date '9999-12-31'") }},

sum_window as (
    select
        horizons.as_of_date,
        coalesce(events.user_key, devices.user_key, events.device_key) as user_key,
        sum(events.net_amount) as net_revenue_amount,
        count(distinct case when events.event_type in ('purchase', 'order') then events.order_id end) as order_count
    from {{ ref('int_events_merged') }} as events
    inner join list_horizons as horizons
        on
            events.event_date > horizons.starts_after
            and events.event_date <= horizons.as_of_date
            and {{ is_known_as_of('events', 'horizons.as_of_date') }}
    left join {{ ref('int_devices_stitched') }} as devices
        on {{ is_told_by_device("date '9999-12-31'") }}
    where events.source_table <> 'events'
    group by horizons.as_of_date, coalesce(events.user_key, devices.user_key, events.device_key)
),

{{ threshold_of('sum_window') }},

judge_users as (
    select
        scores.as_of_date,
        scores.user_key,
        scores.score_name,
        scores.model_name,
        scores.model_version,
        horizons.horizon_days,
        horizons.closes_on,
        scores.score,
        case
            when thresholds.threshold_basis = 'orders' then coalesce(past.order_count, 0)
            else coalesce(past.net_revenue_amount, 0)
        end as rival,
        case
            when thresholds.threshold_basis = 'orders' then coalesce(outcomes.order_count, 0)
            else coalesce(outcomes.net_revenue_amount, 0)
        end >= thresholds.threshold_amount as is_positive
    from {{ ref('user_score_daily') }} as scores
    inner join list_horizons as horizons on scores.as_of_date = horizons.as_of_date
    inner join choose_basis as thresholds on scores.as_of_date = thresholds.as_of_date
    left join sum_outcomes as outcomes
        on scores.as_of_date = outcomes.as_of_date and scores.user_key = outcomes.user_key
    left join sum_window as past on scores.as_of_date = past.as_of_date and scores.user_key = past.user_key
    where scores.score_name = 'high_value'
),

{{ find_treated('list_horizons') }},

mark_treated as (
    select
        users.*,
        find_treated.user_key is not null as is_treated,
        count(find_treated.user_key) over (partition by users.as_of_date) as treated_users
    from judge_users as users
    left join find_treated
        on users.as_of_date = find_treated.as_of_date and users.user_key = find_treated.user_key
),

count_segments as (
    select
        users.as_of_date,
        segments.scheme,
        segments.segment_code,
        count(*) as users
    from judge_users as users
    inner join {{ ref('user_segment_daily') }} as segments
        on users.as_of_date = segments.as_of_date and users.user_key = segments.user_key
    group by users.as_of_date, segments.scheme, segments.segment_code
),

{{ fold_small('count_segments', 'segment_code', ['as_of_date', 'scheme']) }},

-- Told twice are days on which ten were treated at least: the difference would tell of fewer.
group_users as (
    select
        *,
        'all' as population,
        'all' as scheme,
        'all' as segment_code,
        'All users' as segment_name_en,
        '全部用户' as segment_name_zh
    from mark_treated
    union all
    select
        *,
        'untreated' as population,
        'all' as scheme,
        'all' as segment_code,
        'All users' as segment_name_en,
        '全部用户' as segment_name_zh
    from mark_treated
    where not is_treated and treated_users >= {{ k }}
    union all
    select
        users.*,
        'all' as population,
        segments.scheme,
        folds.folded_segment_code as segment_code,
        segments.segment_name_en,
        segments.segment_name_zh
    from mark_treated as users
    inner join {{ ref('user_segment_daily') }} as segments
        on users.as_of_date = segments.as_of_date and users.user_key = segments.user_key
    inner join fold_segment_code as folds
        on
            segments.as_of_date = folds.as_of_date
            and segments.scheme = folds.scheme
            and segments.segment_code = folds.segment_code
),

-- Ranks from the lowest, shared by equal scores, among all and among those of one outcome.
rank_users as (
    select
        *,
        {%- for measure, by in [('score', 'score'), ('rival', 'rival')] %}
        rank() over (same_group order by {{ by }})
        + (count(*) over (partition by as_of_date, population, scheme, segment_code, {{ by }}) - 1) / 2.0 as {{ measure }}_rank,
        rank() over (same_outcome order by {{ by }})
        + (count(*) over (partition by as_of_date, population, scheme, segment_code, is_positive, {{ by }}) - 1) / 2.0
            as {{ measure }}_rank_in_outcome,
        {%- endfor %}
        count(*) over same_group as n,
        count(*) filter (where is_positive) over same_group as n_positive,
        count(*) over (same_group order by score desc) as seen_count,
        count(*) filter (where is_positive) over (same_group order by score desc) as seen_positive_count,
        ntile(10) over (same_group order by score desc, user_key) as tenth
    from group_users
    window
        same_group as (partition by as_of_date, population, scheme, segment_code),
        same_outcome as (partition by as_of_date, population, scheme, segment_code, is_positive)
),

-- A user's placement: the share of users of the other outcome with a lower score (DeLong, DeLong and Clarke-Pearson 1988).
place_users as (
    select
        *,
        {%- for measure in ['score', 'rival'] %}
        cast(
            ({{ measure }}_rank - {{ measure }}_rank_in_outcome)
            / nullif(case when is_positive then n - n_positive else n_positive end, 0)
            as decimal(18, 9)
        ) as {{ measure }}_placement{{ ',' if not loop.last }}
        {%- endfor %}
    from rank_users
),

sum_tenths as (
    select
        as_of_date,
        population,
        scheme,
        segment_code,
        tenth,
        count(*) as user_count,
        abs(
            sum(cast(score as decimal(18, 9))) - count(*) filter (where is_positive)
        ) as distance
    from place_users
    group by as_of_date, population, scheme, segment_code, tenth
),

sum_calibration as (
    select
        as_of_date,
        population,
        scheme,
        segment_code,
        {{ safe_divide('sum(distance)', 'sum(user_count)') }} as calibration_error
    from sum_tenths
    group by as_of_date, population, scheme, segment_code
),

sum_groups as (
    select
        score_name,
        as_of_date,
        population,
        scheme,
        segment_code,
        max(model_name) as model_name,
        max(model_version) as model_version,
        max(horizon_days) as horizon_days,
        max(closes_on) as closes_on,
        {{ folded_names('segment_code') }},
        max(n) as n,
        max(n_positive) as n_positive,
        {{ safe_divide('sum(score_placement) filter (where is_positive)', 'max(n_positive)') }} as auc,
        {{ safe_divide('sum(rival_placement) filter (where is_positive)', 'max(n_positive)') }} as rival_auc,
        sqrt(
            {{ safe_divide('var_samp(score_placement) filter (where is_positive)', 'max(n_positive)') }}
            + {{ safe_divide('var_samp(score_placement) filter (where not is_positive)', 'max(n) - max(n_positive)') }}
        ) as auc_error,
        {{ safe_divide(
            'sum(cast(cast(seen_positive_count as double) / seen_count as decimal(18, 9))) filter (where is_positive)',
            'max(n_positive)'
        ) }} as pr_auc,
        {{ safe_divide(
            'sum(cast((score - case when is_positive then 1 else 0 end) '
            ~ '* (score - case when is_positive then 1 else 0 end) as decimal(18, 9)))',
            'count(*)'
        ) }} as brier,
        {{ safe_divide(
            'count(*) filter (where is_positive and tenth = 1) * cast(max(n) as double)',
            'count(*) filter (where tenth = 1) * max(n_positive)'
        ) }} as lift_top_decile
    from place_users
    group by score_name, as_of_date, population, scheme, segment_code
),

-- Of a group in which few did, or did not, the outcomes are not told; nor of another, or it would be what is left over.
find_few as (
    select
        *,
        n_positive between 1 and {{ k - 1 }}
        or n - n_positive between 1 and {{ k - 1 }}
        or max(n_positive) over same_group - n_positive between 1 and {{ k - 1 }} and population <> 'all' as is_few
    from sum_groups
    window same_group as (partition by as_of_date, scheme, segment_code)
),

count_few as (
    select
        *,
        count(*) filter (where is_few) over same_scheme as few_groups,
        sum(case when is_few then n_positive else 0 end) over same_scheme as few_positive,
        sum(case when is_few then n - n_positive else 0 end) over same_scheme as few_negative,
        row_number() over (
            partition by as_of_date, scheme, is_few or n_positive < {{ k }} order by n_positive, segment_code
        ) as place
    from find_few
    window same_scheme as (partition by as_of_date, scheme)
),

hide_few as (
    select
        *,
        is_few or (
            scheme <> 'all' and n_positive >= {{ k }} and place = 1
            and few_groups > 0 and (few_groups = 1 or least(few_positive, few_negative) < {{ k }})
        ) as is_hidden
    from count_few
),

tell_enough as (
    select
        groups.score_name,
        groups.model_name,
        groups.model_version,
        groups.as_of_date,
        groups.scheme,
        groups.segment_code,
        groups.segment_name_en,
        groups.segment_name_zh,
        cast(groups.horizon_days as integer) as horizon_days,
        groups.closes_on,
        groups.n,
        case when not groups.is_hidden then groups.n_positive end as n_positive,
        {%- for measure, told in [
            ('auc', 'groups.auc'),
            ('auc_ci_low', 'greatest(0.0, groups.auc - 1.96 * groups.auc_error)'),
            ('auc_ci_high', 'least(1.0, groups.auc + 1.96 * groups.auc_error)'),
            ('pr_auc', 'groups.pr_auc'), ('brier', 'groups.brier'), ('lift_top_decile', 'groups.lift_top_decile'),
            ('calibration_error', 'calibration.calibration_error'), ('rival_auc', 'groups.rival_auc')
        ] %}
        case when not groups.is_hidden and groups.n_positive >= {{ k }} and groups.n - groups.n_positive >= {{ k }}
            then round({{ told }}, 4)
        end as {{ measure }},
        {%- endfor %}
        'past_spend' as rival_name,
        groups.population,
        '{{ var("run_id") }}' as run_id
    from hide_few as groups
    inner join sum_calibration as calibration
        on
            groups.as_of_date = calibration.as_of_date
            and groups.population = calibration.population
            and groups.scheme = calibration.scheme
            and groups.segment_code = calibration.segment_code
    where groups.n >= {{ k }}
)

select * from tell_enough

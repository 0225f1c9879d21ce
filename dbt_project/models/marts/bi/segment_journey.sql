{{ config(materialized='incremental', pre_hook="{{ forget_older_snapshot() }}") }}
{%- set days = 28 %}

-- What users of a segment do one after another. A path is of three steps that many users took, never one person's.
with
read_steps as (
    select
        events.user_key,
        events.occurred_at,
        events.row_number,
        events.event_key,
        events.event_type || coalesce(' ' || products.category, '') as step
    from {{ ref('int_events_stitched') }} as events
    inner join {{ ref('event_types') }} as event_types
        on events.event_type = event_types.event_type and event_types.is_in_sequence
    left join {{ ref('int_products_known') }} as products
        on events.as_of_date = products.as_of_date and events.product_id = products.product_id
    where
        events.as_of_date = {{ as_of_date() }}
        and {{ days_between('events.event_date', as_of_date()) }} < {{ days }}
        and {{ is_newest_snapshot() }}
),

-- Ten views in a row are one step.
drop_repeats as (
    select *
    from read_steps
    qualify coalesce(
        step <> lag(step) over (partition by user_key order by occurred_at, row_number, event_key), true
    )
),

line_up as (
    select
        user_key,
        step as last_step,
        lag(step, 1) over same_user as middle_step,
        lag(step, 2) over same_user as first_step,
        {{ seconds_between('lag(occurred_at, 1) over same_user', 'occurred_at') }} as last_gap,
        {{ seconds_between('lag(occurred_at, 2) over same_user', 'lag(occurred_at, 1) over same_user') }} as first_gap
    from drop_repeats
    window same_user as (partition by user_key order by occurred_at, row_number, event_key)
),

band_gaps as (
    select distinct
        user_key,
        first_step,
        middle_step,
        last_step,
        {{ gap_band('first_gap') }} as first_gap,
        {{ gap_band('last_gap') }} as last_gap
    from line_up
    where first_step is not null
),

count_segments as (
    select
        scheme,
        segment_code,
        count(*) as users
    from {{ ref('user_segment_daily') }}
    where as_of_date = {{ as_of_date() }}
    group by scheme, segment_code
),

-- As in the profiles: a share of a segment tells its size.
{{ fold_small('count_segments', 'segment_code', ['scheme']) }},

place_users as (
    select
        daily.user_key,
        daily.scheme,
        folds.folded_segment_code as segment_code,
        daily.segment_name_en,
        daily.segment_name_zh,
        count(*) over (partition by daily.scheme, folds.folded_segment_code) as segment_users
    from {{ ref('user_segment_daily') }} as daily
    inner join fold_segment_code as folds
        on daily.scheme = folds.scheme and daily.segment_code = folds.segment_code
    where daily.as_of_date = {{ as_of_date() }}
),

count_users as (
    select
        places.scheme,
        places.segment_code,
        paths.first_step,
        paths.first_gap,
        paths.middle_step,
        paths.last_gap,
        paths.last_step,
        {{ folded_names('places.segment_code') }},
        max(places.segment_users) as segment_users,
        count(*) as users
    from band_gaps as paths
    inner join place_users as places on paths.user_key = places.user_key
    group by
        places.scheme,
        places.segment_code,
        paths.first_step,
        paths.first_gap,
        paths.middle_step,
        paths.last_gap,
        paths.last_step
    having count(*) >= {{ var('smallest_group') }}
),

rank_paths as (
    select
        {{ as_of_date() }} as as_of_date,
        scheme,
        segment_code,
        cast(row_number() over (
            partition by scheme, segment_code
            order by users desc, first_step asc, first_gap asc, middle_step asc, last_gap asc, last_step asc
        ) as integer) as rank,
        segment_name_en,
        segment_name_zh,
        first_step,
        first_gap,
        middle_step,
        last_gap,
        last_step,
        users,
        {{ safe_divide('users', 'segment_users') }} as user_share,
        '{{ var("run_id") }}' as run_id
    from count_users
),

keep_most_frequent as (
    select *
    from rank_paths
    where rank <= 10
)

select * from keep_most_frequent

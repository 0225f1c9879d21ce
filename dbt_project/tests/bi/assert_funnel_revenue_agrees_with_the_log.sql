-- Nobody is lost between the log and the segments: every scheme's funnel brings the same money, to the cent.
with
sum_log as (
    select round(coalesce(sum(net_amount), 0), 2) as net_amount
    from {{ ref('int_events_stitched') }}
    where
        as_of_date = {{ as_of_date() }}
        and {{ days_between('event_date', as_of_date()) }} < {{ var('eligible_days') }}
),

list_schemes as (
    select distinct scheme
    from {{ ref('user_segment_daily') }}
    where as_of_date = {{ as_of_date() }}
),

sum_funnels as (
    select
        scheme,
        sum(net_revenue_amount) as net_amount
    from {{ ref('funnel_daily') }}
    group by scheme
),

find_differences as (
    select
        list_schemes.scheme,
        sum_log.net_amount as log_amount,
        sum_funnels.net_amount as funnel_amount
    from list_schemes
    cross join sum_log
    left join sum_funnels on list_schemes.scheme = sum_funnels.scheme
    where
        coalesce(sum_funnels.net_amount, 0) <> sum_log.net_amount
        and {{ is_newest_snapshot() }}
        and {{ not is_published('user_segment_daily') }}
)

select * from find_differences

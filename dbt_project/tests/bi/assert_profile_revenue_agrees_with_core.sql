-- Core shows latest knowledge, so the two are comparable when nothing was delivered after the as_of_date.
with
sum_core as (
    select round(coalesce(sum(events.net_amount), 0), 2) as net_amount
    from {{ ref('fct_events') }} as events
    inner join {{ ref('int_events_stitched') }} as stitched_events on events.event_key = stitched_events.event_key
    inner join {{ ref('int_users_eligible') }} as users
        on stitched_events.as_of_date = users.as_of_date and stitched_events.user_key = users.user_key
    where stitched_events.as_of_date = {{ as_of_date() }}
),

find_last_delivery as (
    select max(delivered_on) as delivered_on from {{ ref('fct_events') }}
),

find_differences as (
    select
        profiles.scheme,
        max(sum_core.net_amount) as core_amount,
        sum(profiles.net_revenue_amount) as profile_amount
    from {{ ref('segment_profile_daily') }} as profiles
    cross join sum_core
    cross join find_last_delivery
    where
        profiles.as_of_date = {{ as_of_date() }}
        and {{ not is_published('segment_profile_daily') }}
        and {{ is_laid_out() }}
        and find_last_delivery.delivered_on <= {{ as_of_date() }}
    group by profiles.scheme
    having max(sum_core.net_amount) <> sum(profiles.net_revenue_amount)
)

select * from find_differences

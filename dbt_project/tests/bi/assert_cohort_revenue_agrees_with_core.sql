-- To the cent: what identified customers with a sale or refund brought, as the core tells it.
with
find_customers as (
    select distinct user_key
    from {{ ref('int_events_stitched') }}
    where
        as_of_date = {{ as_of_date() }}
        and is_identified
        and event_type in ('purchase', 'order', 'refund')
),

sum_core as (
    select round(coalesce(sum(events.net_amount), 0), 2) as net_amount
    from {{ ref('fct_events') }} as events
    inner join {{ ref('int_events_stitched') }} as stitched_events on events.event_key = stitched_events.event_key
    inner join find_customers on stitched_events.user_key = find_customers.user_key
    where stitched_events.as_of_date = {{ as_of_date() }} and stitched_events.is_identified
),

sum_cohorts as (
    select coalesce(sum(net_revenue_amount), 0) as net_amount from {{ ref('customer_cohort_monthly') }}
),

find_last_delivery as (
    select max(delivered_on) as delivered_on from {{ ref('fct_events') }}
),

find_differences as (
    select
        sum_core.net_amount as core_amount,
        sum_cohorts.net_amount as cohort_amount
    from sum_core
    cross join sum_cohorts
    cross join find_last_delivery
    where
        sum_core.net_amount <> sum_cohorts.net_amount
        and {{ is_newest_snapshot() }}
        and find_last_delivery.delivered_on <= {{ as_of_date() }}
)

select * from find_differences

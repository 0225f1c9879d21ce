-- What counts as high value: the 80th percentile of what buyers spent in the equally long window before each
-- as_of_date. A number known on that day, so that a label never depends on who else bought later.
with
sum_window as (
    select
        as_of_date,
        user_key,
        sum(net_amount) as net_revenue_amount,
        count(distinct case when event_type in ('purchase', 'order') then order_id end) as order_count
    from {{ ref('int_events_stitched') }}
    where source_table <> 'events' and {{ days_between('event_date', 'as_of_date') }} < {{ var('horizon_days') or 0 }}
    group by as_of_date, user_key
),

measure_buyers as (
    select
        as_of_date,
        count(*) as buyer_count,
        percentile_cont(0.8) within group (order by net_revenue_amount) as net_revenue_threshold,
        percentile_cont(0.8) within group (order by order_count) as order_threshold
    from sum_window
    where order_count > 0
    group by as_of_date
),

-- A shop that tells no prices is measured by orders.
choose_basis as (
    select
        as_of_date,
        buyer_count,
        case when net_revenue_threshold > 0 then 'net_revenue' else 'orders' end as threshold_basis,
        cast(
            case when net_revenue_threshold > 0 then net_revenue_threshold else order_threshold end
            as decimal(18, 4)
        ) as threshold_amount
    from measure_buyers
)

select * from choose_basis

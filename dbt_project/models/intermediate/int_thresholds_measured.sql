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

{{ threshold_of('sum_window') }}

select * from choose_basis

{#-
What users spent in the horizons of `list_horizons` (as_of_date, ends_on, closes_on), as far as this build's as_of_date
knows it. Orders count that happened in the horizon; refunds too, and those of the next days unless they refund an order
from outside of it. Nothing delivered after the label closes can change it. CTEs that end with `sum_outcomes`.
-#}
{% macro sum_outcomes(devices_as_of='events.as_of_date') -%}
see_what_was_known as (
    select
        list_horizons.as_of_date,
        cast(list_horizons.ends_on as date) as ends_on,
        least(list_horizons.closes_on, date '{{ var("as_of_date") }}') as known_on,
        events.event_type,
        events.event_date,
        events.user_key,
        events.device_key,
        events.occurred_at,
        events.order_id,
        events.net_amount
    from {{ ref('int_events_merged') }} as events
    inner join list_horizons
        on
            events.event_date > list_horizons.as_of_date
            and events.event_date <= list_horizons.closes_on
            and {{ is_known_as_of('events', "least(list_horizons.closes_on, date '" ~ var('as_of_date') ~ "')") }}
    where events.event_type in ('purchase', 'order', 'order_discount', 'refund')
),

find_orders_inside as (
    select distinct
        as_of_date,
        order_id,
        true as is_inside
    from see_what_was_known
    where event_type <> 'refund' and event_date <= ends_on
),

find_known_orders as (
    select
        order_id,
        min(delivered_on) as first_delivered_on
    from {{ ref('int_events_merged') }}
    where source_table in ('orders', 'order_lines')
    group by order_id
),

keep_what_counts as (
    select events.*
    from see_what_was_known as events
    left join find_orders_inside as orders
        on events.as_of_date = orders.as_of_date and events.order_id = orders.order_id
    left join find_known_orders
        on
            events.order_id = find_known_orders.order_id
            and events.known_on >= find_known_orders.first_delivered_on
    where
        events.event_date <= events.ends_on
        or (
            events.event_type = 'refund'
            and (orders.is_inside or find_known_orders.order_id is null)
        )
),

stitch_devices as (
    select
        events.as_of_date,
        coalesce(events.user_key, devices.user_key, events.device_key) as user_key,
        events.event_type,
        events.order_id,
        events.net_amount
    from keep_what_counts as events
    left join {{ ref('int_devices_stitched') }} as devices
        on {{ is_told_by_device(devices_as_of) }}
),

sum_outcomes as (
    select
        as_of_date,
        user_key,
        cast(sum(net_amount) as decimal(18, 4)) as net_revenue_amount,
        count(distinct case when event_type in ('purchase', 'order') then order_id end) as order_count
    from stitch_devices
    where user_key is not null
    group by as_of_date, user_key
)
{%- endmacro %}

{#-
Whom a campaign contacted within the horizons of `horizons` (as_of_date, ends_on, closes_on), as far as this build's
as_of_date knows it: what they did they may have done because of it. A CTE `find_treated`.
-#}
{% macro find_treated(horizons) -%}
find_treated as (
    select distinct
        horizons.as_of_date,
        contacts.user_key
    from {{ ref('stg_shop__campaign_contacts') }} as contacts
    inner join {{ horizons }} as horizons
        on
            contacts.event_date > horizons.as_of_date
            and contacts.event_date <= horizons.ends_on
            and contacts.delivered_on <= least(horizons.closes_on, {{ as_of_date() }})
    where contacts.arm is distinct from 'control'
)
{%- endmacro %}

{#- What counts as high value: the 80th percentile of what the buyers of `rows` spent, per as_of_date. CTEs that end with
`choose_basis`. -#}
{% macro threshold_of(rows) -%}
measure_buyers as (
    select
        as_of_date,
        count(*) as buyer_count,
        percentile_cont(0.8) within group (order by net_revenue_amount) as net_revenue_threshold,
        percentile_cont(0.8) within group (order by order_count) as order_threshold
    from {{ rows }}
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
{%- endmacro %}

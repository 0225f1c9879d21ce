{{ config(materialized='view') }}

-- All events in one shape. Those of the shop's log are told as they lie: written down once more, they would cost more
-- than what is counted of them.
with
tell_shop_events as (
    select
        'events|' || event_id as event_key,
        'events' as source_table,
        event_id as source_key,
        event_type,
        user_key,
        device_key,
        occurred_at,
        event_date,
        hour_of_week,
        cast(null as varchar) as order_id,
        product_id,
        channel,
        query as event_text,
        page,
        campaign_id,
        quantity,
        price_amount,
        cast(0 as decimal(18, 4)) as gross_amount,
        cast(0 as decimal(18, 4)) as discount_amount,
        cast(0 as decimal(18, 4)) as refund_amount,
        cast(0 as decimal(18, 4)) as net_amount,
        cast(null as bigint) as review_score,
        delivered_on,
        superseded_on,
        file_id,
        row_number
    from {{ ref('int_events_deduplicated') }}
),

unite_events as (
    select * from tell_shop_events
    union all
    select * from {{ ref('int_order_events_merged') }}
)

select * from unite_events

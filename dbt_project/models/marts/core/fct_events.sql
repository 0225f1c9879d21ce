{{ config(materialized='view') }}

with
describe_events as (
    select
        events.event_key,
        events.event_type,
        event_types.event_type is not null as is_known_event_type,
        event_types.funnel_step,
        event_types.funnel_position,
        events.user_key,
        events.device_key,
        events.visitor_key,
        events.session_id,
        events.occurred_at,
        events.event_date,
        events.hour_of_week,
        events.order_id,
        events.product_id,
        events.channel,
        events.event_text,
        events.page,
        events.campaign_id,
        events.quantity,
        events.price_amount,
        events.gross_amount,
        events.discount_amount,
        events.refund_amount,
        events.net_amount,
        events.review_score,
        events.source_table,
        events.delivered_on,
        events.file_id,
        events.row_number
    from {{ ref('int_events_sessionized') }} as events
    left join {{ ref('event_types') }} as event_types on events.event_type = event_types.event_type
)

select * from describe_events

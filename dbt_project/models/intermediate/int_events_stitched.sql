{{ config(materialized='view') }}

-- The behaviour log as it was known on each as_of_date, with the user that it then belonged to. What neither a
-- customer nor a device did belongs to nobody, and is left out. A view: written down, it would be the log three times.
with
see_what_was_known as (
    {{ known_on_each_date(ref('int_events_merged')) }}
),

stitch_devices as (
    select
        events.as_of_date,
        coalesce(events.user_key, devices.user_key, events.device_key) as user_key,
        coalesce(events.user_key, devices.user_key) is not null as is_identified,
        events.user_key is not null as is_told_by_customer,
        events.device_key,
        coalesce(events.device_key, events.user_key) as visitor_key,
        events.event_key,
        events.source_table,
        events.event_type,
        events.occurred_at,
        events.event_date,
        events.hour_of_week,
        events.order_id,
        events.product_id,
        events.channel,
        events.event_text,
        events.quantity,
        events.gross_amount,
        events.discount_amount,
        events.refund_amount,
        events.net_amount,
        events.review_score,
        events.row_number
    from see_what_was_known as events
    left join {{ ref('int_devices_stitched') }} as devices
        on
            events.user_key is null
            and events.as_of_date = devices.as_of_date
            and events.device_key = devices.device_key
            and events.occurred_at >= devices.valid_from
            and events.occurred_at < devices.valid_to
)

select * from stitch_devices

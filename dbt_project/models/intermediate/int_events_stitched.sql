-- The behaviour log as it was known on each as_of_date, with the user that it then belonged to. What neither a
-- customer nor a device did belongs to nobody, and is left out.
with
see_what_was_known as (
    {%- for as_of_date in var('as_of_dates') %}
    select
        date '{{ as_of_date }}' as as_of_date,
        events.event_key,
        events.source_table,
        events.event_type,
        events.user_key,
        events.device_key,
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
    from {{ ref('int_events_merged') }} as events
    where
        events.event_date <= date '{{ as_of_date }}'
        and {{ is_known_as_of('events', "date '" ~ as_of_date ~ "'") }}
        and coalesce(events.user_key, events.device_key) is not null
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}
),

stitch_devices as (
    select
        events.as_of_date,
        coalesce(events.user_key, devices.user_key, events.device_key) as user_key,
        coalesce(events.user_key, devices.user_key) is not null as is_identified,
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
),

describe_events as (
    select
        stitch_devices.*,
        products.title as product_title,
        products.category as product_category,
        coalesce(event_types.is_visit, true) as is_visit,
        coalesce(event_types.is_in_sequence, true) as is_in_sequence,
        coalesce(event_types.weight, 0) as event_weight
    from stitch_devices
    left join {{ ref('int_products_known') }} as products
        on
            stitch_devices.as_of_date = products.as_of_date
            and stitch_devices.product_id = products.product_id
    left join {{ ref('event_types') }} as event_types on stitch_devices.event_type = event_types.event_type
)

select * from describe_events

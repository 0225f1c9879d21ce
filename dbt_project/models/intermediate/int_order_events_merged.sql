{{ config(materialized='incremental', pre_hook="{{ forget_touched_events() }}") }}

with
-- An event follows its order: one row for each stretch of delivery days in which neither changed.
tell_order_events as (
    select
        events.event_key,
        events.source_table,
        events.source_key,
        case
            when orders.is_cancelled and events.event_type = 'purchase' then 'cancelled_purchase'
            else events.event_type
        end as event_type,
        coalesce(events.user_key, orders.user_key) as user_key,
        orders.device_key,
        events.occurred_at,
        events.event_date,
        events.order_id,
        events.product_id,
        orders.channel,
        events.event_text,
        cast(null as varchar) as page,
        cast(null as varchar) as campaign_id,
        events.quantity,
        events.price_amount,
        case when orders.is_cancelled then 0 else events.gross_amount end as gross_amount,
        case when orders.is_cancelled then 0 else events.discount_amount end as discount_amount,
        events.refund_amount,
        events.review_score,
        greatest(events.delivered_on, orders.delivered_on) as delivered_on,
        least(events.superseded_on, orders.superseded_on) as superseded_on,
        events.file_id,
        events.row_number
    from {{ ref('int_order_events_unioned') }} as events
    left join {{ ref('int_orders_attributed') }} as orders
        on
            events.order_id = orders.order_id
            and events.delivered_on < coalesce(orders.superseded_on, date '9999-12-31')
            and orders.delivered_on < coalesce(events.superseded_on, date '9999-12-31')
),

find_first_lines as (
    select
        order_id,
        min(delivered_on) as first_line_on
    from {{ ref('int_order_lines_deduplicated') }}
    group by order_id
),

-- An order is told by its lines. It speaks for itself only until they are known, and of its own discount.
choose_order_levels as (
    select
        orders.*,
        'order' as event_type,
        0 as order_discount_amount,
        least(orders.superseded_on, find_first_lines.first_line_on) as known_until
    from {{ ref('int_orders_deduplicated') }} as orders
    left join find_first_lines on orders.order_id = find_first_lines.order_id
    where find_first_lines.order_id is null or orders.delivered_on < find_first_lines.first_line_on
    union all
    select
        orders.*,
        'order_discount' as event_type,
        orders.discount_amount as order_discount_amount,
        orders.superseded_on as known_until
    from {{ ref('int_orders_deduplicated') }} as orders
    where orders.discount_amount > 0
),

tell_orders as (
    select
        {{ surrogate_key(['event_type', 'order_id']) }} as event_key,
        'orders' as source_table,
        order_id as source_key,
        event_type,
        user_key,
        device_key,
        ordered_at as occurred_at,
        event_date,
        order_id,
        cast(null as varchar) as product_id,
        channel,
        cast(null as varchar) as event_text,
        cast(null as varchar) as page,
        cast(null as varchar) as campaign_id,
        cast(null as decimal(18, 4)) as quantity,
        cast(null as decimal(18, 4)) as price_amount,
        0 as gross_amount,
        order_discount_amount as discount_amount,
        0 as refund_amount,
        cast(null as bigint) as review_score,
        delivered_on,
        known_until as superseded_on,
        file_id,
        row_number
    from choose_order_levels
    where coalesce(order_status <> 'cancelled', true)
),

unite_events as (
    select * from tell_order_events
    union all
    select * from tell_orders
),

add_money_and_time as (
    select
        event_key,
        source_table,
        source_key,
        event_type,
        user_key,
        device_key,
        occurred_at,
        event_date,
        {{ hour_of_week('occurred_at') }} as hour_of_week,
        order_id,
        product_id,
        channel,
        event_text,
        page,
        campaign_id,
        quantity,
        cast(price_amount as decimal(18, 4)) as price_amount,
        cast(gross_amount as decimal(18, 4)) as gross_amount,
        cast(discount_amount as decimal(18, 4)) as discount_amount,
        cast(refund_amount as decimal(18, 4)) as refund_amount,
        cast(gross_amount - discount_amount - refund_amount as decimal(18, 4)) as net_amount,
        review_score,
        delivered_on,
        superseded_on,
        file_id,
        row_number
    from unite_events
    {% if is_incremental() %}where {{ is_touched_event('unite_events') }}{% endif %}
)

select * from add_money_and_time

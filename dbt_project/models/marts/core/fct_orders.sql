with
sum_money as (
    select
        order_id,
        max(user_key) as user_key,
        min(occurred_at) filter (where source_table in ('orders', 'order_lines')) as first_event_at,
        min(event_date) filter (where source_table in ('orders', 'order_lines')) as first_event_date,
        max(channel) as channel,
        count(*) filter (where source_table = 'order_lines') as line_count,
        count(*) filter (where event_type in ('purchase', 'order')) > 0 as is_sale,
        sum(quantity) filter (where event_type = 'purchase') as item_count,
        sum(gross_amount) as gross_amount,
        sum(discount_amount) as discount_amount,
        sum(refund_amount) as refund_amount,
        sum(net_amount) as net_amount,
        sum(price_amount) filter (where event_type = 'pay') as paid_amount
    from {{ ref('int_events_sessionized') }}
    where order_id is not null
    group by order_id
),

read_latest_orders as (
    select *
    from {{ ref('int_orders_deduplicated') }}
    where superseded_on is null
),

-- Lines without their order, and orders without their lines, are orders too; refunds and payments alone are not.
join_order_levels as (
    select
        coalesce(orders.order_id, sum_money.order_id) as order_id,
        coalesce(orders.user_key, sum_money.user_key) as user_key,
        orders.device_key,
        coalesce(orders.ordered_at, sum_money.first_event_at) as ordered_at,
        coalesce(orders.event_date, sum_money.first_event_date) as order_date,
        orders.order_status,
        coalesce(orders.channel, sum_money.channel) as channel,
        orders.coupon_code,
        orders.order_id is not null as has_order_row,
        coalesce(sum_money.is_sale, false) as is_sale,
        coalesce(sum_money.line_count, 0) as line_count,
        coalesce(sum_money.item_count, 0) as item_count,
        coalesce(sum_money.gross_amount, 0) as gross_amount,
        coalesce(sum_money.discount_amount, 0) as discount_amount,
        coalesce(sum_money.refund_amount, 0) as refund_amount,
        coalesce(sum_money.net_amount, 0) as net_amount,
        orders.shipping_amount,
        sum_money.paid_amount
    from sum_money
    full outer join read_latest_orders as orders on sum_money.order_id = orders.order_id
    where orders.order_id is not null or sum_money.first_event_at is not null
),

measure_spread as (
    select
        percentile_cont(0.25) within group (order by ln(cast(gross_amount as double))) as first_quartile,
        percentile_cont(0.75) within group (order by ln(cast(gross_amount as double))) as third_quartile
    from join_order_levels
    where gross_amount > 0
),

-- Tukey's outer fence on the log scale: flagged, never removed.
flag_outliers as (
    select
        orders.order_id,
        orders.user_key,
        orders.device_key,
        orders.ordered_at,
        orders.order_date,
        orders.order_status,
        orders.channel,
        orders.coupon_code,
        orders.has_order_row,
        orders.is_sale,
        cast(orders.line_count as bigint) as line_count,
        cast(orders.item_count as decimal(18, 4)) as item_count,
        cast(orders.gross_amount as decimal(18, 4)) as gross_amount,
        cast(orders.discount_amount as decimal(18, 4)) as discount_amount,
        cast(orders.refund_amount as decimal(18, 4)) as refund_amount,
        cast(orders.net_amount as decimal(18, 4)) as net_amount,
        orders.shipping_amount,
        cast(orders.paid_amount as decimal(18, 4)) as paid_amount,
        coalesce(
            orders.gross_amount > 0
            and ln(cast(orders.gross_amount as double))
            > spread.third_quartile + 3 * (spread.third_quartile - spread.first_quartile),
            false
        ) as is_outlier
    from join_order_levels as orders
    cross join measure_spread as spread
)

select * from flag_outliers

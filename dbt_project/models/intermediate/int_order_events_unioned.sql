-- Everything that may belong to an order, one row per source row version, in one shape.
with
tell_lines as (
    select
        {{ surrogate_key(["'order_lines'", 'order_id', 'line_number']) }} as event_key,
        'order_lines' as source_table,
        order_id as source_key,
        case
            when quantity <= 0 then 'adjustment'
            when unit_price_amount <= 0 then 'gift'
            else 'purchase'
        end as event_type,
        cast(null as varchar) as user_key,
        ordered_at as occurred_at,
        event_date,
        order_id,
        product_id,
        cast(null as varchar) as event_text,
        quantity,
        unit_price_amount as price_amount,
        case
            when quantity > 0 and unit_price_amount > 0
                then cast(quantity * unit_price_amount as decimal(18, 4))
            else 0
        end as gross_amount,
        case
            when quantity > 0 and unit_price_amount > 0 then coalesce(discount_amount, 0) else 0
        end as discount_amount,
        0 as refund_amount,
        cast(null as bigint) as review_score,
        delivered_on,
        superseded_on,
        file_id,
        row_number
    from {{ ref('int_order_lines_deduplicated') }}
),

tell_payments as (
    select
        {{ surrogate_key(["'payments'", 'payment_id']) }} as event_key,
        'payments' as source_table,
        payment_id as source_key,
        case payment_status
            when 'succeeded' then 'pay'
            when 'failed' then 'payment_failed'
            when 'charged_back' then 'charge_back'
            else payment_status
        end as event_type,
        user_key,
        paid_at as occurred_at,
        event_date,
        order_id,
        cast(null as varchar) as product_id,
        method as event_text,
        cast(null as decimal(18, 4)) as quantity,
        paid_amount as price_amount,
        0 as gross_amount,
        0 as discount_amount,
        0 as refund_amount,
        cast(null as bigint) as review_score,
        delivered_on,
        superseded_on,
        file_id,
        row_number
    from {{ ref('int_payments_deduplicated') }}
),

tell_refunds as (
    select
        {{ surrogate_key(["'refunds'", 'refund_id']) }} as event_key,
        'refunds' as source_table,
        refund_id as source_key,
        'refund' as event_type,
        user_key,
        refunded_at as occurred_at,
        event_date,
        order_id,
        product_id,
        reason as event_text,
        quantity,
        cast(null as decimal(18, 4)) as price_amount,
        0 as gross_amount,
        0 as discount_amount,
        refund_amount,
        cast(null as bigint) as review_score,
        delivered_on,
        superseded_on,
        file_id,
        row_number
    from {{ ref('int_refunds_deduplicated') }}
),

tell_reviews as (
    select
        {{ surrogate_key(["'reviews'", 'review_id']) }} as event_key,
        'reviews' as source_table,
        review_id as source_key,
        'review' as event_type,
        user_key,
        reviewed_at as occurred_at,
        event_date,
        order_id,
        product_id,
        review_text as event_text,
        cast(null as decimal(18, 4)) as quantity,
        cast(null as decimal(18, 4)) as price_amount,
        0 as gross_amount,
        0 as discount_amount,
        0 as refund_amount,
        score as review_score,
        delivered_on,
        superseded_on,
        file_id,
        row_number
    from {{ ref('int_reviews_deduplicated') }}
),

unite_order_events as (
    select * from tell_lines
    union all
    select * from tell_payments
    union all
    select * from tell_refunds
    union all
    select * from tell_reviews
)

select * from unite_order_events

-- What an order lends to its lines, payments, refunds and reviews. Most versions of an order (paid, shipped) change
-- nothing of it, and are skipped: each one kept multiplies the lines. A first version that knows nothing reaches
-- back before the order's delivery, and one that is cancelled follows a deletion, so that the versions of an order
-- cover all time.
with
choose_attributes as (
    select
        order_id,
        user_key,
        device_key,
        channel,
        coalesce(order_status = 'cancelled', false) as is_cancelled,
        delivered_on
    from {{ ref('int_orders_deduplicated') }}
),

find_deletions as (
    select
        order_id,
        user_key,
        device_key,
        channel,
        true as is_cancelled,
        superseded_on as delivered_on
    from {{ ref('int_orders_deduplicated') }}
    qualify
        superseded_on < coalesce(
            lead(delivered_on) over (partition by order_id order by delivered_on), date '9999-12-31'
        )
),

add_time_before as (
    select * from choose_attributes
    union all
    select * from find_deletions
    union all
    select distinct
        order_id,
        cast(null as varchar) as user_key,
        cast(null as varchar) as device_key,
        cast(null as varchar) as channel,
        false as is_cancelled,
        date '0001-01-01' as delivered_on
    from choose_attributes
),

mark_content as (
    select
        *,
        {{ row_hash(['user_key', 'device_key', 'channel', 'is_cancelled']) }} as content_hash
    from add_time_before
),

drop_unchanged as (
    select *
    from mark_content
    qualify coalesce(
        content_hash <> lag(content_hash) over (partition by order_id order by delivered_on), true
    )
),

close_versions as (
    select
        order_id,
        user_key,
        device_key,
        channel,
        is_cancelled,
        delivered_on,
        lead(delivered_on) over (partition by order_id order by delivered_on) as superseded_on
    from drop_unchanged
)

select * from close_versions

-- What users put into carts and had not bought by the as_of_date, by day, channel and product;
-- at the price that the event shows, else that of the catalogue as then known.
with
read_carts as (
    select
        events.user_key,
        events.event_date,
        coalesce(events.channel, 'unknown') as channel,
        events.product_id,
        min(events.occurred_at) as first_cart_at,
        max(coalesce(details.price_amount, products.price_amount) * coalesce(events.quantity, 1)) as cart_amount
    from {{ ref('int_events_stitched') }} as events
    inner join {{ ref('int_events_merged') }} as details
        on events.event_key = details.event_key and {{ is_known_as_of('details', as_of_date()) }}
    left join {{ ref('int_products_known') }} as products
        on events.as_of_date = products.as_of_date and events.product_id = products.product_id
    where
        events.as_of_date = {{ as_of_date() }}
        and events.event_type = 'cart'
        and events.product_id is not null
        and {{ is_newest_snapshot() }}
    group by events.user_key, events.event_date, coalesce(events.channel, 'unknown'), events.product_id
),

find_last_purchases as (
    select
        user_key,
        product_id,
        max(occurred_at) as last_purchase_at
    from {{ ref('int_events_stitched') }}
    where as_of_date = {{ as_of_date() }} and event_type = 'purchase'
    group by user_key, product_id
),

sum_abandoned as (
    select
        read_carts.user_key,
        read_carts.event_date,
        read_carts.channel,
        sum(coalesce(read_carts.cart_amount, 0)) as abandoned_amount
    from read_carts
    left join find_last_purchases as purchases
        on read_carts.user_key = purchases.user_key and read_carts.product_id = purchases.product_id
    where purchases.last_purchase_at is null or purchases.last_purchase_at < read_carts.first_cart_at
    group by read_carts.user_key, read_carts.event_date, read_carts.channel
)

select * from sum_abandoned

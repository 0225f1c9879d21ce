-- Products that a user put into the cart in the last 90 days, and whether a purchase of the product followed.
with
find_carts as (
    select
        as_of_date,
        user_key,
        product_id,
        min(case
            when event_type = 'cart' and {{ days_between('event_date', 'as_of_date') }} < 90 then occurred_at
        end) as first_cart_at,
        max(case when event_type = 'purchase' then occurred_at end) as last_purchase_at
    from {{ ref('int_events_stitched') }}
    where event_type in ('cart', 'purchase') and product_id is not null and {{ is_made() }}
    group by as_of_date, user_key, product_id
),

count_carts as (
    select
        as_of_date,
        user_key,
        count(*) as carted_product_count,
        count(*) filter (
            where last_purchase_at is null or last_purchase_at < first_cart_at
        ) as abandoned_product_count
    from find_carts
    where first_cart_at is not null
    group by as_of_date, user_key
)

select * from count_carts

{{ config(materialized='incremental', pre_hook="{{ forget_all_but_carried() }}") }}
-- depends_on: {{ ref('int_users_recounted') }}

-- Products that a user put into the cart in the last 90 days, and whether a purchase of the product followed.
with
find_carts as (
    select
        events.as_of_date,
        events.user_key,
        events.product_id,
        min(case
            when
                events.event_type = 'cart'
                and {{ days_between('events.event_date', 'events.as_of_date') }} < 90
                then events.occurred_at
        end) as first_cart_at,
        max(case when events.event_type = 'purchase' then events.occurred_at end) as last_purchase_at
    from {{ ref('int_events_stitched') }} as events
    where
        events.event_type in ('cart', 'purchase')
        and events.product_id is not null
        and {{ is_made('events') }}
        and {{ is_counted_anew(ref('int_users_recounted')) }}
    group by events.as_of_date, events.user_key, events.product_id
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
{%- if var('carried') %}
union all
{{ carry_unchanged(ref('int_users_recounted')) }}
{%- endif %}

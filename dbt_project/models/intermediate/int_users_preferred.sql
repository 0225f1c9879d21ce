{{ config(materialized='incremental', pre_hook="{{ forget_all_but_carried() }}") }}
-- depends_on: {{ ref('int_users_changed') }}, {{ ref('int_tellers_changed') }}

-- The category and the channel that each user meets most; ties go to the first in the alphabet.
with
{{ stitch_events(known_on_each_date(ref('int_events_merged'), only='changed')) }},

count_choices as (
    select
        events.as_of_date,
        events.user_key,
        'category' as kind,
        products.category as choice,
        count(*) as choice_count
    from stitch_devices as events
    inner join {{ ref('int_products_known') }} as products
        on events.as_of_date = products.as_of_date and events.product_id = products.product_id
    where products.category is not null and {{ is_counted_anew(ref('int_users_changed')) }}
    group by events.as_of_date, events.user_key, products.category
    union all
    select
        days.as_of_date,
        days.user_key,
        'channel' as kind,
        days.channel as choice,
        sum(days.event_count) as choice_count
    from {{ ref('int_user_days') }} as days
    where
        days.channel is not null
        and {{ is_made('days') }}
        and {{ is_counted_anew(ref('int_users_changed'), 'days') }}
    group by days.as_of_date, days.user_key, days.channel
),

keep_favourites as (
    select *
    from count_choices
    qualify row_number() over (
        partition by as_of_date, user_key, kind order by choice_count desc, choice asc
    ) = 1
),

turn_to_columns as (
    select
        as_of_date,
        user_key,
        max(case when kind = 'category' then choice end) as top_category,
        max(case when kind = 'channel' then choice end) as top_channel
    from keep_favourites
    group by as_of_date, user_key
)

select * from turn_to_columns
{%- if var('carried') %}
union all
{{ carry_unchanged(ref('int_users_changed')) }}
{%- endif %}

{{ config(materialized='incremental', pre_hook="{{ forget_all_but_carried() }}") }}
-- depends_on: {{ ref('int_users_recounted') }}, {{ ref('int_identities') }}, {{ ref('int_devices_stitched') }}

-- Counts, sums and dates of every user, as of each as_of_date. Sums stay exact (counts and decimals); rates are made of
-- them later, so that the order of rows can't change a digit.
with
sum_days as (
    select
        as_of_date,
        user_key,
        event_date,
        {{ days_between('event_date', 'as_of_date') }} as age_days,
        max(is_identified) as is_identified,
        max(last_event_at) as last_event_at,
        {%- for count in day_counts() %}
        sum({{ count }}) as {{ count }},
        {%- endfor %}
        sum(gross_amount) as gross_amount,
        sum(discount_amount) as discount_amount,
        sum(refund_amount) as refund_amount,
        sum(net_amount) as net_amount,
        sum(item_count) as item_count,
        sum(review_count) as review_count,
        sum(review_score_count) as review_score_count,
        sum(review_score_sum) as review_score_sum
    from {{ ref('int_user_days') }}
    {%- if var('carried') %}
    where
        as_of_date not in (select as_of_date from ({{ carried_dates() }}) as carried)
        or (as_of_date, user_key) in (select as_of_date, user_key from {{ ref('int_users_recounted') }})
    {%- endif %}
    group by as_of_date, user_key, event_date
),

{% if var('carried') -%}
find_visitors as (
    select as_of_date, user_key as visitor_key from {{ ref('int_users_recounted') }}
    union
    select users.as_of_date, links.device_key as visitor_key
    from {{ ref('int_users_recounted') }} as users
    inner join {{ ref('int_identities') }} as links on users.user_key = links.user_key
    union
    select users.as_of_date, devices.device_key as visitor_key
    from {{ ref('int_users_recounted') }} as users
    inner join {{ ref('int_devices_stitched') }} as devices
        on users.as_of_date = devices.as_of_date and users.user_key = devices.user_key
),

{% endif -%}
-- A day more than is counted, for whoever came back within the gap after midnight.
mark_sessions as (
    select
        events.as_of_date,
        events.user_key,
        {{ days_between('events.event_date', 'events.as_of_date') }} as age_days,
        coalesce(
            events.occurred_at > lag(events.occurred_at) over (
                partition by events.as_of_date, events.visitor_key order by events.occurred_at
            ) + interval {{ var('session_gap_minutes') }} minutes,
            true
        ) as is_session_start
    from {{ ref('int_events_stitched') }} as events
    left join {{ ref('event_types') }} as event_types on events.event_type = event_types.event_type
    where
        {{ days_between('events.event_date', 'events.as_of_date') }} <= 30
        and coalesce(event_types.is_visit, true)
        {%- if var('carried') %}
        and (
            events.as_of_date not in (select as_of_date from ({{ carried_dates() }}) as carried)
            or (events.as_of_date, events.visitor_key) in (select as_of_date, visitor_key from find_visitors)
        )
        {%- endif %}
),

count_sessions as (
    select
        as_of_date,
        user_key,
        count(*) as session_count_last_30_days
    from mark_sessions
    where is_session_start and age_days < 30
    group by as_of_date, user_key
),

find_orders as (
    select
        as_of_date,
        user_key,
        order_id,
        min(event_date) as first_date,
        max(event_date) as last_date
    from {{ ref('int_events_stitched') }}
    where source_table <> 'events' and event_type in ('purchase', 'order')
    group by as_of_date, user_key, order_id
),

count_orders as (
    select
        as_of_date,
        user_key,
        count(*) as order_count,
        {%- for days in [7, 30, 90] %}
        count(*) filter (where {{ days_between('last_date', 'as_of_date') }} < {{ days }})
            as order_count_last_{{ days }}_days,
        {%- endfor %}
        min(first_date) as first_order_date,
        max(last_date) as last_order_date
    from find_orders
    group by as_of_date, user_key
),

count_products as (
    select
        events.as_of_date,
        events.user_key,
        count(distinct events.product_id) as distinct_product_count,
        count(distinct products.category) as distinct_category_count
    from {{ ref('int_events_stitched') }} as events
    left join {{ ref('int_products_known') }} as products
        on events.as_of_date = products.as_of_date and events.product_id = products.product_id
    where events.source_table <> 'events' and events.event_type = 'purchase'
    group by events.as_of_date, events.user_key
),

measure_users as (
    select
        as_of_date,
        user_key,
        max(is_identified) as is_identified,
        min(event_date) as first_event_date,
        max(event_date) as last_event_date,
        max(last_event_at) as last_event_at,
        sum(event_count) as event_count,
        {%- for days in [7, 30, 90] %}
        coalesce(sum(event_count) filter (where age_days < {{ days }}), 0) as event_count_last_{{ days }}_days,
        {%- endfor %}
        count(*) filter (where age_days < 30) as active_days_last_30_days,
        count(*) filter (where age_days < 90) as active_days_last_90_days,
        sum(net_amount) as net_revenue_amount,
        sum(case when age_days < 30 then net_amount else 0 end) as net_revenue_amount_last_30_days,
        sum(case when age_days < 90 then net_amount else 0 end) as net_revenue_amount_last_90_days,
        sum(gross_amount) as gross_revenue_amount,
        sum(discount_amount) as discount_amount,
        sum(refund_amount) as refund_amount,
        sum(item_count) as item_count,
        {%- for count in ['view', 'cart', 'search'] %}
        coalesce(sum({{ count }}_count) filter (where age_days < 30), 0) as {{ count }}_count_last_30_days,
        {%- endfor %}
        {%- for count in ['favourite', 'review', 'review_score', 'night_event', 'weekend_event'] %}
        sum({{ count }}_count) as {{ count }}_count,
        {%- endfor %}
        sum(review_score_sum) as review_score_sum,
        coalesce(sum(interest_score) filter (where age_days < 90), 0) as interest_score_last_90_days
    from sum_days
    group by as_of_date, user_key
),

join_measures as (
    select
        users.as_of_date,
        users.user_key,
        users.is_identified,
        users.first_event_date,
        users.last_event_date,
        users.last_event_at,
        {%- for count in ['event_count', 'event_count_last_7_days', 'event_count_last_30_days',
            'event_count_last_90_days'] %}
        cast(users.{{ count }} as bigint) as {{ count }},
        {%- endfor %}
        users.active_days_last_30_days,
        users.active_days_last_90_days,
        {%- for count in ['session_count_last_30_days', 'order_count', 'order_count_last_7_days',
            'order_count_last_30_days', 'order_count_last_90_days'] %}
        coalesce({{ 'sessions' if 'session' in count else 'orders' }}.{{ count }}, 0) as {{ count }},
        {%- endfor %}
        orders.first_order_date,
        orders.last_order_date,
        users.net_revenue_amount,
        users.net_revenue_amount_last_30_days,
        users.net_revenue_amount_last_90_days,
        users.gross_revenue_amount,
        users.discount_amount,
        users.refund_amount,
        users.item_count,
        coalesce(products.distinct_product_count, 0) as distinct_product_count,
        coalesce(products.distinct_category_count, 0) as distinct_category_count,
        {%- for count in ['view_count_last_30_days', 'cart_count_last_30_days', 'search_count_last_30_days',
            'favourite_count', 'review_count', 'review_score_count', 'review_score_sum', 'night_event_count',
            'weekend_event_count'] %}
        cast(users.{{ count }} as bigint) as {{ count }},
        {%- endfor %}
        users.interest_score_last_90_days
    from measure_users as users
    left join count_sessions as sessions
        on users.as_of_date = sessions.as_of_date and users.user_key = sessions.user_key
    left join count_orders as orders
        on users.as_of_date = orders.as_of_date and users.user_key = orders.user_key
    left join count_products as products
        on users.as_of_date = products.as_of_date and users.user_key = products.user_key
)

select * from join_measures
{%- if var('carried') %}
union all
{{ carry_unchanged(ref('int_users_recounted')) }}
{%- endif %}

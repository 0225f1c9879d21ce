{#-
Counts, sums and dates of users, one as_of_date after the other and large logs in parts: DuckDB holds a day's counts of all
users of a statement in memory, and those of 20 million events on three dates were too many for 2.7 GiB.
-#}

{% macro measure_other_users() %}
    {%- for as_of_date, part, parts in statements(var('events_measured_at_once'))[1:] %}
    insert into {{ this }} {{ measure_users(as_of_date, part, parts) }};
    {%- endfor %}
{% endmacro %}

{#- Sums stay exact (counts and decimals); rates are made of them later, so that the order of rows can't change a digit. -#}
{% macro measure_users(as_of_date, part, parts) %}
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
    where
        as_of_date = date '{{ as_of_date }}'
        {%- if parts > 1 %}
        and {{ part_of('user_key', parts) }} = {{ part }}
        {%- endif %}
        {{- is_recounted(as_of_date) }}
    group by as_of_date, user_key, event_date
),

find_orders as (
    select
        as_of_date,
        user_key,
        order_id,
        min(event_date) as first_date,
        max(event_date) as last_date
    from {{ ref('int_events_stitched') }}
    where
        as_of_date = date '{{ as_of_date }}'
        and source_table <> 'events'
        and event_type in ('purchase', 'order')
        {{- is_recounted(as_of_date) }}
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
    where
        events.as_of_date = date '{{ as_of_date }}'
        and events.source_table <> 'events'
        and events.event_type = 'purchase'
        {{- is_recounted(as_of_date) }}
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
    left join {{ ref('int_user_sessions_counted') }} as sessions
        on users.as_of_date = sessions.as_of_date and users.user_key = sessions.user_key
    left join count_orders as orders
        on users.as_of_date = orders.as_of_date and users.user_key = orders.user_key
    left join count_products as products
        on users.as_of_date = products.as_of_date and users.user_key = products.user_key
)

select * from join_measures
{% endmacro %}

{% macro is_recounted(as_of_date) -%}
    {%- if as_of_date in var('carried') %}
        and user_key in (
            select user_key from {{ ref('int_users_recounted') }} where as_of_date = date '{{ as_of_date }}'
        )
    {%- endif -%}
{%- endmacro %}

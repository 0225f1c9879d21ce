with
measure_spread as (
    select
        as_of_date,
        percentile_cont(0.25) within group (order by ln(cast(event_count as double))) as event_quartile_1,
        percentile_cont(0.75) within group (order by ln(cast(event_count as double))) as event_quartile_3,
        percentile_cont(0.25) within group (
            order by case when gross_revenue_amount > 0 then ln(cast(gross_revenue_amount as double)) end
        ) as revenue_quartile_1,
        percentile_cont(0.75) within group (
            order by case when gross_revenue_amount > 0 then ln(cast(gross_revenue_amount as double)) end
        ) as revenue_quartile_3
    from {{ ref('int_users_measured') }}
    group by as_of_date
),

find_largest_orders as (
    select
        as_of_date,
        user_key,
        max(net_amount) as max_order_amount
    from (
        select
            as_of_date,
            user_key,
            order_id,
            sum(gross_amount - discount_amount) as net_amount
        from {{ ref('int_events_stitched') }}
        where source_table <> 'events' and event_type in ('purchase', 'order', 'order_discount')
        group by as_of_date, user_key, order_id
    ) as orders
    group by as_of_date, user_key
),

derive_features as (
    select
        users.user_key,
        users.as_of_date,
        {{ days_between('users.last_event_date', 'users.as_of_date') }} as recency_days,
        {{ days_between('users.first_event_date', 'users.as_of_date') }} as tenure_days,
        measures.order_count,
        measures.order_count_last_7_days,
        measures.order_count_last_30_days,
        measures.order_count_last_90_days,
        cast(measures.net_revenue_amount as double) as net_revenue_amount,
        cast(measures.net_revenue_amount_last_30_days as double) as net_revenue_amount_last_30_days,
        cast(measures.net_revenue_amount_last_90_days as double) as net_revenue_amount_last_90_days,
        cast(measures.gross_revenue_amount as double) as gross_revenue_amount,
        {{ safe_divide('measures.gross_revenue_amount - measures.discount_amount', 'measures.order_count') }}
            as average_order_amount,
        cast(orders.max_order_amount as double) as max_order_amount,
        {{ safe_divide(
            'least(measures.refund_amount, measures.gross_revenue_amount)',
            'measures.gross_revenue_amount'
        ) }} as refund_share,
        {{ safe_divide(
            'least(measures.discount_amount, measures.gross_revenue_amount)',
            'measures.gross_revenue_amount'
        ) }} as discount_share,
        cast(measures.item_count as double) as item_count,
        measures.distinct_product_count,
        measures.distinct_category_count,
        {{ safe_divide(
            days_between('measures.first_order_date', 'measures.last_order_date'),
            'measures.order_count - 1'
        ) }} as days_between_orders_avg,
        {{ days_between('measures.last_order_date', 'users.as_of_date') }} as days_since_last_order,
        measures.view_count_last_30_days,
        measures.cart_count_last_30_days,
        measures.search_count_last_30_days,
        measures.event_count,
        measures.event_count_last_7_days,
        measures.event_count_last_30_days,
        measures.event_count_last_90_days,
        measures.session_count_last_30_days,
        measures.active_days_last_30_days,
        measures.active_days_last_90_days,
        {{ safe_divide('carts.abandoned_product_count', 'carts.carted_product_count') }} as cart_abandon_share,
        measures.review_count,
        {{ safe_divide('measures.review_score_sum', 'measures.review_score_count') }} as review_score_avg,
        {{ safe_divide('measures.night_event_count', 'measures.event_count') }} as night_share,
        {{ safe_divide('measures.weekend_event_count', 'measures.event_count') }} as weekend_share,
        measures.favourite_count,
        users.is_identified,
        preferences.top_category,
        preferences.top_channel,
        customers.country,
        -- Tukey's outer fence on the log scale: flagged, never removed.
        coalesce(
            ln(cast(measures.event_count as double))
            > spread.event_quartile_3 + 3 * (spread.event_quartile_3 - spread.event_quartile_1),
            false
        ) or coalesce(
            measures.gross_revenue_amount > 0
            and ln(cast(nullif(measures.gross_revenue_amount, 0) as double))
            > spread.revenue_quartile_3 + 3 * (spread.revenue_quartile_3 - spread.revenue_quartile_1),
            false
        ) as is_outlier
    from {{ ref('int_users_eligible') }} as users
    inner join {{ ref('int_users_measured') }} as measures
        on users.as_of_date = measures.as_of_date and users.user_key = measures.user_key
    inner join measure_spread as spread on users.as_of_date = spread.as_of_date
    left join find_largest_orders as orders
        on users.as_of_date = orders.as_of_date and users.user_key = orders.user_key
    left join {{ ref('int_carts_abandoned') }} as carts
        on users.as_of_date = carts.as_of_date and users.user_key = carts.user_key
    left join {{ ref('int_users_preferred') }} as preferences
        on users.as_of_date = preferences.as_of_date and users.user_key = preferences.user_key
    left join {{ ref('int_customers_deduplicated') }} as customers
        on
            users.user_key = customers.user_key
            and {{ is_known_as_of('customers', 'users.as_of_date') }}
    where {{ is_made('users') }}
)

select * from derive_features

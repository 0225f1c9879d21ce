-- One pass over the log: counts, sums and dates of every user, as of each as_of_date. Sums stay exact (counts and
-- decimals); rates are made of them later, so that the order of rows can't change a digit.
with
mark_events as (
    select
        *,
        {{ days_between('event_date', 'as_of_date') }} as age_days,
        event_type in ('purchase', 'order') as is_order_event,
        is_visit and coalesce(
            occurred_at > lag(occurred_at) over (
                partition by as_of_date, is_visit, visitor_key order by occurred_at
            ) + interval {{ var('session_gap_minutes') }} minutes,
            true
        ) as is_session_start
    from {{ ref('int_events_stitched') }}
),

measure_users as (
    select
        as_of_date,
        user_key,
        count(*) as event_count,
        count(*) filter (where age_days < 7) as event_count_last_7_days,
        count(*) filter (where age_days < 30) as event_count_last_30_days,
        count(*) filter (where age_days < 90) as event_count_last_90_days,
        count(distinct case when age_days < 30 then event_date end) as active_days_last_30_days,
        count(distinct case when age_days < 90 then event_date end) as active_days_last_90_days,
        count(*) filter (where is_session_start and age_days < 30) as session_count_last_30_days,
        count(distinct case when is_order_event then order_id end) as order_count,
        count(distinct case when is_order_event and age_days < 7 then order_id end) as order_count_last_7_days,
        count(distinct case when is_order_event and age_days < 30 then order_id end) as order_count_last_30_days,
        count(distinct case when is_order_event and age_days < 90 then order_id end) as order_count_last_90_days,
        min(case when is_order_event then event_date end) as first_order_date,
        max(case when is_order_event then event_date end) as last_order_date,
        sum(net_amount) as net_revenue_amount,
        sum(case when age_days < 30 then net_amount else 0 end) as net_revenue_amount_last_30_days,
        sum(case when age_days < 90 then net_amount else 0 end) as net_revenue_amount_last_90_days,
        sum(gross_amount) as gross_revenue_amount,
        sum(discount_amount) as discount_amount,
        sum(refund_amount) as refund_amount,
        sum(case when event_type = 'purchase' then quantity else 0 end) as item_count,
        count(distinct case when event_type = 'purchase' then product_id end) as distinct_product_count,
        count(distinct case when event_type = 'purchase' then product_category end) as distinct_category_count,
        count(*) filter (where event_type in ('view', 'click') and age_days < 30) as view_count_last_30_days,
        count(*) filter (where event_type = 'cart' and age_days < 30) as cart_count_last_30_days,
        count(*) filter (where event_type = 'search' and age_days < 30) as search_count_last_30_days,
        count(*) filter (where event_type = 'favourite') as favourite_count,
        count(*) filter (where event_type = 'review') as review_count,
        count(review_score) as review_score_count,
        sum(review_score) as review_score_sum,
        count(*) filter (where hour_of_week % 24 >= 22 or hour_of_week % 24 < 6) as night_event_count,
        count(*) filter (where hour_of_week >= 5 * 24) as weekend_event_count,
        sum(case when age_days < 90 and event_type not in ('purchase', 'order') then event_weight else 0 end)
            as interest_score_last_90_days
    from mark_events
    group by as_of_date, user_key
)

select * from measure_users

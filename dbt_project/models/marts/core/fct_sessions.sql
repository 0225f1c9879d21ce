{{ config(materialized='incremental', pre_hook="{{ forget_touched_sessions() }}") }}

with
choose_visits as (
    select known_events.*
    from {{ ref('int_events_sessionized') }} as known_events
    {% if is_incremental() %}{{ join_touched_spans('known_events', 'occurred_at') }}{% endif %}
    where known_events.session_id is not null
),

summarise_sessions as (
    select
        session_id,
        visitor_key,
        max(device_key) as device_key,
        max(user_key) as user_key,
        count(distinct user_key) as user_count,
        session_started_at,
        session_ended_at,
        min(event_date) as session_date,
        {{ seconds_between('session_started_at', 'session_ended_at') }} as duration_seconds,
        count(*) as event_count,
        count(distinct product_id) as product_count,
        count(*) filter (where event_type in ('view', 'click')) as view_count,
        count(*) filter (where event_type = 'search') as search_count,
        count(*) filter (where event_type = 'cart') as cart_count,
        count(*) filter (where event_type = 'checkout') > 0 as has_checkout,
        count(*) filter (where event_type in ('purchase', 'order')) > 0 as has_purchase,
        sum(net_amount) as net_revenue_amount
    from choose_visits
    group by session_id, visitor_key, session_started_at, session_ended_at
)

select * from summarise_sessions

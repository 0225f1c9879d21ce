{{ config(materialized='incremental', pre_hook="{{ touch_visits() }}") }}

with
read_latest_events as (
    select
        merged_events.*,
        {{ visitor_key() }} as visitor_key
    from {{ ref('int_events_merged') }} as merged_events
    left join {{ ref('event_types') }} as event_types on merged_events.event_type = event_types.event_type
    where merged_events.superseded_on is null
),

choose_touched as (
    select *
    from read_latest_events
    {% if is_incremental() %}
    where {{ is_touched_event('read_latest_events') }} or {{ is_in_touched_span('read_latest_events', 'occurred_at') }}
    {% endif %}
),

-- Exactly the gap is still the same visit; one second more is the next.
mark_session_starts as (
    select
        *,
        case
            when visitor_key is not null then coalesce(
                occurred_at > lag(occurred_at) over (partition by visitor_key order by occurred_at)
                + interval {{ var('session_gap_minutes') }} minutes,
                true
            )
        end as is_session_start
    from choose_touched
),

find_session_starts as (
    select
        *,
        max(case when is_session_start then occurred_at end) over (
            partition by visitor_key order by occurred_at
        ) as session_started_at
    from mark_session_starts
),

name_sessions as (
    select
        event_key,
        source_table,
        source_key,
        event_type,
        user_key,
        device_key,
        occurred_at,
        event_date,
        hour_of_week,
        order_id,
        product_id,
        channel,
        event_text,
        page,
        campaign_id,
        quantity,
        price_amount,
        gross_amount,
        discount_amount,
        refund_amount,
        net_amount,
        review_score,
        delivered_on,
        file_id,
        row_number,
        visitor_key,
        case
            when visitor_key is not null then {{ surrogate_key(['visitor_key', 'session_started_at']) }}
        end as session_id,
        case when visitor_key is not null then session_started_at end as session_started_at,
        case
            when visitor_key is not null
                then max(occurred_at) over (partition by visitor_key, session_started_at)
        end as session_ended_at
    from find_session_starts
)

select * from name_sessions

{{ config(materialized='incremental', pre_hook="{{ touch_visits() }}") }}
{#- What is read twice is materialised where it is a CTE: fine for the touched rows, not for all. -#}
{%- set chosen_events = 'choose_touched' if is_incremental() else '(' ~ latest_events() ~ ')' %}

with
{% if is_incremental() -%}
-- Whatever a visitor did and is touched lies in a touched span. The log is named twice: a CTE would be written down.
choose_touched as (
    select latest_events.*
    from ({{ latest_events() }}) as latest_events
    {{ join_touched_spans('latest_events', 'occurred_at') }}
    union all
    select latest_events.*
    from ({{ latest_events() }}) as latest_events
    where latest_events.visitor_key is null and {{ is_touched_event('latest_events') }}
),

{% endif -%}
-- Exactly the gap is still the same visit; one second more is the next. Only who and when is sorted; the events meet
-- their visits afterwards, by visitor and day.
mark_turns as (
    select
        visitor_key,
        occurred_at,
        coalesce(
            occurred_at > lag(occurred_at) over (partition by visitor_key order by occurred_at)
            + interval {{ var('session_gap_minutes') }} minutes,
            true
        ) as is_session_start,
        coalesce(
            lead(occurred_at) over (partition by visitor_key order by occurred_at)
            > occurred_at + interval {{ var('session_gap_minutes') }} minutes,
            true
        ) as is_session_end,
        coalesce(
            cast(occurred_at as date)
            <> cast(lag(occurred_at) over (partition by visitor_key order by occurred_at) as date),
            true
        ) as is_day_start
    from {{ chosen_events }} as chosen_events
    where visitor_key is not null
),

find_ends as (
    select
        visitor_key,
        cast(occurred_at as date) as visit_date,
        is_session_start or is_day_start as is_first_of_day,
        max(case when is_session_start then occurred_at end) over (
            partition by visitor_key order by occurred_at, is_session_end
            rows between unbounded preceding and current row
        ) as session_started_at,
        min(case when is_session_end then occurred_at end) over (
            partition by visitor_key order by occurred_at, is_session_end
            rows between current row and unbounded following
        ) as session_ended_at
    from mark_turns
    where is_session_start or is_session_end or is_day_start
),

name_visits as (
    select
        visitor_key,
        visit_date,
        {{ surrogate_key(['visitor_key', 'session_started_at']) }} as session_id,
        session_started_at,
        session_ended_at
    from find_ends
    where is_first_of_day
),

name_sessions as (
    select
        events.event_key,
        events.source_table,
        events.source_key,
        events.event_type,
        events.user_key,
        events.device_key,
        events.occurred_at,
        events.event_date,
        events.hour_of_week,
        events.order_id,
        events.product_id,
        events.channel,
        events.event_text,
        events.page,
        events.campaign_id,
        events.quantity,
        events.price_amount,
        events.gross_amount,
        events.discount_amount,
        events.refund_amount,
        events.net_amount,
        events.review_score,
        events.delivered_on,
        events.file_id,
        events.row_number,
        events.visitor_key,
        visits.session_id,
        visits.session_started_at,
        visits.session_ended_at
    from {{ chosen_events }} as events
    left join name_visits as visits
        on
            events.visitor_key = visits.visitor_key
            and cast(events.occurred_at as date) = visits.visit_date
            and events.occurred_at between visits.session_started_at and visits.session_ended_at
)

select * from name_sessions

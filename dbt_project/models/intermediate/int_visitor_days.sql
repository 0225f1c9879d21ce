{{ config(materialized='incremental', pre_hook="{{ forget_touched_event_days() }}") }}

-- What visitors did, counted by day: what an as_of_date has to know of most events, in a fifth of the rows, and kept,
-- so that a new day costs a day. Orders, payments, refunds and reviews are few and counted by whoever asks.
with
count_days as (
    select
        events.user_key,
        events.device_key,
        events.channel,
        events.event_date,
        events.delivered_on,
        events.superseded_on,
        {{ count_day() }}
    from {{ ref('int_events_merged') }} as events
    left join {{ ref('event_types') }} as event_types on events.event_type = event_types.event_type
    where
        events.source_table = 'events'
        {% if is_incremental() %}and events.event_date in ({{ touched_event_days() }}){% endif %}
    group by
        events.user_key,
        events.device_key,
        events.channel,
        events.event_date,
        events.delivered_on,
        events.superseded_on
)

select * from count_days

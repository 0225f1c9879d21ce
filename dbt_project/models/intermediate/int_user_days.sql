{{ config(materialized='view') }}

-- What users did, counted by day, as known on each as_of_date. A device that changed hands is told event by event.
with
find_devices_of_several as (
    select
        as_of_date,
        device_key
    from {{ ref('int_devices_stitched') }}
    group by as_of_date, device_key
    having count(*) > 1
),

see_what_was_known as (
    {{ known_on_each_date(ref('int_visitor_days')) }}
),

stitch_days as (
    select
        days.as_of_date,
        coalesce(days.user_key, devices.user_key, days.device_key) as user_key,
        coalesce(days.user_key, devices.user_key) is not null as is_identified,
        days.event_date,
        days.channel,
        days.last_event_at,
        {%- for count in day_counts() %}
        days.{{ count }},
        {%- endfor %}
        0 as gross_amount,
        0 as discount_amount,
        0 as refund_amount,
        0 as net_amount,
        0 as item_count,
        0 as review_count,
        0 as review_score_count,
        cast(null as bigint) as review_score_sum
    from see_what_was_known as days
    left join {{ ref('int_devices_stitched') }} as devices
        on
            days.user_key is null
            and days.as_of_date = devices.as_of_date
            and days.device_key = devices.device_key
    left join find_devices_of_several as several
        on
            days.user_key is null
            and days.as_of_date = several.as_of_date
            and days.device_key = several.device_key
    where several.device_key is null
),

choose_events as (
    select events.*
    from {{ ref('int_events_stitched') }} as events
    where events.source_table <> 'events'
    union all
    select events.*
    from {{ ref('int_events_stitched') }} as events
    inner join find_devices_of_several as several
        on events.as_of_date = several.as_of_date and events.device_key = several.device_key
    where events.source_table = 'events' and not events.is_told_by_customer
),

count_events as (
    select
        events.as_of_date,
        events.user_key,
        events.is_identified,
        events.event_date,
        events.channel,
        {{ count_day() }},
        sum(events.gross_amount) as gross_amount,
        sum(events.discount_amount) as discount_amount,
        sum(events.refund_amount) as refund_amount,
        sum(events.net_amount) as net_amount,
        sum(case when events.event_type = 'purchase' then events.quantity else 0 end) as item_count,
        count(*) filter (where events.event_type = 'review') as review_count,
        count(events.review_score) as review_score_count,
        sum(events.review_score) as review_score_sum
    from choose_events as events
    left join {{ ref('event_types') }} as event_types on events.event_type = event_types.event_type
    group by events.as_of_date, events.user_key, events.is_identified, events.event_date, events.channel
),

unite_days as (
    select * from stitch_days
    union all
    select
        as_of_date,
        user_key,
        is_identified,
        event_date,
        channel,
        last_event_at,
        {%- for count in day_counts() %}
        {{ count }},
        {%- endfor %}
        gross_amount,
        discount_amount,
        refund_amount,
        net_amount,
        item_count,
        review_count,
        review_score_count,
        review_score_sum
    from count_events
)

select * from unite_days

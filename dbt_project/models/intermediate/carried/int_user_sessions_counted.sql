-- depends_on: {{ ref('int_users_recounted') }}, {{ ref('int_identities') }}, {{ ref('int_devices_stitched') }}

-- Visits of the last 30 days, of all users whose counts are made anew.
with
-- A day more than is counted, for whoever came back within the gap after midnight.
{{ stitch_events(known_on_each_date(ref('int_events_merged'), days=31)) }},

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
    from stitch_devices as events
    left join {{ ref('event_types') }} as event_types on events.event_type = event_types.event_type
    where
        coalesce(event_types.is_visit, true)
        and {{ is_counted_anew('find_visitors', key='visitor_key') }}
),

count_sessions as (
    select
        as_of_date,
        user_key,
        count(*) as session_count_last_30_days
    from mark_sessions
    where is_session_start and age_days < 30
    group by as_of_date, user_key
)

select * from count_sessions

-- Who is scored and segmented: users with a trace in the last days, any trace, known as of then.
with
summarise_users as (
    select
        as_of_date,
        user_key,
        max(is_identified) as is_identified,
        min(event_date) as first_event_date,
        max(event_date) as last_event_date,
        max(occurred_at) as last_event_at
    from {{ ref('int_events_stitched') }}
    group by as_of_date, user_key
),

keep_recent as (
    select *
    from summarise_users
    where {{ days_between('last_event_date', 'as_of_date') }} < {{ var('eligible_days') }}
)

select * from keep_recent

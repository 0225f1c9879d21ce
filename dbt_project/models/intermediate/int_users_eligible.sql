-- Who is scored and segmented: users with a trace in the last days, any trace, known as of then.
with
keep_recent as (
    select
        as_of_date,
        user_key,
        is_identified,
        first_event_date,
        last_event_date,
        last_event_at
    from {{ ref('int_users_measured') }}
    where
        as_of_date in (select dates.as_of_date from ({{ as_of_dates() }}) as dates)
        and {{ days_between('last_event_date', 'as_of_date') }} < {{ var('eligible_days') }}
)

select * from keep_recent

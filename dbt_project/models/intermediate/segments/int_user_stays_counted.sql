-- What of a day depends on the published days before it: how long users have been where they are, and who is new. Of
-- the as_of_date, and of the published days after it, which have it before them now.
with
recall_published as (
    select * from {{ published_rows('user_segment_daily') }}
),

tell_this_day as (
    select
        as_of_date,
        user_key,
        scheme,
        segment_code
    from {{ ref('int_user_segments_assigned') }}
    where {{ not is_published('user_segment_daily') }}
),

find_days_before as (
    select
        scheme,
        max(as_of_date) as as_of_date
    from recall_published
    where as_of_date < {{ as_of_date() }}
    group by scheme
),

unite_days as (
    select
        as_of_date,
        user_key,
        scheme,
        segment_code,
        cast(null as date) as began_on
    from tell_this_day
    union all
    select
        as_of_date,
        user_key,
        scheme,
        segment_code,
        -- The last day before has counted its stays.
        case
            when as_of_date < {{ as_of_date() }}
                then cast({{ dbt.dateadd('day', '1 - days_in_segment', 'as_of_date') }} as date)
        end as began_on
    from recall_published
    where
        as_of_date >= {{ as_of_date() }}
        or (scheme, as_of_date) in (
            select
                find_days_before.scheme,
                find_days_before.as_of_date
            from find_days_before
        )
),

-- A scheme that a day lacks is compared with the day that had it last.
number_days as (
    select
        scheme,
        as_of_date,
        lag(as_of_date) over (partition by scheme order by as_of_date) as day_before
    from (
        select distinct
            scheme,
            as_of_date
        from unite_days
    ) as days
),

mark_beginnings as (
    select
        days.as_of_date,
        days.user_key,
        days.scheme,
        days.segment_code,
        case
            when days.began_on is not null then days.began_on
            when
                lag(days.as_of_date) over same_user = number_days.day_before
                and lag(days.segment_code) over same_user = days.segment_code
                then null
            else days.as_of_date
        end as began_on
    from unite_days as days
    inner join number_days on days.scheme = number_days.scheme and days.as_of_date = number_days.as_of_date
    window same_user as (partition by days.user_key, days.scheme order by days.as_of_date)
),

carry_beginnings as (
    select
        as_of_date,
        user_key,
        scheme,
        segment_code,
        max(began_on) over (
            partition by user_key, scheme order by as_of_date rows between unbounded preceding and current row
        ) as began_on
    from mark_beginnings
),

find_first_days as (
    select
        user_key,
        min(as_of_date) as first_as_of_date
    from (
        select
            user_key,
            as_of_date
        from recall_published
        union all
        select
            user_key,
            as_of_date
        from tell_this_day
    ) as all_days
    group by user_key
),

-- Before the first snapshot nobody can be told to be new; a day in a segment counts from the snapshot that began it.
count_days as (
    select
        stays.as_of_date,
        stays.user_key,
        stays.scheme,
        stays.segment_code,
        {{ days_between('stays.began_on', 'stays.as_of_date') }} + 1 as days_in_segment,
        users.first_as_of_date = stays.as_of_date
        and stays.as_of_date > (select min(earliest.first_as_of_date) from find_first_days as earliest) as is_new_user
    from carry_beginnings as stays
    inner join find_first_days as users on stays.user_key = users.user_key
    where stays.as_of_date >= {{ as_of_date() }}
)

select * from count_days

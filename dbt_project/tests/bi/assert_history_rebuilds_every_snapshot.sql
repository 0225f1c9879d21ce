-- Row for row, no user twice and none missing; of the last 90 days, which are those that are published.
with
list_snapshots as (
    select distinct
        scheme,
        as_of_date
    from {{ ref('user_segment_daily') }}
    where as_of_date > {{ dbt.dateadd('day', -90, as_of_date()) }}
),

rebuild_snapshots as (
    select
        list_snapshots.as_of_date,
        history.user_key,
        history.scheme,
        history.segment_code
    from {{ ref('user_segment_history') }} as history
    inner join list_snapshots
        on
            history.scheme = list_snapshots.scheme
            and history.valid_from <= list_snapshots.as_of_date
            and (history.valid_to is null or history.valid_to > list_snapshots.as_of_date)
),

count_both as (
    select
        as_of_date,
        user_key,
        scheme,
        segment_code,
        1 as sign
    from rebuild_snapshots
    union all
    select
        daily.as_of_date,
        daily.user_key,
        daily.scheme,
        daily.segment_code,
        -1 as sign
    from {{ ref('user_segment_daily') }} as daily
    where daily.as_of_date in (select list_snapshots.as_of_date from list_snapshots)
),

find_differences as (
    select
        as_of_date,
        user_key,
        scheme,
        segment_code
    from count_both
    group by as_of_date, user_key, scheme, segment_code
    having sum(sign) <> 0
)

select * from find_differences

{{ config(
    materialized='incremental', incremental_strategy='append', full_refresh=false,
    pre_hook="{{ forget_as_of_date() }}"
) }}

with
recall_published as (
    select * from {{ published_rows('user_segment_daily') }}
),

recall_earlier as (
    select
        as_of_date,
        user_key,
        scheme,
        segment_code,
        days_in_segment
    from {% if is_incremental() %}{{ this }}{% else %}recall_published{% endif %}
    where as_of_date < {{ as_of_date() }}
),

find_last as (
    select max(as_of_date) as as_of_date from recall_earlier
),

recall_last as (
    select recall_earlier.*
    from recall_earlier
    inner join find_last on recall_earlier.as_of_date = find_last.as_of_date
),

recall_users as (
    select user_key
    from recall_earlier
    group by user_key
),

-- Before the first snapshot nobody can be told to be new; a day in a segment counts from the snapshot that began it.
compare_with_last as (
    select
        assigned.*,
        case
            when assigned.segment_code = recall_last.segment_code
                then recall_last.days_in_segment + {{ days_between('recall_last.as_of_date', 'assigned.as_of_date') }}
            else 1
        end as days_in_segment,
        recall_users.user_key is null and find_last.as_of_date is not null as is_new_user
    from {{ ref('int_user_segments_assigned') }} as assigned
    cross join find_last
    left join recall_last on assigned.user_key = recall_last.user_key and assigned.scheme = recall_last.scheme
    left join recall_users on assigned.user_key = recall_users.user_key
    where {{ not is_published('user_segment_daily') }}
),

unite_days as (
    select {{ contracted_columns() }} from recall_published
    union all
    select {{ contracted_columns() }} from compare_with_last
)

select * from unite_days

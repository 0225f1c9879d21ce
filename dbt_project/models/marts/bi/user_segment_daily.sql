{{ config(materialized='view') }}

with
recall_published as (
    select * from {{ published_rows('user_segment_daily') }}
),

tell_unpublished as (
    select
        assigned.*,
        stays.days_in_segment,
        stays.is_new_user
    from {{ ref('int_user_segments_assigned') }} as assigned
    left join {{ ref('int_user_stays_counted') }} as stays
        on
            assigned.as_of_date = stays.as_of_date
            and assigned.user_key = stays.user_key
            and assigned.scheme = stays.scheme
    where assigned.as_of_date not in (select recall_published.as_of_date from recall_published)
),

unite_days as (
    select {{ contracted_columns() }} from recall_published
    union all
    select {{ contracted_columns() }} from tell_unpublished
)

select * from unite_days

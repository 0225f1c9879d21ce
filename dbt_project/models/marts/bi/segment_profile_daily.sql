{{ config(
    materialized='incremental', incremental_strategy='append', full_refresh=false,
    pre_hook="{{ forget_as_of_date() }}"
) }}

with
recall_published as (
    select * from {{ published_rows('segment_profile_daily') }}
),

take_unpublished as (
    select * from {{ ref('int_segment_profiles_summed') }}
    where {{ not is_published('segment_profile_daily') }}
),

unite_days as (
    select {{ contracted_columns() }} from recall_published
    union all
    select {{ contracted_columns() }} from take_unpublished
)

select * from unite_days

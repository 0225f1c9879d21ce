{{ config(
    materialized='incremental', incremental_strategy='append', full_refresh=false,
    pre_hook="{{ forget_as_of_date() }}"
) }}

with
recall_published as (
    select * from {{ published_rows('user_score_daily') }}
),

take_unpublished as (
    select * from {{ ref('int_user_scores_received') }}
    where {{ not is_published('user_score_daily') }}
),

unite_days as (
    select {{ contracted_columns() }} from recall_published
    union all
    select {{ contracted_columns() }} from take_unpublished
)

select * from unite_days

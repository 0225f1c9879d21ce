{{ config(materialized='incremental', full_refresh=false, pre_hook="{{ forget_as_of_date() }}") }}

with
recall_published as (
    select * from {{ published_rows('dim_segment') }}
),

-- Before the first publish of this day nothing is decided.
define_unpublished as (
    select * from {{ ref('int_segment_definitions_gathered') }}
    where {{ not is_published('dim_segment') }}
),

unite_definitions as (
    select {{ contracted_columns() }} from recall_published
    union all
    select {{ contracted_columns() }} from define_unpublished
)

select * from unite_definitions

{{ config(materialized='view') }}

with
recall_published as (
    select * from {{ published_rows('dim_segment') }}
),

-- Before the first publish of this day nothing is decided.
define_unpublished as (
    select unpublished.*
    from {{ ref('int_segment_definitions_gathered') }} as unpublished
    where unpublished.as_of_date not in (select recall_published.as_of_date from recall_published)
),

unite_definitions as (
    select {{ contracted_columns() }} from recall_published
    union all
    select {{ contracted_columns() }} from define_unpublished
)

select * from unite_definitions

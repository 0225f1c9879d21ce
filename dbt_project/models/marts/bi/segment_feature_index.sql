{{ config(materialized='view') }}

with
recall_published as (
    select * from {{ published_rows('segment_feature_index') }}
),

take_unpublished as (
    select unpublished.*
    from {{ ref('int_segment_features_indexed') }} as unpublished
    where unpublished.as_of_date not in (select recall_published.as_of_date from recall_published)
),

unite_days as (
    select {{ contracted_columns() }} from recall_published
    union all
    select {{ contracted_columns() }} from take_unpublished
)

select * from unite_days

{{ config(materialized='view') }}

with
keep_newest as (
    select *
    from {{ ref('user_segment_daily') }}
    where as_of_date = (select max(as_of_date) from {{ ref('user_segment_daily') }})
)

select * from keep_newest

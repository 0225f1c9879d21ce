{{ config(materialized='view') }}

with
find_newest as (
    select max(as_of_date) as as_of_date from {{ ref('user_segment_daily') }}
),

keep_newest as (
    select daily.*
    from {{ ref('user_segment_daily') }} as daily
    inner join find_newest on daily.as_of_date = find_newest.as_of_date
)

select * from keep_newest

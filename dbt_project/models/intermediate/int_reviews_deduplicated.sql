{{ config(materialized='incremental', pre_hook="{{ touch_keys('reviews', ['review_id']) }}") }}

with
read_touched_rows as (
    select * from {{ ref('stg_shop__reviews') }}
    {{ where_key_is_touched('reviews', ['review_id']) }}
),

{{ version_by_key(ref('stg_shop__reviews'), key=['review_id']) }}

select * from close_versions

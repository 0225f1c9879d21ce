{{ config(materialized='incremental', pre_hook="{{ touch_keys('orders', ['order_id']) }}") }}

with
read_touched_rows as (
    select * from {{ ref('stg_shop__orders') }}
    {{ where_key_is_touched('orders', ['order_id']) }}
),

{{ version_by_key(ref('stg_shop__orders'), key=['order_id'], version='updated_at') }}

select * from close_versions

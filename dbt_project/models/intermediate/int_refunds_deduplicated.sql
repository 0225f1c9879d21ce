{{ config(materialized='incremental', pre_hook="{{ touch_keys('refunds', ['refund_id']) }}") }}

with
read_touched_rows as (
    select * from {{ ref('stg_shop__refunds') }}
    {{ where_key_is_touched('refunds', ['refund_id']) }}
),

{{ version_by_key(ref('stg_shop__refunds'), key=['refund_id']) }}

select * from close_versions

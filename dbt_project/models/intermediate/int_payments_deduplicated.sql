{{ config(materialized='incremental', pre_hook="{{ touch_keys('payments', ['payment_id']) }}") }}

with
read_touched_rows as (
    select * from {{ ref('stg_shop__payments') }}
    {{ where_key_is_touched('payments', ['payment_id']) }}
),

{{ version_by_key(ref('stg_shop__payments'), key=['payment_id']) }}

select * from close_versions

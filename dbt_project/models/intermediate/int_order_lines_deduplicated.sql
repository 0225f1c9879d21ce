{{ config(materialized='incremental', pre_hook="{{ touch_keys('order_lines', ['order_id']) }}") }}

with
read_touched_rows as (
    select * from {{ ref('stg_shop__order_lines') }}
    {{ where_key_is_touched('order_lines', ['order_id']) }}
),

{{ version_by_delivery(ref('stg_shop__order_lines'), key=['order_id', 'line_number'], unit=['order_id']) }}

select * from close_versions

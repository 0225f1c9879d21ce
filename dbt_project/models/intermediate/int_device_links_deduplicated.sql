{{ config(
    materialized='incremental',
    pre_hook="{{ touch_keys('device_links', ['device_key', 'user_key', 'linked_at']) }}"
) }}

with
read_touched_rows as (
    select * from {{ ref('stg_shop__device_links') }}
    {{ where_key_is_touched('device_links', ['device_key', 'user_key', 'linked_at']) }}
),

{{ version_by_key(ref('stg_shop__device_links'), key=['device_key', 'user_key', 'linked_at']) }}

select * from close_versions

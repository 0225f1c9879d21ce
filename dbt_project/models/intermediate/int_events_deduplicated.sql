{{ config(materialized='incremental', pre_hook="{{ touch_keys('events', ['event_id']) }}") }}

with
read_touched_rows as (
    select * from {{ ref('stg_shop__events') }}
    {{ where_key_is_touched('events', ['event_id']) }}
),

{{ version_by_key(ref('stg_shop__events'), key=['event_id']) }},

-- The shop's clock is asked once, and not by everyone who reads the hour.
add_hour as (
    select
        *,
        {{ hour_of_week('occurred_at') }} as hour_of_week
    from close_versions
)

select * from add_hour

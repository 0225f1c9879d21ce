{{ config(materialized='table') }}

with
show_spells as (
    select
        user_key,
        scheme,
        valid_from,
        segment_code,
        segment_name_en,
        segment_name_zh,
        previous_code,
        valid_to,
        valid_to is null as is_current,
        entry_cause,
        exit_reason,
        run_id
    from {{ ref('int_user_segments_spelled') }}
)

select * from show_spells

{{ config(materialized='table') }}

with
tell_entries as (
    select
        user_key,
        scheme,
        segment_code,
        segment_name_en,
        segment_name_zh,
        cast(valid_from as timestamp) as event_at,
        'enter' as event,
        entry_cause as reason,
        run_id
    from {{ ref('int_user_segments_spelled') }}
),

tell_exits as (
    select
        user_key,
        scheme,
        segment_code,
        segment_name_en,
        segment_name_zh,
        cast(valid_to as timestamp) as event_at,
        'exit' as event,
        exit_reason as reason,
        exit_run_id as run_id
    from {{ ref('int_user_segments_spelled') }}
    where valid_to is not null
),

unite_events as (
    select * from tell_entries
    union all
    select * from tell_exits
),

-- Halves that stay, and that differ from segment to segment: who is in one is tossed anew for the next.
split_groups as (
    select
        *,
        case when substr(md5(user_key || '|' || scheme || '|' || segment_code), 1, 1) < '8' then 'a' else 'b' end
            as split_group
    from unite_events
)

select * from split_groups

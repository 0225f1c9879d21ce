{{ config(materialized='view') }}

-- A view: what is kept is each user's lists, as often as they change.
with
-- A user of whom only what is in no sequence is known still has a row, with empty lists.
keep_eligible_users as (
    select
        users.user_key,
        users.as_of_date,
        coalesce(listed.content_key, 'no events') as content_key,
        coalesce(listed.event_count, 0) as event_count,
        {%- for list in sequence_lists() %}
        coalesce(listed.{{ list }}, []) as {{ list }},
        {%- endfor %}
        users.last_event_at
    from {{ ref('int_users_eligible') }} as users
    left join {{ ref('int_user_sequences') }} as sequences
        on users.as_of_date = sequences.as_of_date and users.user_key = sequences.user_key
    left join {{ ref('int_users_lined_up') }} as listed on sequences.sequence_key = listed.sequence_key
)

select * from keep_eligible_users

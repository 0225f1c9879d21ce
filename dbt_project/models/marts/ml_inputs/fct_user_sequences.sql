{{ config(materialized='view') }}

-- A view: what is kept is each user's lists, as often as they change. Lists are read in the order in which they lie, and
-- only who they are of is looked up.
with
find_lists as (
    select
        users.user_key,
        users.as_of_date,
        sequences.sequence_key,
        users.last_event_at
    from {{ ref('int_users_eligible') }} as users
    left join {{ ref('int_user_sequences') }} as sequences
        on users.as_of_date = sequences.as_of_date and users.user_key = sequences.user_key
),

read_lists as (
    select
        users.user_key,
        users.as_of_date,
        listed.content_key,
        listed.event_count,
        {%- for list in sequence_lists() %}
        listed.{{ list }},
        {%- endfor %}
        users.last_event_at
    from {{ ref('int_users_lined_up') }} as listed
    inner join find_lists as users on listed.sequence_key = users.sequence_key
),

-- A user of whom only what is in no sequence is known still has a row, with empty lists.
add_empty_lists as (
    select * from read_lists
    union all
    select
        user_key,
        as_of_date,
        'no events' as content_key,
        0 as event_count,
        {%- for list in sequence_lists() %}
        [] as {{ list }},
        {%- endfor %}
        last_event_at
    from find_lists
    where sequence_key is null
)

select * from add_empty_lists

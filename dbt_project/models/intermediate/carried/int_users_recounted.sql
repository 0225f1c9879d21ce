-- depends_on: {{ ref('int_user_days') }}
-- Whose counts differ from those of the as_of_date that the new one is made from: users that have changed, and those of
-- whom a day left one of the windows.
with
find_aged_days as (
    {%- for as_of_date, carried_from in var('carried').items() %}
    {%- for days in [7, 30, 90] %}
    select as_of_date, user_key
    from {{ ref('int_user_days') }}
    where
        as_of_date = date '{{ as_of_date }}'
        and event_date > date '{{ carried_from }}' - interval {{ days }} days
        and event_date <= date '{{ as_of_date }}' - interval {{ days }} days
    union all
    {%- endfor %}
    {%- endfor %}
    select as_of_date, user_key from {{ ref('int_users_changed') }}
),

count_once as (
    select distinct as_of_date, user_key from find_aged_days
)

select * from count_once

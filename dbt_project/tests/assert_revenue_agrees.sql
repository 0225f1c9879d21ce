-- The money of all users and of nobody is the money of all events, to the last digit.
with
sum_up as (
    select
        (select coalesce(sum(net_amount), 0) from {{ ref('fct_events') }}) as of_events,
        (select coalesce(sum(net_revenue_amount), 0) from {{ ref('dim_users') }}) as of_users,
        (
            select coalesce(sum(net_amount), 0)
            from {{ ref('fct_events') }}
            where coalesce(user_key, device_key) is null
        ) as of_nobody
),

find_difference as (
    select *
    from sum_up
    where of_events <> of_users + of_nobody
)

select * from find_difference

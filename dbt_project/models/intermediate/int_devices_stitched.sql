{{ config(materialized='incremental', pre_hook="{{ forget_all_but_carried() }}") }}

-- Which customer a device tells, as of each as_of_date, and as of the end of time: as is known now. Time before the
-- first link belongs to the first customer; a public device tells nobody and has no rows.
with
list_as_of_dates as (
    {{ as_of_dates(made_dates()) }}
    union all
    select date '9999-12-31' as as_of_date
),

see_what_was_known as (
    select
        list_as_of_dates.as_of_date,
        links.device_key,
        links.user_key,
        links.first_linked_at,
        links.last_linked_at
    from {{ ref('int_identities') }} as links
    inner join list_as_of_dates
        on
            links.event_date <= list_as_of_dates.as_of_date
            and {{ is_known_as_of('links', 'list_as_of_dates.as_of_date') }}
),

count_customers as (
    select
        as_of_date,
        device_key,
        count(distinct user_key) as customer_count,
        min(user_key) as first_user_key
    from see_what_was_known
    group by as_of_date, device_key
),

-- Most devices are one customer's for all time; only the others have to be put in order.
keep_private_devices as (
    select
        see_what_was_known.as_of_date,
        see_what_was_known.device_key,
        see_what_was_known.user_key,
        see_what_was_known.first_linked_at,
        see_what_was_known.last_linked_at
    from see_what_was_known
    inner join count_customers
        on
            see_what_was_known.as_of_date = count_customers.as_of_date
            and see_what_was_known.device_key = count_customers.device_key
    where count_customers.customer_count between 2 and {{ var('max_customers_per_device') }}
),

list_moments as (
    select as_of_date, device_key, user_key, first_linked_at as linked_at from keep_private_devices
    union all
    select as_of_date, device_key, user_key, last_linked_at as linked_at from keep_private_devices
),

-- Two customers at the very same moment: the smaller key, since something must decide, always the same way.
settle_ties as (
    select
        as_of_date,
        device_key,
        linked_at,
        min(user_key) as user_key
    from list_moments
    group by as_of_date, device_key, linked_at
),

keep_changes_of_hands as (
    select *
    from settle_ties
    qualify coalesce(
        user_key <> lag(user_key) over (partition by as_of_date, device_key order by linked_at), true
    )
),

open_intervals as (
    select
        as_of_date,
        device_key,
        user_key,
        case
            when row_number() over (partition by as_of_date, device_key order by linked_at) > 1 then linked_at
            else timestamp '0001-01-01 00:00:00'
        end as valid_from,
        coalesce(
            lead(linked_at) over (partition by as_of_date, device_key order by linked_at),
            timestamp '9999-12-31 00:00:00'
        ) as valid_to
    from keep_changes_of_hands
    union all
    select
        as_of_date,
        device_key,
        first_user_key as user_key,
        timestamp '0001-01-01 00:00:00' as valid_from,
        timestamp '9999-12-31 00:00:00' as valid_to
    from count_customers
    where customer_count = 1
)

select * from open_intervals

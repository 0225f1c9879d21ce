-- Customers, and the devices that tell no customer.
with
name_users as (
    select
        coalesce(events.user_key, devices.user_key, events.device_key) as user_key,
        coalesce(events.user_key, devices.user_key) is not null as is_identified,
        events.device_key,
        events.session_id,
        case when events.event_type in ('purchase', 'order') then events.order_id end as order_id,
        case when events.event_type in ('purchase', 'order') then events.event_date end as order_date,
        events.occurred_at,
        events.net_amount
    from {{ ref('int_events_sessionized') }} as events
    left join {{ ref('int_devices_stitched') }} as devices
        on {{ is_told_by_device("date '9999-12-31'") }}
),

-- What is counted once is counted among a fifth of the rows.
summarise_visits as (
    select
        user_key,
        device_key,
        session_id,
        order_id,
        max(is_identified) as is_identified,
        min(occurred_at) as first_seen_at,
        max(occurred_at) as last_seen_at,
        min(order_date) as first_order_date,
        max(order_date) as last_order_date,
        sum(net_amount) as net_revenue_amount
    from name_users
    where user_key is not null
    group by user_key, device_key, session_id, order_id
),

summarise_events as (
    select
        user_key,
        max(is_identified) as is_identified,
        min(first_seen_at) as first_seen_at,
        max(last_seen_at) as last_seen_at,
        count(distinct device_key) as device_count,
        count(distinct session_id) as session_count,
        count(distinct order_id) as order_count,
        min(first_order_date) as first_order_date,
        max(last_order_date) as last_order_date,
        cast(sum(net_revenue_amount) as decimal(18, 4)) as net_revenue_amount
    from summarise_visits
    group by user_key
),

read_latest_customers as (
    select *
    from {{ ref('int_customers_deduplicated') }}
    where superseded_on is null
),

describe_users as (
    select
        coalesce(users.user_key, customers.user_key) as user_key,
        coalesce(users.is_identified, true) as is_identified,
        users.first_seen_at,
        users.last_seen_at,
        coalesce(users.device_count, 0) as device_count,
        coalesce(users.session_count, 0) as session_count,
        coalesce(users.order_count, 0) as order_count,
        users.first_order_date,
        users.last_order_date,
        coalesce(users.net_revenue_amount, 0) as net_revenue_amount,
        customers.registered_at,
        customers.country,
        customers.language,
        customers.has_marketing_consent,
        customers.has_profiling_consent
    from summarise_events as users
    full outer join read_latest_customers as customers on users.user_key = customers.user_key
)

select * from describe_users

-- Customers, and the devices that tell no customer.
with
read_devices as (
    select *
    from {{ ref('int_devices_stitched') }}
    where as_of_date = date '9999-12-31'
),

find_devices_of_several as (
    select device_key
    from read_devices
    group by device_key
    having count(*) > 1
),

-- Most visits are wholly one user's: nobody was logged in but the only customer that the device tells.
name_visitors as (
    select
        sessions.session_id,
        coalesce(sessions.user_key, devices.user_key, sessions.device_key) as user_key,
        coalesce(sessions.user_key, devices.user_key) is not null as is_identified,
        sessions.device_key,
        sessions.session_started_at,
        sessions.session_ended_at,
        sessions.net_revenue_amount,
        several.device_key is null
        and (
            sessions.user_count = 0
            or sessions.device_key is null
            or (sessions.user_count = 1 and coalesce(sessions.user_key = devices.user_key, false))
        ) as is_of_one
    from {{ ref('fct_sessions') }} as sessions
    left join find_devices_of_several as several on sessions.device_key = several.device_key
    left join read_devices as devices on several.device_key is null and sessions.device_key = devices.device_key
),

choose_visits_of_several as (
    select session_id
    from name_visitors
    where not is_of_one
),

-- Their events are told one by one, and so are what is no visit, and orders.
choose_events as (
    select
        events.*,
        events.session_id is null or visits.session_id is not null as is_told_by_itself,
        events.event_type in ('purchase', 'order') as is_order
    from {{ ref('int_events_sessionized') }} as events
    left join choose_visits_of_several as visits on events.session_id = visits.session_id
),

name_users as (
    select
        coalesce(events.user_key, devices.user_key, events.device_key) as user_key,
        coalesce(events.user_key, devices.user_key) is not null as is_identified,
        events.device_key,
        events.session_id,
        events.order_id,
        events.occurred_at,
        events.event_date,
        events.net_amount,
        events.is_told_by_itself,
        events.is_order
    from choose_events as events
    left join read_devices as devices
        on {{ is_told_by_device("date '9999-12-31'") }}
    where events.is_told_by_itself or events.is_order
),

summarise_visits as (
    select
        user_key,
        session_id,
        device_key,
        is_identified,
        session_started_at as first_seen_at,
        session_ended_at as last_seen_at,
        net_revenue_amount
    from name_visitors
    where is_of_one
    union all
    select
        user_key,
        session_id,
        max(device_key) as device_key,
        max(is_identified) as is_identified,
        min(occurred_at) as first_seen_at,
        max(occurred_at) as last_seen_at,
        sum(net_amount) as net_revenue_amount
    from name_users
    where is_told_by_itself and user_key is not null
    group by user_key, session_id, case when session_id is null then device_key end
),

summarise_orders as (
    select
        user_key,
        count(distinct order_id) as order_count,
        min(event_date) as first_order_date,
        max(event_date) as last_order_date
    from name_users
    where is_order and user_key is not null
    group by user_key
),

summarise_users as (
    select
        user_key,
        max(is_identified) as is_identified,
        min(first_seen_at) as first_seen_at,
        max(last_seen_at) as last_seen_at,
        count(distinct device_key) as device_count,
        count(session_id) as session_count,
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
        coalesce(orders.order_count, 0) as order_count,
        orders.first_order_date,
        orders.last_order_date,
        coalesce(users.net_revenue_amount, 0) as net_revenue_amount,
        customers.registered_at,
        customers.country,
        customers.language,
        customers.has_marketing_consent,
        customers.has_profiling_consent
    from summarise_users as users
    left join summarise_orders as orders on users.user_key = orders.user_key
    full outer join read_latest_customers as customers on users.user_key = customers.user_key
)

select * from describe_users

-- Every day on which a customer was seen on a device, by its first and its last moment: said by the shop, or in an
-- event that carries both. Who comes back to a device on the day on which another had it has it from then on.
with
gather_evidence as (
    select
        device_key,
        user_key,
        linked_at as first_linked_at,
        linked_at as last_linked_at,
        event_date,
        delivered_on,
        superseded_on
    from {{ ref('int_device_links_deduplicated') }}
    union all
    select
        device_key,
        user_key,
        first_event_at as first_linked_at,
        last_event_at as last_linked_at,
        event_date,
        delivered_on,
        superseded_on
    from {{ ref('int_visitor_days') }}
    where device_key is not null and user_key is not null
    union all
    select
        device_key,
        user_key,
        occurred_at as first_linked_at,
        occurred_at as last_linked_at,
        event_date,
        delivered_on,
        superseded_on
    from {{ ref('int_order_events_merged') }}
    where device_key is not null and user_key is not null
),

find_ends_of_each_day as (
    select
        device_key,
        user_key,
        event_date,
        delivered_on,
        superseded_on,
        min(first_linked_at) as first_linked_at,
        max(last_linked_at) as last_linked_at
    from gather_evidence
    group by device_key, user_key, event_date, delivered_on, superseded_on
)

select * from find_ends_of_each_day

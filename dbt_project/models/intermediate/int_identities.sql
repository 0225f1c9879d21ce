-- Every day on which a customer was seen on a device: said by the shop, or in an event that carries both.
with
gather_evidence as (
    select
        device_key,
        user_key,
        linked_at,
        event_date,
        delivered_on,
        superseded_on
    from {{ ref('int_device_links_deduplicated') }}
    union all
    select
        device_key,
        user_key,
        first_event_at as linked_at,
        event_date,
        delivered_on,
        superseded_on
    from {{ ref('int_visitor_days') }}
    where device_key is not null and user_key is not null
    union all
    select
        device_key,
        user_key,
        occurred_at as linked_at,
        event_date,
        delivered_on,
        superseded_on
    from {{ ref('int_order_events_merged') }}
    where device_key is not null and user_key is not null
),

keep_first_of_each_day as (
    select
        device_key,
        user_key,
        event_date,
        delivered_on,
        superseded_on,
        min(linked_at) as linked_at
    from gather_evidence
    group by device_key, user_key, event_date, delivered_on, superseded_on
)

select * from keep_first_of_each_day

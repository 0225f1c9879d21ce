-- Of whom something became known between an as_of_date and the one that it is made from. Whoever is only told more of
-- goes on where the earlier date ended; whoever is told anew had another past by then.
with
list_carried_dates as (
    {{ carried_dates() }}
),

-- What happened since adds to what was known. What happened before, and was told or replaced since, changes it.
find_events as (
    {%- for as_of_date, carried_from in var('carried').items() %}
    select
        date '{{ as_of_date }}' as as_of_date,
        user_key,
        device_key,
        false as is_told_anew
    from {{ ref('int_events_merged') }} as events
    where
        event_date > date '{{ carried_from }}' and event_date <= date '{{ as_of_date }}'
        and {{ is_known_as_of('events', "date '" ~ as_of_date ~ "'") }}
    {%- for moment in ['delivered_on', 'superseded_on'] %}
    union all
    select
        date '{{ as_of_date }}' as as_of_date,
        user_key,
        device_key,
        true as is_told_anew
    from {{ ref('int_events_merged') }}
    where
        {{ moment }} > date '{{ carried_from }}' and {{ moment }} <= date '{{ as_of_date }}'
        and event_date <= date '{{ carried_from }}'
    {%- endfor %}
    union all
    {%- endfor %}
    select
        find_products.as_of_date,
        events.user_key,
        events.device_key,
        true as is_told_anew
    from {{ ref('int_events_merged') }} as events
    inner join {{ ref('int_products_changed') }} as find_products on events.product_id = find_products.product_id
),

-- A stretch of a device that began, ended or changed hands concerns its user, and the device as a user.
find_stretches as (
    {%- for pair in [('as_of_date', 'carried_from'), ('carried_from', 'as_of_date')] %}
    (
        select carried.as_of_date, devices.device_key, devices.user_key, devices.valid_from, devices.valid_to
        from {{ ref('int_devices_stitched') }} as devices
        inner join list_carried_dates as carried on devices.as_of_date = carried.{{ pair[0] }}
        except
        select carried.as_of_date, devices.device_key, devices.user_key, devices.valid_from, devices.valid_to
        from {{ ref('int_devices_stitched') }} as devices
        inner join list_carried_dates as carried on devices.as_of_date = carried.{{ pair[1] }}
    )
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}
),

-- Those of devices on which nobody unknown did anything before are only told more of.
find_first_days as (
    select
        device_key,
        min(event_date) as first_date
    from {{ ref('int_events_merged') }}
    where user_key is null and device_key in (select device_key from find_stretches)
    group by device_key
),

find_pasts as (
    select distinct
        find_stretches.as_of_date,
        find_stretches.device_key
    from find_stretches
    inner join find_first_days on find_stretches.device_key = find_first_days.device_key
    inner join list_carried_dates as carried on find_stretches.as_of_date = carried.as_of_date
    where find_first_days.first_date <= carried.carried_from
),

name_users as (
    select as_of_date, user_key, is_told_anew from find_events where user_key is not null
    union all
    select as_of_date, device_key as user_key, is_told_anew from find_events where user_key is null
    union all
    select find_events.as_of_date, devices.user_key, find_events.is_told_anew
    from find_events
    inner join {{ ref('int_devices_stitched') }} as devices
        on find_events.as_of_date = devices.as_of_date and find_events.device_key = devices.device_key
    where find_events.user_key is null
    union all
    -- A visit that is cut otherwise counts for all who were seen on the device.
    select find_events.as_of_date, links.user_key, true as is_told_anew
    from find_events
    inner join {{ ref('int_identities') }} as links on find_events.device_key = links.device_key
    where find_events.is_told_anew
    union all
    select find_stretches.as_of_date, find_stretches.user_key, true as is_told_anew
    from find_stretches
    inner join find_pasts
        on
            find_stretches.as_of_date = find_pasts.as_of_date
            and find_stretches.device_key = find_pasts.device_key
    union all
    select as_of_date, device_key as user_key, true as is_told_anew from find_pasts
),

count_once as (
    select
        as_of_date,
        user_key,
        max(is_told_anew) as is_told_anew
    from name_users
    where user_key is not null
    group by as_of_date, user_key
)

select * from count_once

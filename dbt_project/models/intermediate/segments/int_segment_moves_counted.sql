-- Who was where on two snapshots 1, 7 or 28 days apart, by segment. The last 90 days; every user of either counts once.
with
list_snapshots as (
    select distinct
        scheme,
        as_of_date
    from {{ ref('user_segment_daily') }}
),

pair_snapshots as (
    select
        later.scheme,
        earlier.as_of_date as from_date,
        later.as_of_date as to_date
    from list_snapshots as later
    inner join list_snapshots as earlier
        on
            later.scheme = earlier.scheme
            and {{ days_between('earlier.as_of_date', 'later.as_of_date') }} in (1, 7, 28)
    where
        {{ days_between('later.as_of_date', '(select max(newest.as_of_date) from list_snapshots as newest)') }} < 90
),

{% for place, day in (('place_before', 'from_date'), ('place_after', 'to_date')) -%}
{{ place }} as (
    select
        pairs.scheme,
        pairs.from_date,
        pairs.to_date,
        daily.user_key,
        daily.segment_code,
        daily.net_revenue_amount
    from pair_snapshots as pairs
    inner join {{ ref('user_segment_daily') }} as daily
        on pairs.scheme = daily.scheme and pairs.{{ day }} = daily.as_of_date
),

{% endfor -%}
compare_places as (
    select
        coalesce(place_before.scheme, place_after.scheme) as scheme,
        coalesce(place_before.from_date, place_after.from_date) as from_date,
        coalesce(place_before.to_date, place_after.to_date) as to_date,
        coalesce(place_before.user_key, place_after.user_key) as user_key,
        place_before.segment_code as code_before,
        place_after.segment_code as code_after,
        coalesce(place_after.net_revenue_amount, place_before.net_revenue_amount) as net_amount
    from place_before
    full outer join place_after
        on
            place_before.scheme = place_after.scheme
            and place_before.from_date = place_after.from_date
            and place_before.to_date = place_after.to_date
            and place_before.user_key = place_after.user_key
),

-- Devices that went on as customers, as was known on the later day.
find_identified as (
    select distinct
        places.from_date,
        places.to_date,
        places.user_key as device_key,
        links.user_key
    from compare_places as places
    inner join {{ ref('int_identities') }} as links
        on
            places.user_key = links.device_key
            and places.to_date >= links.event_date
            and {{ is_known_as_of('links', 'places.to_date') }}
    where places.code_after is null
),

-- A public device tells nobody: it is not seen any more, and its customers do not come from it.
list_devices as (
    select
        from_date,
        to_date,
        device_key
    from find_identified
    group by from_date, to_date, device_key
    having count(*) <= {{ var('max_customers_per_device') }}
),

list_customers as (
    select distinct
        found.from_date,
        found.to_date,
        found.user_key
    from find_identified as found
    inner join list_devices
        on
            found.from_date = list_devices.from_date
            and found.to_date = list_devices.to_date
            and found.device_key = list_devices.device_key
),

find_erased as (
    select distinct
        places.to_date,
        places.user_key
    from compare_places as places
    inner join {{ source('ops', 'erasure_ledger') }} as erasures
        on places.user_key = erasures.user_key and places.to_date >= erasures.erased_on
    where places.code_after is null
),

name_ends as (
    select
        places.scheme,
        places.from_date,
        places.to_date,
        places.user_key,
        places.net_amount,
        case
            when places.code_before is not null then places.code_before
            when customers.user_key is not null then 'IDENTIFIED'
            else 'NEW'
        end as from_code,
        case
            when places.code_after is not null then places.code_after
            when find_erased.user_key is not null then 'ERASED'
            when devices.device_key is not null then 'IDENTIFIED'
            else 'ABSENT'
        end as to_code,
        coalesce(places.code_before <> places.code_after, false) as is_moved
    from compare_places as places
    left join list_devices as devices
        on
            places.from_date = devices.from_date
            and places.to_date = devices.to_date
            and places.user_key = devices.device_key
            and places.code_after is null
    left join list_customers as customers
        on
            places.from_date = customers.from_date
            and places.to_date = customers.to_date
            and places.user_key = customers.user_key
            and places.code_before is null
    left join find_erased on places.to_date = find_erased.to_date and places.user_key = find_erased.user_key
),

-- What brought the user to where the later snapshot has the user.
add_causes as (
    select
        name_ends.scheme,
        name_ends.from_date,
        name_ends.to_date,
        name_ends.from_code,
        name_ends.to_code,
        name_ends.net_amount,
        case when name_ends.is_moved then spells.entry_cause else 'none' end as cause
    from name_ends
    left join {{ ref('int_user_segments_spelled') }} as spells
        on
            name_ends.is_moved
            and name_ends.user_key = spells.user_key
            and name_ends.scheme = spells.scheme
            and name_ends.to_date >= spells.valid_from
            and (spells.valid_to is null or name_ends.to_date < spells.valid_to)
),

count_moves as (
    select
        scheme,
        from_date,
        to_date,
        from_code,
        to_code,
        cause,
        count(*) as users,
        coalesce(sum(net_amount), 0) as net_amount
    from add_causes
    group by scheme, from_date, to_date, from_code, to_code, cause
)

select * from count_moves

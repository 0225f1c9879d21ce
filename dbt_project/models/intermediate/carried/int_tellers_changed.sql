-- Under which keys the log tells of the users that have changed: their own, and those of their devices.
with
name_tellers as (
    select
        as_of_date,
        user_key as told_by,
        is_told_anew
    from {{ ref('int_users_changed') }}
    union all
    select
        changed.as_of_date,
        devices.device_key as told_by,
        changed.is_told_anew
    from {{ ref('int_users_changed') }} as changed
    inner join {{ ref('int_devices_stitched') }} as devices
        on changed.as_of_date = devices.as_of_date and changed.user_key = devices.user_key
),

count_once as (
    select
        as_of_date,
        told_by,
        max(is_told_anew) as is_told_anew
    from name_tellers
    group by as_of_date, told_by
)

select * from count_once

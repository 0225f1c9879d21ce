{{ config(materialized='view') }}
-- depends_on: {{ ref('int_users_changed') }}, {{ ref('int_tellers_changed') }}

-- What sequences have to be told on each as_of_date: the behaviour log as it was known; where the date is made from an
-- earlier one, all of the users that are told anew, and of the others what happened since.
with
{{ stitch_events(known_on_each_date(ref('int_events_merged'), only='news')) }}

{%- if var('carried') %},

drop_what_is_not_new as (
    select stitch_devices.*
    from stitch_devices
    left join ({{ carried_dates() }}) as carried on stitch_devices.as_of_date = carried.as_of_date
    left join {{ ref('int_users_changed') }} as changed
        on stitch_devices.as_of_date = changed.as_of_date and stitch_devices.user_key = changed.user_key
    where
        carried.as_of_date is null
        or changed.is_told_anew
        or stitch_devices.event_date > carried.carried_from
)

select * from drop_what_is_not_new
{%- else %}

select * from stitch_devices
{%- endif %}

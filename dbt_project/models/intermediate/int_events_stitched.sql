{{ config(materialized='view') }}

-- The behaviour log as it was known on each as_of_date, with the user that it then belonged to. What neither a
-- customer nor a device did belongs to nobody, and is left out. A view: written down, it would be the log three times.
with
{{ stitch_events(known_on_each_date(ref('int_events_merged'))) }}

select * from stitch_devices

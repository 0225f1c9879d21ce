with
read_accepted_files as (
    select * from {{ landed_rows('exposures') }}
),

name_columns as (
    select
        exposure_id,
        user_key,
        device_key,
        shown_at,
        product_id,
        placement,
        position,
        propensity,
        event_date,
        is_repeated_hour,
        delivered_on,
        file_id,
        row_number
    from read_accepted_files
)

select * from name_columns

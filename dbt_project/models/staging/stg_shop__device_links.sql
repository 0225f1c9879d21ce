with
read_accepted_files as (
    select * from {{ landed_rows('device_links') }}
),

name_columns as (
    select
        device_key,
        user_key,
        linked_at,
        method,
        event_date,
        is_repeated_hour,
        delivered_on,
        file_id,
        row_number
    from read_accepted_files
)

select * from name_columns

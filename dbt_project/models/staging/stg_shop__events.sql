with
read_accepted_files as (
    select * from {{ landed_rows('events') }}
),

name_columns as (
    select
        event_id,
        event_type,
        occurred_at,
        user_key,
        device_key,
        product_id,
        query,
        channel,
        page,
        quantity,
        price_amount,
        campaign_id,
        event_date,
        is_repeated_hour,
        delivered_on,
        file_id,
        row_number
    from read_accepted_files
)

select * from name_columns

with
read_accepted_files as (
    select * from {{ landed_rows('orders') }}
),

name_columns as (
    select
        order_id,
        ordered_at,
        user_key,
        device_key,
        order_status,
        channel,
        currency,
        discount_amount,
        shipping_amount,
        coupon_code,
        updated_at,
        op,
        event_date,
        is_repeated_hour,
        delivered_on,
        file_id,
        row_number
    from read_accepted_files
)

select * from name_columns

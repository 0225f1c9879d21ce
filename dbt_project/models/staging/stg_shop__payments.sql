with
read_accepted_files as (
    select * from {{ landed_rows('payments') }}
),

name_columns as (
    select
        payment_id,
        order_id,
        user_key,
        paid_at,
        paid_amount,
        method,
        payment_status,
        event_date,
        is_repeated_hour,
        delivered_on,
        file_id,
        row_number
    from read_accepted_files
)

select * from name_columns

with
read_accepted_files as (
    select * from {{ landed_rows('refunds') }}
),

name_columns as (
    select
        refund_id,
        order_id,
        user_key,
        product_id,
        refunded_at,
        quantity,
        refund_amount,
        reason,
        event_date,
        is_repeated_hour,
        delivered_on,
        file_id,
        row_number
    from read_accepted_files
)

select * from name_columns

with
read_accepted_files as (
    select * from {{ landed_rows('order_lines') }}
),

name_columns as (
    select
        order_id,
        line_number,
        ordered_at,
        product_id,
        quantity,
        unit_price_amount,
        discount_amount,
        op,
        event_date,
        is_repeated_hour,
        delivered_on,
        file_id,
        row_number
    from read_accepted_files
)

select * from name_columns

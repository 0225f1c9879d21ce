with
read_accepted_files as (
    select * from {{ landed_rows('products') }}
),

name_columns as (
    select
        product_id,
        title,
        category,
        brand,
        price_amount,
        description,
        is_product,
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

with
read_accepted_files as (
    select * from {{ landed_rows('reviews') }}
),

name_columns as (
    select
        review_id,
        user_key,
        product_id,
        order_id,
        reviewed_at,
        score,
        review_text,
        language,
        event_date,
        is_repeated_hour,
        delivered_on,
        file_id,
        row_number
    from read_accepted_files
)

select * from name_columns

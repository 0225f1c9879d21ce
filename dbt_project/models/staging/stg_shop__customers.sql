with
read_accepted_files as (
    select * from {{ landed_rows('customers') }}
),

name_columns as (
    select
        user_key,
        registered_at,
        country,
        language,
        has_marketing_consent,
        has_profiling_consent,
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

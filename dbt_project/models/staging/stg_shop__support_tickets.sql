with
read_accepted_files as (
    select * from {{ landed_rows('support_tickets') }}
),

name_columns as (
    select
        ticket_id,
        user_key,
        opened_at,
        channel,
        language,
        order_id,
        subject,
        ticket_text,
        event_date,
        is_repeated_hour,
        delivered_on,
        file_id,
        row_number
    from read_accepted_files
)

select * from name_columns

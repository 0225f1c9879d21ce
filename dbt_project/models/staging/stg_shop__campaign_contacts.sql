with
read_accepted_files as (
    select * from {{ landed_rows('campaign_contacts') }}
),

name_columns as (
    select
        contact_id,
        campaign_id,
        user_key,
        contacted_at,
        channel,
        arm,
        offer_code,
        event_date,
        is_repeated_hour,
        delivered_on,
        file_id,
        row_number
    from read_accepted_files
)

select * from name_columns

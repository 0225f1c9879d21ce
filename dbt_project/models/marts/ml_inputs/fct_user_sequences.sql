with
measure_gaps as (
    select
        *,
        {{ seconds_between(
            'lag(occurred_at) over (partition by as_of_date, user_key order by occurred_at, row_number, event_key)',
            'occurred_at'
        ) }} as gap_seconds,
        row_number() over (
            partition by as_of_date, user_key order by occurred_at desc, row_number desc, event_key desc
        ) as recency_rank
    from {{ ref('int_events_stitched') }}
    where is_in_sequence
),

keep_latest_events as (
    select
        as_of_date,
        user_key,
        -recency_rank as position,
        event_type,
        case
            when source_table in ('orders', 'payments') then ''
            else coalesce(nullif(event_text, ''), product_title, '')
        end as event_text,
        coalesce(product_id, '') as product_id,
        coalesce(product_category, '') as product_category,
        coalesce(channel, '') as channel,
        cast(coalesce(gap_seconds, 0) as bigint) as gap_seconds,
        hour_of_week,
        cast(net_amount as double) as net_amount,
        coalesce(cast(quantity as double), 0) as quantity
    from measure_gaps
    where recency_rank <= {{ var('sequence_length') }}
),

line_up_events as (
    select
        as_of_date,
        user_key,
        count(*) as event_count,
        {{ ordered_list('event_type', 'position') }} as event_types,
        {{ ordered_list('event_text', 'position') }} as texts,
        {{ ordered_list('product_id', 'position') }} as product_ids,
        {{ ordered_list('product_category', 'position') }} as categories,
        {{ ordered_list('channel', 'position') }} as channels,
        {{ ordered_list('gap_seconds', 'position') }} as gap_seconds,
        {{ ordered_list('hour_of_week', 'position') }} as hours_of_week,
        {{ ordered_list('net_amount', 'position') }} as amounts,
        {{ ordered_list('quantity', 'position') }} as quantities
    from keep_latest_events
    group by as_of_date, user_key
),

-- A user of whom only what is in no sequence is known still has a row, with empty lists.
keep_eligible_users as (
    select
        users.user_key,
        users.as_of_date,
        cast(coalesce(line_up_events.event_count, 0) as integer) as event_count,
        coalesce(line_up_events.event_types, []) as event_types,
        coalesce(line_up_events.texts, []) as texts,
        coalesce(line_up_events.product_ids, []) as product_ids,
        coalesce(line_up_events.categories, []) as categories,
        coalesce(line_up_events.channels, []) as channels,
        coalesce(line_up_events.gap_seconds, []) as gap_seconds,
        coalesce(line_up_events.hours_of_week, []) as hours_of_week,
        coalesce(line_up_events.amounts, []) as amounts,
        coalesce(line_up_events.quantities, []) as quantities,
        users.last_event_at
    from {{ ref('int_users_eligible') }} as users
    left join line_up_events
        on users.as_of_date = line_up_events.as_of_date and users.user_key = line_up_events.user_key
)

select * from keep_eligible_users

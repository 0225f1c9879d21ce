with
-- One sort, newest first: of two neighbours the next in line happened before.
measure_gaps as (
    select
        events.as_of_date,
        events.user_key,
        events.source_table,
        events.event_type,
        events.event_text,
        events.product_id,
        events.channel,
        events.hour_of_week,
        events.net_amount,
        events.quantity,
        {{ seconds_between(
            'lead(events.occurred_at) over ('
                ~ 'partition by events.as_of_date, events.user_key '
                ~ 'order by events.occurred_at desc, events.row_number desc, events.event_key desc)',
            'events.occurred_at'
        ) }} as gap_seconds,
        row_number() over (
            partition by events.as_of_date, events.user_key
            order by events.occurred_at desc, events.row_number desc, events.event_key desc
        ) as recency_rank
    from {{ ref('int_events_stitched') }} as events
    left join {{ ref('event_types') }} as event_types on events.event_type = event_types.event_type
    where coalesce(event_types.is_in_sequence, true)
),

keep_latest_events as (
    select
        events.as_of_date,
        events.user_key,
        -events.recency_rank as position,
        events.event_type,
        case
            when events.source_table in ('orders', 'payments') then ''
            else coalesce(nullif(events.event_text, ''), products.title, '')
        end as event_text,
        coalesce(events.product_id, '') as product_id,
        coalesce(products.category, '') as product_category,
        coalesce(events.channel, '') as channel,
        cast(coalesce(events.gap_seconds, 0) as bigint) as gap_seconds,
        events.hour_of_week,
        cast(events.net_amount as double) as net_amount,
        coalesce(cast(events.quantity as double), 0) as quantity
    from measure_gaps as events
    left join {{ ref('int_products_known') }} as products
        on events.as_of_date = products.as_of_date and events.product_id = products.product_id
    where events.recency_rank <= {{ var('sequence_length') }}
),

line_up_events as (
    select
        as_of_date,
        user_key,
        count(*) as event_count,
        {{ ordered_rows([
            'position', 'event_type', 'event_text', 'product_id', 'product_category', 'channel', 'gap_seconds',
            'hour_of_week', 'net_amount', 'quantity'
        ]) }} as events
    from keep_latest_events
    group by as_of_date, user_key
),

-- A user of whom only what is in no sequence is known still has a row, with empty lists.
keep_eligible_users as (
    select
        users.user_key,
        users.as_of_date,
        cast(coalesce(line_up_events.event_count, 0) as integer) as event_count,
        coalesce({{ list_column('line_up_events.events', 'event_type') }}, []) as event_types,
        coalesce({{ list_column('line_up_events.events', 'event_text') }}, []) as texts,
        coalesce({{ list_column('line_up_events.events', 'product_id') }}, []) as product_ids,
        coalesce({{ list_column('line_up_events.events', 'product_category') }}, []) as categories,
        coalesce({{ list_column('line_up_events.events', 'channel') }}, []) as channels,
        coalesce({{ list_column('line_up_events.events', 'gap_seconds') }}, []) as gap_seconds,
        coalesce({{ list_column('line_up_events.events', 'hour_of_week') }}, []) as hours_of_week,
        coalesce({{ list_column('line_up_events.events', 'net_amount') }}, []) as amounts,
        coalesce({{ list_column('line_up_events.events', 'quantity') }}, []) as quantities,
        users.last_event_at
    from {{ ref('int_users_eligible') }} as users
    left join line_up_events
        on users.as_of_date = line_up_events.as_of_date and users.user_key = line_up_events.user_key
)

select * from keep_eligible_users

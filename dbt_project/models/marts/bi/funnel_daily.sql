{{ config(materialized='incremental', incremental_strategy='append', pre_hook="{{ forget_older_snapshot() }}") }}
{%- set steps = ['browse', 'click', 'cart', 'checkout', 'pay', 'review'] %}

with
-- As far back as eligibility looks: whoever did something since then has a segment.
mark_steps as (
    select
        events.user_key,
        events.event_date,
        coalesce(events.channel, 'unknown') as channel,
        {%- for step in steps %}
        coalesce(max(event_types.funnel_step = '{{ step }}'), false) as has_{{ step }},
        {%- endfor %}
        sum(events.net_amount) as net_amount
    from {{ ref('int_events_stitched') }} as events
    left join {{ ref('event_types') }} as event_types on events.event_type = event_types.event_type
    where
        events.as_of_date = {{ as_of_date() }}
        and {{ days_between('events.event_date', as_of_date()) }} < {{ var('eligible_days') }}
        and {{ is_newest_snapshot() }}
    group by events.user_key, events.event_date, coalesce(events.channel, 'unknown')
),

-- A day is told in the segments of the first snapshot that saw it, or for a user met later, of the first with the user.
place_users as (
    select
        user_key,
        scheme,
        segment_code,
        segment_name_en,
        segment_name_zh,
        as_of_date,
        lag(as_of_date) over (partition by user_key, scheme order by as_of_date) as previous_as_of_date
    from {{ ref('user_segment_daily') }}
),

count_users as (
    select
        mark_steps.event_date,
        place_users.scheme,
        place_users.segment_code,
        mark_steps.channel,
        max_by(place_users.segment_name_en, place_users.as_of_date) as segment_name_en,
        max_by(place_users.segment_name_zh, place_users.as_of_date) as segment_name_zh,
        count(*) as users,
        {%- for step in steps %}
        count(*) filter (where mark_steps.has_{{ step }}) as {{ step }}_users,
        {%- endfor %}
        {%- for step in steps[1:] %}
        count(*) filter (where mark_steps.has_{{ steps[loop.index0] }} and mark_steps.has_{{ step }})
            as {{ steps[loop.index0] }}_and_{{ step }}_users,
        {%- endfor %}
        sum(mark_steps.net_amount) as net_amount,
        sum(coalesce(carts.abandoned_amount, 0)) as abandoned_amount
    from mark_steps
    inner join place_users
        on
            mark_steps.user_key = place_users.user_key
            and mark_steps.event_date <= place_users.as_of_date
            and (place_users.previous_as_of_date is null or mark_steps.event_date > place_users.previous_as_of_date)
    left join {{ ref('int_carts_valued') }} as carts
        on
            mark_steps.user_key = carts.user_key
            and mark_steps.event_date = carts.event_date
            and mark_steps.channel = carts.channel
    group by mark_steps.event_date, place_users.scheme, place_users.segment_code, mark_steps.channel
),

round_once as (
    select
        event_date as date,
        scheme,
        segment_code,
        channel,
        segment_name_en,
        segment_name_zh,
        users,
        {%- for step in steps %}
        {{ step }}_users,
        {%- endfor %}
        {%- for step in steps[1:] %}
        {{ safe_divide(steps[loop.index0] ~ '_and_' ~ step ~ '_users', steps[loop.index0] ~ '_users') }}
            as {{ steps[loop.index0] }}_to_{{ step }}_share,
        {%- endfor %}
        {{ cents_that_add_up('net_amount', 'event_date, segment_code, channel', 'scheme') }} as net_revenue_amount,
        {{ cents_that_add_up('abandoned_amount', 'event_date, segment_code, channel', 'scheme') }} as abandoned_amount,
        '{{ var("run_id") }}' as run_id
    from count_users
)

select * from round_once

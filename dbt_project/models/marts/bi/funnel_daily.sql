{{ config(materialized='incremental', pre_hook="{{ forget_older_snapshot() }}") }}
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

count_days as (
    select
        event_date,
        count(distinct user_key) as users
    from mark_steps
    group by event_date
),

{{ join_small_periods('count_days', 'event_date') }},

count_channels as (
    select
        days.told_event_date,
        mark_steps.channel,
        count(distinct mark_steps.user_key) as users
    from mark_steps
    inner join join_event_date as days on mark_steps.event_date = days.event_date
    group by days.told_event_date, mark_steps.channel
),

rank_channels as (
    select
        *,
        min(users) over (partition by told_event_date) < {{ var('smallest_group') }} as has_small,
        row_number() over (
            partition by told_event_date, users < {{ var('smallest_group') }} order by users, channel
        ) as place
    from count_channels
),

-- One user may come by several channels, so small ones take the next smallest along, however many they are.
fold_channels as (
    select
        told_event_date,
        channel,
        case
            when users < {{ var('smallest_group') }} or (has_small and place = 1) then '_other'
            else channel
        end as told_channel
    from rank_channels
),

tell_steps as (
    select
        mark_steps.user_key,
        days.told_event_date as event_date,
        channels.told_channel as channel,
        {%- for step in steps %}
        max(mark_steps.has_{{ step }}) as has_{{ step }},
        {%- endfor %}
        sum(mark_steps.net_amount) as net_amount,
        sum(coalesce(carts.abandoned_amount, 0)) as abandoned_amount
    from mark_steps
    inner join join_event_date as days on mark_steps.event_date = days.event_date
    inner join fold_channels as channels
        on days.told_event_date = channels.told_event_date and mark_steps.channel = channels.channel
    left join {{ ref('int_carts_valued') }} as carts
        on
            mark_steps.user_key = carts.user_key
            and mark_steps.event_date = carts.event_date
            and mark_steps.channel = carts.channel
    group by mark_steps.user_key, days.told_event_date, channels.told_channel
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
        tell_steps.event_date,
        place_users.scheme,
        place_users.segment_code,
        tell_steps.channel,
        max_by(place_users.segment_name_en, place_users.as_of_date) as segment_name_en,
        max_by(place_users.segment_name_zh, place_users.as_of_date) as segment_name_zh,
        count(*) as users,
        {%- for step in steps %}
        count(*) filter (where tell_steps.has_{{ step }}) as {{ step }}_users,
        {%- endfor %}
        {%- for step in steps[1:] %}
        count(*) filter (where tell_steps.has_{{ steps[loop.index0] }} and tell_steps.has_{{ step }})
            as {{ steps[loop.index0] }}_and_{{ step }}_users,
        {%- endfor %}
        sum(tell_steps.net_amount) as net_amount,
        sum(tell_steps.abandoned_amount) as abandoned_amount
    from tell_steps
    inner join place_users
        on
            tell_steps.user_key = place_users.user_key
            and tell_steps.event_date <= place_users.as_of_date
            and (place_users.previous_as_of_date is null or tell_steps.event_date > place_users.previous_as_of_date)
    group by tell_steps.event_date, place_users.scheme, place_users.segment_code, tell_steps.channel
),

-- Within a channel, so that no scheme tells of a channel what another hides.
{{ fold_small('count_users', 'segment_code', ['event_date', 'scheme', 'channel']) }},

sum_folded as (
    select
        event_date,
        scheme,
        folded_segment_code as segment_code,
        channel,
        {{ folded_names('folded_segment_code') }},
        sum(users) as users,
        {%- for step in steps %}
        sum({{ step }}_users) as {{ step }}_users,
        {%- endfor %}
        {%- for step in steps[1:] %}
        sum({{ steps[loop.index0] }}_and_{{ step }}_users) as {{ steps[loop.index0] }}_and_{{ step }}_users,
        {%- endfor %}
        sum(net_amount) as net_amount,
        sum(abandoned_amount) as abandoned_amount
    from fold_segment_code
    group by event_date, scheme, folded_segment_code, channel
),

round_once as (
    select
        event_date as date,
        scheme,
        segment_code,
        channel,
        segment_name_en,
        segment_name_zh,
        cast(users as bigint) as users,
        {%- for step in steps %}
        cast({{ step }}_users as bigint) as {{ step }}_users,
        {%- endfor %}
        {%- for step in steps[1:] %}
        {{ safe_divide(steps[loop.index0] ~ '_and_' ~ step ~ '_users', steps[loop.index0] ~ '_users') }}
            as {{ steps[loop.index0] }}_to_{{ step }}_share,
        {%- endfor %}
        {{ cents_that_add_up('net_amount', 'event_date, segment_code, channel', 'scheme') }} as net_revenue_amount,
        {{ cents_that_add_up('abandoned_amount', 'event_date, segment_code, channel', 'scheme') }} as abandoned_amount,
        '{{ var("run_id") }}' as run_id
    from sum_folded
)

select * from round_once

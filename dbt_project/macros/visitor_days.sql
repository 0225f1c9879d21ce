{#- What is counted of a visitor's or user's day; the log is `events`, its vocabulary `event_types`. -#}
{% macro count_day() -%}
    min(events.occurred_at) as first_event_at,
    max(events.occurred_at) as last_event_at,
    count(*) as event_count,
    count(*) filter (where events.event_type in ('view', 'click')) as view_count,
    count(*) filter (where events.event_type = 'cart') as cart_count,
    count(*) filter (where events.event_type = 'search') as search_count,
    count(*) filter (where events.event_type = 'favourite') as favourite_count,
    count(*) filter (where events.hour_of_week % 24 >= 22 or events.hour_of_week % 24 < 6) as night_event_count,
    count(*) filter (where events.hour_of_week >= 5 * 24) as weekend_event_count,
    cast(sum(
        case when events.event_type not in ('purchase', 'order') then coalesce(event_types.weight, 0) else 0 end
    ) as decimal(18, 4)) as interest_score
{%- endmacro %}

{#- The names of what is counted. -#}
{% macro day_counts() -%}
    {{ return([
        'event_count', 'view_count', 'cart_count', 'search_count', 'favourite_count', 'night_event_count',
        'weekend_event_count', 'interest_score'
    ]) }}
{%- endmacro %}

{#- The days of which events are new, gone, or known otherwise. -#}
{% macro touched_event_days() -%}
    select event_date from {{ source('ops', 'touched_day') }} where table_name = 'events'
{%- endmacro %}

{% macro forget_touched_event_days() %}
    {%- if is_incremental() -%}
        delete from {{ this }} where event_date in ({{ touched_event_days() }})
    {%- endif -%}
{% endmacro %}

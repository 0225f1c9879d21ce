{#- Whether a row version was known as of a day: delivered by then, and not yet replaced. -#}
{% macro is_known_as_of(rows, as_of_date) -%}
    {{ rows }}.delivered_on <= {{ as_of_date }}
    and ({{ rows }}.superseded_on is null or {{ rows }}.superseded_on > {{ as_of_date }})
{%- endmacro %}

{#- What was known of somebody on each as_of_date. One select per date, not a join with the dates: what DuckDB expects of
such a join is so few rows that it hashes the log instead of what the log is joined to. Where a date is made from an
earlier one, `only` may be what is known of the users that have changed since ("changed"), or what makes them another
than they were ("news"): all of those that are told anew, and of the others what happened since. With `days`, of no
more than the last so many. Dates that stand are then left out. -#}
{% macro known_on_each_date(relation, only=none, days=none) -%}
    {%- for as_of_date in (made_dates() if only or days else var('as_of_dates')) %}
    {%- set carried_from = var('carried').get(as_of_date) if only else none %}
    {%- set told_by = 'coalesce(rows_known.user_key, rows_known.device_key)' %}
    select
        date '{{ as_of_date }}' as as_of_date,
        rows_known.*
    from {{ relation }} as rows_known
    where
        rows_known.event_date <= date '{{ as_of_date }}'
        {%- if days %}
        and rows_known.event_date > cast(date '{{ as_of_date }}' - interval {{ days }} days as date)
        {%- endif %}
        and {{ is_known_as_of('rows_known', "date '" ~ as_of_date ~ "'") }}
        and {{ told_by }} is not null
        {%- if carried_from and only == 'news' %}
        and rows_known.event_date <= date '{{ carried_from }}'
        and {{ told_by }} in (
            select told_by from {{ ref('int_tellers_changed') }}
            where as_of_date = date '{{ as_of_date }}' and is_told_anew
        )
    union all
    select
        date '{{ as_of_date }}' as as_of_date,
        rows_known.*
    from {{ relation }} as rows_known
    where
        rows_known.event_date > date '{{ carried_from }}'
        and rows_known.event_date <= date '{{ as_of_date }}'
        and {{ is_known_as_of('rows_known', "date '" ~ as_of_date ~ "'") }}
        and {{ told_by }} is not null
        {%- elif carried_from %}
        and {{ told_by }} in (
            select told_by from {{ ref('int_tellers_changed') }} where as_of_date = date '{{ as_of_date }}'
        )
        {%- endif %}
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}
{%- endmacro %}

{#- An as_of_date is written whole or not at all: its old rows go in the same transaction. -#}
{% macro forget_as_of_dates(dates=none) %}
    {%- if is_incremental() -%}
        delete from {{ this }} where as_of_date in (
            select dates.as_of_date from ({{ as_of_dates(dates) }}) as dates
        )
    {%- endif -%}
{% endmacro %}

{#- Whether a device tells the user of an event that tells none itself: at that moment, and as known as of one date. -#}
{% macro is_told_by_device(as_of_date='events.as_of_date') -%}
    events.user_key is null
    and devices.as_of_date = {{ as_of_date }}
    and events.device_key = devices.device_key
    and events.occurred_at >= devices.valid_from
    and events.occurred_at < devices.valid_to
{%- endmacro %}

{#- What was known of events on each as_of_date, with the user that they then belonged to: CTEs that end with
`stitch_devices`. -#}
{% macro stitch_events(known_events) -%}
see_what_was_known as (
    {{ known_events }}
),

stitch_devices as (
    select
        events.as_of_date,
        coalesce(events.user_key, devices.user_key, events.device_key) as user_key,
        coalesce(events.user_key, devices.user_key) is not null as is_identified,
        events.user_key is not null as is_told_by_customer,
        events.device_key,
        coalesce(events.device_key, events.user_key) as visitor_key,
        events.event_key,
        events.source_table,
        events.event_type,
        events.occurred_at,
        events.event_date,
        events.hour_of_week,
        events.order_id,
        events.product_id,
        events.channel,
        events.event_text,
        events.quantity,
        events.gross_amount,
        events.discount_amount,
        events.refund_amount,
        events.net_amount,
        events.review_score,
        events.row_number
    from see_what_was_known as events
    left join {{ ref('int_devices_stitched') }} as devices
        on {{ is_told_by_device() }}
)
{%- endmacro %}

{#-
What drives incremental builds. Before dbt runs, the doorman compares the ledger with what the warehouse has
processed and fills `ops.touched_file`. From there the touch travels: files → keys (`ops.touched_key`: a key's
versions are judged together) → events → visits (`ops.touched_span`). The doorman clears all of it only after the
whole build has succeeded, so a build that was killed repeats the same work.
-#}

{#- Staging: the rows of a touched file go, whether it is read again or was withdrawn. -#}
{% macro forget_touched_files() %}
    {%- if is_incremental() -%}
        delete from {{ this }} where file_id in (select file_id from {{ source('ops', 'touched_file') }})
    {%- endif -%}
{% endmacro %}

{#- The text under which a key is noted as touched. -#}
{% macro unit_key(columns) -%}
    {%- if columns | length == 1 -%}
        {{ as_text(columns[0]) }}
    {%- else -%}
        {{ surrogate_key(columns) }}
    {%- endif -%}
{%- endmacro %}

{#- Deduplication: notes the keys with rows in touched files, new ones and those of withdrawn files, and forgets them. -#}
{% macro touch_keys(table_name, columns) %}
    {%- if is_incremental() -%}
        {%- set unit = unit_key(columns) %}
        insert into {{ source('ops', 'touched_key') }}
        select '{{ table_name }}' as table_name, unit_key from (
            select {{ unit }} as unit_key from {{ ref('stg_shop__' ~ table_name) }}
            where file_id in (select file_id from {{ source('ops', 'touched_file') }})
            union
            select {{ unit }} as unit_key from {{ this }}
            where file_id in (select file_id from {{ source('ops', 'touched_file') }})
        ) as touched_units;
        {{- touch_days_of_keys(table_name, columns) if table_name == 'events' }}
        delete from {{ this }} where {{ is_touched_key(table_name, columns) }}
    {%- endif -%}
{% endmacro %}

{#- The days of a touched key's other versions are touched with it: whoever looks for touched rows reads these days. -#}
{% macro touch_days_of_keys(table_name, columns) %}
        insert into {{ source('ops', 'touched_day') }}
        select distinct '{{ table_name }}' as table_name, event_date from {{ ref('stg_shop__' ~ table_name) }}
        where {{ is_touched_key(table_name, columns) }};
{%- endmacro %}

{% macro is_touched_key(table_name, columns) -%}
    {{ unit_key(columns) }} in (
        select unit_key from {{ source('ops', 'touched_key') }} where table_name = '{{ table_name }}'
    )
{%- endmacro %}

{% macro where_key_is_touched(table_name, columns) -%}
    {%- if is_incremental() %}where {{ is_touched_key(table_name, columns) }}{% endif -%}
{%- endmacro %}

{#- An event is touched with its own key, or with the order that it belongs to. -#}
{% macro is_touched_event(rows) -%}
    ({{ has_touched_key(rows) }} or coalesce({{ has_touched_order(rows) }}, false))
{%- endmacro %}

{% macro has_touched_key(rows) -%}
    ({{ rows }}.source_table, {{ rows }}.source_key) in (
        select table_name, unit_key from {{ source('ops', 'touched_key') }}
    )
{%- endmacro %}

{#- Of the shop's log, by far the most, only touched days are read. -#}
{% macro is_touched_in_log(rows) -%}
    {{ rows }}.source_table = 'events'
    and {{ rows }}.event_date in ({{ touched_event_days() }})
    and {{ has_touched_key(rows) }}
{%- endmacro %}

{% macro is_touched_beside_log(rows) -%}
    {{ rows }}.source_table <> 'events' and {{ has_touched_key(rows) }}
{%- endmacro %}

{% macro has_touched_order(rows) -%}
    {{ rows }}.order_id in (
        select unit_key from {{ source('ops', 'touched_key') }} where table_name in ('orders', 'order_lines')
    )
{%- endmacro %}

{#- Two deletions instead of an "or": each is then one join. -#}
{% macro forget_touched_events() %}
    {%- if is_incremental() -%}
        delete from {{ this }} as known_events where {{ has_touched_key('known_events') }};
        delete from {{ this }} as known_events where {{ has_touched_order('known_events') }}
    {%- endif -%}
{% endmacro %}

{#-
Visits: the span of a visitor's touched events, widened by the gap and then to the ends of the visits that it meets.
Beyond it nothing can change, since more than the gap lies between it and the next event.
-#}
{% macro touch_visits() %}
    {%- if is_incremental() %}
        insert into {{ source('ops', 'touched_span') }}
        with
        find_touched_events as (
            {%- for is_touched in [is_touched_in_log, is_touched_beside_log, has_touched_order] %}
            select known_events.visitor_key, known_events.occurred_at from {{ this }} as known_events
            where known_events.visitor_key is not null and {{ is_touched('known_events') }}
            union all
            select {{ visitor_key() }} as visitor_key, merged_events.occurred_at
            from {{ ref('int_events_merged') }} as merged_events
            left join {{ ref('event_types') }} as event_types on merged_events.event_type = event_types.event_type
            where
                merged_events.superseded_on is null
                and {{ visitor_key() }} is not null
                and {{ is_touched('merged_events') }}
            {%- if not loop.last %}
            union all
            {%- endif %}
            {%- endfor %}
        ),
        widen_by_gap as (
            select
                visitor_key,
                min(occurred_at) - interval {{ var('session_gap_minutes') }} minutes as first_at,
                max(occurred_at) + interval {{ var('session_gap_minutes') }} minutes as last_at
            from find_touched_events
            group by visitor_key
        ),
        widen_to_whole_visits as (
            select
                widen_by_gap.visitor_key,
                least(widen_by_gap.first_at, min(known_events.session_started_at)) as first_at,
                greatest(widen_by_gap.last_at, max(known_events.session_ended_at)) as last_at
            from widen_by_gap
            left join {{ this }} as known_events
                on
                    widen_by_gap.visitor_key = known_events.visitor_key
                    and known_events.occurred_at between widen_by_gap.first_at and widen_by_gap.last_at
            group by widen_by_gap.visitor_key, widen_by_gap.first_at, widen_by_gap.last_at
        )
        select * from widen_to_whole_visits;
        delete from {{ this }} where event_key in (
            select known_events.event_key from {{ this }} as known_events
            {{ join_touched_spans('known_events', 'occurred_at') }}
        );
        delete from {{ this }} as known_events
        where known_events.visitor_key is null and {{ is_touched_event('known_events') }}
    {%- endif -%}
{% endmacro %}

{#- Who is visiting: the device, or the customer where there is no device; nobody in what the shop did by itself. -#}
{% macro visitor_key() -%}
    case when coalesce(event_types.is_visit, true)
        then coalesce(merged_events.device_key, merged_events.user_key)
    end
{%- endmacro %}

{#- The log as it is known now, with its visitors. -#}
{% macro latest_events() -%}
    select
        merged_events.*,
        {{ visitor_key() }} as visitor_key
    from {{ ref('int_events_merged') }} as merged_events
    left join {{ ref('event_types') }} as event_types on merged_events.event_type = event_types.event_type
    where merged_events.superseded_on is null
{%- endmacro %}

{#- Keeps what lies in a visitor's touched span, each row once. -#}
{% macro join_touched_spans(rows, moment) -%}
    inner join (
        select visitor_key, min(first_at) as first_at, max(last_at) as last_at
        from {{ source('ops', 'touched_span') }}
        group by visitor_key
    ) as touched_spans
        on
            {{ rows }}.visitor_key = touched_spans.visitor_key
            and {{ rows }}.{{ moment }} between touched_spans.first_at and touched_spans.last_at
{%- endmacro %}

{% macro forget_touched_sessions() %}
    {%- if is_incremental() -%}
        delete from {{ this }} where session_id in (
            select known_sessions.session_id from {{ this }} as known_sessions
            {{ join_touched_spans('known_sessions', 'session_started_at') }}
        )
    {%- endif -%}
{% endmacro %}

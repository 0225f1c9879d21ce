{#-
Lists of users' latest events, one as_of_date after the other and large logs in parts: DuckDB holds all lists of a statement
in memory until they are written, a gigabyte for some three million events.
-#}

{#- The lists of a sequence, and what of an event each holds. -#}
{% macro sequence_lists() -%}
    {{ return({
        'event_types': 'event_type', 'texts': 'event_text', 'product_ids': 'product_id',
        'categories': 'product_category', 'channels': 'channel', 'gap_seconds': 'gap_seconds',
        'hours_of_week': 'hour_of_week', 'amounts': 'net_amount', 'quantities': 'quantity'
    }) }}
{%- endmacro %}

{#- In how many parts the log is taken, at so many events at once. -#}
{% macro parts_of_log(events_at_once) -%}
    {#- The docs are also written where nothing was built yet. -#}
    {%- set is_building = execute and flags.WHICH in ('build', 'run') -%}
    {%- if are_all_carried() or not is_building -%}{{ return(1) }}{%- endif -%}
    {%- set found = run_query('select count(*) from ' ~ ref('int_events_merged')) -%}
    {{ return(1 + found.rows[0][0] // events_at_once) }}
{%- endmacro %}

{#- The dates and parts that a model of all users is made in; news alone are always few enough. The first is what the model
selects. -#}
{% macro statements(events_at_once) -%}
    {%- set parts_of_all, found = parts_of_log(events_at_once), [] -%}
    {%- for as_of_date in made_dates() -%}
        {%- set parts = 1 if as_of_date in var('carried') else parts_of_all -%}
        {%- for part in range(parts) -%}{%- do found.append((as_of_date, part, parts)) -%}{%- endfor -%}
    {%- endfor -%}
    {{ return(found) }}
{%- endmacro %}

{% macro line_up_others() %}
    {%- for as_of_date, part, parts in statements(var('events_lined_up_at_once'))[1:] %}
    insert into {{ this }} {{ line_up(as_of_date, part, parts) }};
    {%- endfor %}
{% endmacro %}

{% macro line_up(as_of_date, part, parts) %}
{%- set length = var('sequence_length') %}
{%- set lists = sequence_lists() %}

with
{% if as_of_date not in var('carried') -%}
-- Most of the events of those who come often are too old to be listed: what is not sorted costs nothing. One more than
-- is listed, to measure the first gap from. News alone are few.
find_first_moments as (
    select
        events.as_of_date,
        events.user_key,
        {{ nth_latest('events.occurred_at', length + 1) }} as first_moment
    from {{ ref('int_events_retold') }} as events
    left join {{ ref('event_types') }} as event_types on events.event_type = event_types.event_type
    where
        events.as_of_date = date '{{ as_of_date }}'
        and coalesce(event_types.is_in_sequence, true)
        {%- if parts > 1 %}
        and {{ part_of('events.user_key', parts) }} = {{ part }}
        {%- endif %}
    group by events.as_of_date, events.user_key
    having count(*) > {{ length + 1 }}
),

{% endif -%}
word_latest_events as (
    select
        events.as_of_date,
        events.user_key,
        events.occurred_at,
        events.row_number,
        events.event_key,
        events.event_type,
        case
            when events.source_table in ('orders', 'payments') then ''
            else coalesce(nullif(events.event_text, ''), products.title, '')
        end as event_text,
        coalesce(events.product_id, '') as product_id,
        coalesce(products.category, '') as product_category,
        coalesce(events.channel, '') as channel,
        events.hour_of_week,
        cast(events.net_amount as double) as net_amount,
        coalesce(cast(events.quantity as double), 0) as quantity
    from {{ ref('int_events_retold') }} as events
    {%- if as_of_date not in var('carried') %}
    left join find_first_moments as firsts
        on events.as_of_date = firsts.as_of_date and events.user_key = firsts.user_key
    {%- endif %}
    left join {{ ref('event_types') }} as event_types on events.event_type = event_types.event_type
    left join {{ ref('int_products_known') }} as products
        on events.as_of_date = products.as_of_date and events.product_id = products.product_id
    where
        events.as_of_date = date '{{ as_of_date }}'
        and coalesce(event_types.is_in_sequence, true)
        {%- if parts > 1 %}
        and {{ part_of('events.user_key', parts) }} = {{ part }}
        {%- endif %}
        {%- if as_of_date not in var('carried') %}
        and (firsts.user_key is null or events.occurred_at >= firsts.first_moment)
        {%- endif %}
),

line_up_events as (
    select
        as_of_date,
        user_key,
        max(occurred_at) as last_listed_at,
        {{ ordered_rows(
            ['occurred_at', 'row_number', 'event_key'] + lists.values() | reject('equalto', 'gap_seconds') | list
        ) }} as events
    from word_latest_events
    group by as_of_date, user_key
),

cut_to_length as (
    select
        as_of_date,
        user_key,
        last_listed_at,
        {{ last_elements('events', length + 1) }} as events
    from line_up_events
),

read_moments as (
    select
        *,
        {{ list_column('events', 'occurred_at') }} as moments
    from cut_to_length
),

{% if as_of_date in var('carried') -%}
-- Users that are only told more of go on from the lists of the earlier date.
read_earlier_lists as (
    select
        readers.as_of_date,
        kept.*
    from {{ this }} as kept
    inner join (
        select carried.as_of_date, readers.sequence_key
        from {{ this.incorporate(path={'identifier': 'int_user_sequences'}) }} as readers
        inner join ({{ carried_dates() }}) as carried on readers.as_of_date = carried.carried_from
        inner join {{ ref('int_users_changed') }} as changed
            on carried.as_of_date = changed.as_of_date and readers.user_key = changed.user_key
        where not changed.is_told_anew
    ) as readers on kept.sequence_key = readers.sequence_key
),

{% endif -%}
take_apart as (
    select
        listed.as_of_date,
        listed.user_key,
        listed.last_listed_at,
        {%- for list, column in lists.items() %}
        {%- set told = list_column('listed.events', column) %}
        {%- if list == 'gap_seconds' %}
        {%- set first_moment = 'list_extract(listed.moments, 1)' %}
        {%- set first_gap = seconds_between('earlier.last_listed_at', first_moment) if as_of_date in var('carried') else 0 %}
        {%- set told = gaps_between('listed.moments', 'cast(coalesce(' ~ first_gap ~ ', 0) as bigint)') %}
        {%- endif %}
        {%- set told = both_lists('earlier.' ~ list, told) if as_of_date in var('carried') else told %}
        {{ last_elements(told, length) }} as {{ list }}
        {{- ',' if not loop.last }}
        {%- endfor %}
    from read_moments as listed
    {%- if as_of_date in var('carried') %}
    left join read_earlier_lists as earlier
        on listed.as_of_date = earlier.as_of_date and listed.user_key = earlier.user_key
    {%- endif %}
),

name_sequences as (
    select
        {{ surrogate_key(["'" ~ invocation_id ~ "'", 'as_of_date', 'user_key']) }} as sequence_key,
        '{{ invocation_id }}' as told_by,
        as_of_date as told_on,
        user_key,
        last_listed_at,
        {{ surrogate_key(lists.keys()) }} as content_key,
        cast(len(event_types) as integer) as event_count,
        {{ lists.keys() | join(',\n        ') }}
    from take_apart
)

select * from name_sequences
{% endmacro %}

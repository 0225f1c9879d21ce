{#- What DuckDB and Spark say differently, each in one place. -#}

{#- A 64-bit hash of several columns, for comparing versions of one key; never a key by itself. -#}
{% macro row_hash(columns) -%}
    {{ return(adapter.dispatch('row_hash', 'shoal')(columns)) }}
{%- endmacro %}

{% macro duckdb__row_hash(columns) -%}
    hash({{ columns | join(', ') }})
{%- endmacro %}

{% macro spark__row_hash(columns) -%}
    xxhash64({{ columns | join(', ') }})
{%- endmacro %}

{#- A list of rows, ordered by their first column; the order must have no ties. Sorting whole rows once costs half of
ordering one list per column. -#}
{% macro ordered_rows(columns) -%}
    {{ return(adapter.dispatch('ordered_rows', 'shoal')(columns)) }}
{%- endmacro %}

{% macro duckdb__ordered_rows(columns) -%}
    list_sort(list(struct_pack(
        {%- for column in columns %}{{ column }} := {{ column }}{{ ', ' if not loop.last }}{% endfor -%}
    )))
{%- endmacro %}

{% macro spark__ordered_rows(columns) -%}
    array_sort(collect_list(struct({{ columns | join(', ') }})))
{%- endmacro %}

{#- One column of a list of rows, as a list. -#}
{% macro list_column(rows, column) -%}
    {{ return(adapter.dispatch('list_column', 'shoal')(rows, column)) }}
{%- endmacro %}

{% macro duckdb__list_column(rows, column) -%}
    list_transform({{ rows }}, lambda each: each.{{ column }})
{%- endmacro %}

{% macro spark__list_column(rows, column) -%}
    transform({{ rows }}, each -> each.{{ column }})
{%- endmacro %}

{#- The shop's wall clock at a UTC moment. -#}
{% macro local_time(moment) -%}
    {{ return(adapter.dispatch('local_time', 'shoal')(moment)) }}
{%- endmacro %}

{% macro duckdb__local_time(moment) -%}
    timezone('{{ var("time_zone") }}', timezone('UTC', {{ moment }}))
{%- endmacro %}

{% macro spark__local_time(moment) -%}
    from_utc_timestamp({{ moment }}, '{{ var("time_zone") }}')
{%- endmacro %}

{#- Days since Monday: 0 to 6. -#}
{% macro weekday(moment) -%}
    {{ return(adapter.dispatch('weekday', 'shoal')(moment)) }}
{%- endmacro %}

{% macro duckdb__weekday(moment) -%}
    (isodow({{ moment }}) - 1)
{%- endmacro %}

{% macro spark__weekday(moment) -%}
    weekday({{ moment }})
{%- endmacro %}

{#- Hour of the week by the shop's clock: 0 (Monday, midnight) to 167. -#}
{% macro hour_of_week(moment) -%}
    cast({{ weekday(local_time(moment)) }} * 24 + extract(hour from {{ local_time(moment) }}) as smallint)
{%- endmacro %}

{#- Whole days and seconds between two moments. -#}
{% macro days_between(first_day, last_day) -%}
    {{ return(adapter.dispatch('days_between', 'shoal')(first_day, last_day)) }}
{%- endmacro %}

{% macro duckdb__days_between(first_day, last_day) -%}
    date_diff('day', {{ first_day }}, {{ last_day }})
{%- endmacro %}

{% macro spark__days_between(first_day, last_day) -%}
    datediff({{ last_day }}, {{ first_day }})
{%- endmacro %}

{% macro seconds_between(first_moment, last_moment) -%}
    {{ return(adapter.dispatch('seconds_between', 'shoal')(first_moment, last_moment)) }}
{%- endmacro %}

{% macro duckdb__seconds_between(first_moment, last_moment) -%}
    date_sub('second', {{ first_moment }}, {{ last_moment }})
{%- endmacro %}

{% macro spark__seconds_between(first_moment, last_moment) -%}
    (unix_timestamp({{ last_moment }}) - unix_timestamp({{ first_moment }}))
{%- endmacro %}

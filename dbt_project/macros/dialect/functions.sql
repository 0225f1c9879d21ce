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

{% macro as_text(value) -%}
    cast({{ value }} as {{ dbt.type_string() }})
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

{#- In which of so many parts a value falls: 0 and on. -#}
{% macro part_of(column, parts) -%}
    {{ return(adapter.dispatch('part_of', 'shoal')(column, parts)) }}
{%- endmacro %}

{% macro duckdb__part_of(column, parts) -%}
    hash({{ column }}) % {{ parts }}
{%- endmacro %}

{% macro spark__part_of(column, parts) -%}
    pmod(xxhash64({{ column }}), {{ parts }})
{%- endmacro %}

{#- The n-th latest moment of a group; of fewer, the first. -#}
{% macro nth_latest(moment, n) -%}
    {{ return(adapter.dispatch('nth_latest', 'shoal')(moment, n)) }}
{%- endmacro %}

{% macro duckdb__nth_latest(moment, n) -%}
    list_last(max({{ moment }}, {{ n }}))
{%- endmacro %}

{% macro spark__nth_latest(moment, n) -%}
    element_at(slice(sort_array(collect_list({{ moment }}), false), 1, {{ n }}), -1)
{%- endmacro %}

{#- The last so many elements of a list. -#}
{% macro last_elements(list, n) -%}
    {{ return(adapter.dispatch('last_elements', 'shoal')(list, n)) }}
{%- endmacro %}

{% macro duckdb__last_elements(list, n) -%}
    list_slice({{ list }}, -{{ n }}, -1)
{%- endmacro %}

{% macro spark__last_elements(list, n) -%}
    slice({{ list }}, greatest(size({{ list }}) - {{ n - 1 }}, 1), {{ n }})
{%- endmacro %}

{#- Seconds from each moment of a list to the next; before the first there is `first_gap`. -#}
{% macro gaps_between(moments, first_gap) -%}
    {{ return(adapter.dispatch('gaps_between', 'shoal')(moments, first_gap)) }}
{%- endmacro %}

{% macro duckdb__gaps_between(moments, first_gap) -%}
    list_concat([{{ first_gap }}], list_transform(
        list_zip(list_slice({{ moments }}, 1, -2), list_slice({{ moments }}, 2, -1)),
        lambda pair: {{ seconds_between('pair[1]', 'pair[2]') }}
    ))
{%- endmacro %}

{% macro spark__gaps_between(moments, first_gap) -%}
    concat(array({{ first_gap }}), zip_with(
        slice({{ moments }}, 1, size({{ moments }}) - 1), slice({{ moments }}, 2, size({{ moments }})),
        (earlier, later) -> {{ seconds_between('earlier', 'later') }}
    ))
{%- endmacro %}

{#- Two lists, one after the other; the first may be null. -#}
{% macro both_lists(earlier, later) -%}
    {{ return(adapter.dispatch('both_lists', 'shoal')(earlier, later)) }}
{%- endmacro %}

{% macro duckdb__both_lists(earlier, later) -%}
    list_concat(coalesce({{ earlier }}, []), {{ later }})
{%- endmacro %}

{% macro spark__both_lists(earlier, later) -%}
    concat(coalesce({{ earlier }}, array()), {{ later }})
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

{#- Whether a row version was known as of a day: delivered by then, and not yet replaced. -#}
{% macro is_known_as_of(rows, as_of_date) -%}
    {{ rows }}.delivered_on <= {{ as_of_date }}
    and ({{ rows }}.superseded_on is null or {{ rows }}.superseded_on > {{ as_of_date }})
{%- endmacro %}

{#- What was known of somebody on each as_of_date. One select per date, not a join with the dates: what DuckDB expects of
such a join is so few rows that it hashes the log instead of what the log is joined to. -#}
{% macro known_on_each_date(relation) -%}
    {%- for as_of_date in var('as_of_dates') %}
    select
        date '{{ as_of_date }}' as as_of_date,
        rows_known.*
    from {{ relation }} as rows_known
    where
        rows_known.event_date <= date '{{ as_of_date }}'
        and {{ is_known_as_of('rows_known', "date '" ~ as_of_date ~ "'") }}
        and coalesce(rows_known.user_key, rows_known.device_key) is not null
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}
{%- endmacro %}

{#- An as_of_date is written whole or not at all: its old rows go in the same transaction. -#}
{% macro forget_as_of_dates() %}
    {%- if is_incremental() -%}
        delete from {{ this }} where as_of_date in (
            {%- for as_of_date in var('as_of_dates') -%}
            cast('{{ as_of_date }}' as date){{ ', ' if not loop.last }}
            {%- endfor -%}
        )
    {%- endif -%}
{% endmacro %}

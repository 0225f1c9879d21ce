{#- Whether a row version was known as of a day: delivered by then, and not yet replaced. -#}
{% macro is_known_as_of(rows, as_of_date) -%}
    {{ rows }}.delivered_on <= {{ as_of_date }}
    and ({{ rows }}.superseded_on is null or {{ rows }}.superseded_on > {{ as_of_date }})
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

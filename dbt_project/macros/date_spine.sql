{#- The dates that this build makes: the as_of_date and the cuts, without those that stand from the build before. -#}
{% macro made_dates() -%}
    {{ return(var('as_of_dates') | reject('in', var('standing')) | list) }}
{%- endmacro %}

{% macro is_made(rows=none) -%}
    {{ rows ~ '.' if rows }}as_of_date in (
        {%- for as_of_date in made_dates() %}date '{{ as_of_date }}'{{ ', ' if not loop.last }}{% endfor -%}
    )
{%- endmacro %}

{#- Dates as rows of one column `as_of_date`; the as_of_date and the cuts of this build, unless others are given. -#}
{% macro as_of_dates(dates=none) -%}
    {%- for as_of_date in dates or var('as_of_dates') %}
    select cast('{{ as_of_date }}' as date) as as_of_date
    {%- if not loop.last %} union all {% endif -%}
    {%- endfor %}
{%- endmacro %}

{#- Every day from first to last, both included, as rows of one column `date_day`. -#}
{% macro date_spine(first_day, last_day) -%}
    {{ return(adapter.dispatch('date_spine', 'shoal')(first_day, last_day)) }}
{%- endmacro %}

{% macro duckdb__date_spine(first_day, last_day) -%}
    select cast(unnest(generate_series(
        cast({{ first_day }} as timestamp), cast({{ last_day }} as timestamp), interval 1 day
    )) as date) as date_day
{%- endmacro %}

{% macro spark__date_spine(first_day, last_day) -%}
    select explode(sequence(cast({{ first_day }} as date), cast({{ last_day }} as date))) as date_day
{%- endmacro %}

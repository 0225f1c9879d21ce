{#-
An as_of_date that is made from an earlier one (`carried`): whatever users were as of then they still are, unless
something became known of them in between. Where a macro says "carried", it is these dates and only these.
-#}

{#- The carried dates and those that they are made from, as rows. -#}
{% macro carried_dates() -%}
    {%- for as_of_date, carried_from in var('carried').items() %}
    select date '{{ as_of_date }}' as as_of_date, date '{{ carried_from }}' as carried_from
    {%- if not loop.last %} union all {% endif -%}
    {%- else %}
    select cast(null as date) as as_of_date, cast(null as date) as carried_from where false
    {%- endfor %}
{%- endmacro %}

{#- The dates of which the rows of the last build are read: those that stand, and those that others are made from. -#}
{% macro read_dates() -%}
    select carried_from as as_of_date from ({{ carried_dates() }}) as carried
    {%- for as_of_date in var('standing') %}
    union all
    select date '{{ as_of_date }}' as as_of_date
    {%- endfor %}
{%- endmacro %}

{#- Keeps these rows until the whole build has succeeded; all others go. -#}
{% macro forget_all_but_carried() %}
    {%- if is_incremental() -%}
        delete from {{ this }} where as_of_date not in (select dates.as_of_date from ({{ read_dates() }}) as dates)
    {%- endif -%}
{% endmacro %}

{#- Of dates that stand alone all rows, of carried ones those of users (or visitors) that are counted anew. -#}
{% macro is_counted_anew(changed, rows='events', key='user_key') -%}
    {%- set is_changed = '(' ~ rows ~ '.as_of_date, ' ~ rows ~ '.' ~ key ~ ') in (select as_of_date, ' ~ key
        ~ ' from ' ~ changed ~ ')' -%}
    {%- if not var('carried') -%}
        true
    {%- elif are_all_carried() -%}
        {{ is_changed }}
    {%- else -%}
        ({{ rows }}.as_of_date not in (select as_of_date from ({{ carried_dates() }}) as carried) or {{ is_changed }})
    {%- endif -%}
{%- endmacro %}

{#- Whether each date is made from an earlier one. -#}
{% macro are_all_carried() -%}
    {{ return(var('carried') | length == made_dates() | length) }}
{%- endmacro %}

{#- The rows of an earlier as_of_date of users that have not changed since, as those of the new one. Both keys come
first in all tables that are carried. -#}
{% macro carry_unchanged(changed) -%}
    select
        carried.as_of_date,
        {%- for column in columns_of(this) if column != 'as_of_date' %}
        kept.{{ column }}{{ ',' if not loop.last }}
        {%- endfor %}
    from {{ this }} as kept
    inner join ({{ carried_dates() }}) as carried on kept.as_of_date = carried.carried_from
    left join {{ changed }} as changed
        on carried.as_of_date = changed.as_of_date and kept.user_key = changed.user_key
    where changed.user_key is null
{%- endmacro %}

{#- Lists that no date reads that others are made from are lists of earlier builds, or of one that was killed. -#}
{% macro forget_unread_lists() %}
    {%- if is_incremental() -%}
        delete from {{ this }}
        {%- if var('carried') or var('standing') %}
        where sequence_key not in (
            select sequence_key from {{ this.incorporate(path={'identifier': 'int_user_sequences'}) }}
            where as_of_date in (select dates.as_of_date from ({{ read_dates() }}) as dates)
        )
        {%- endif %}
    {%- endif -%}
{% endmacro %}

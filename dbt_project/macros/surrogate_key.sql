{#- One text key of several columns; a null differs from an empty text, and parts can't run into each other. -#}
{% macro surrogate_key(columns) -%}
    md5(
        {%- for column in columns -%}
        coalesce(replace(cast({{ column }} as {{ dbt.type_string() }}), '|', '||'), '-|-')
        {%- if not loop.last %} || '-|' || {% endif -%}
        {%- endfor -%}
    )
{%- endmacro %}

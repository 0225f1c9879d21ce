{#- Creates the empty tables of a source from their declared columns: what is read must exist before it is written. A
table of an earlier release gets the columns that it lacks. -#}
{% macro create_source_tables(source_name) %}
    {%- if execute -%}
        {%- for node in graph.sources.values() | selectattr('source_name', 'equalto', source_name) %}
            create schema if not exists {{ node.schema }};
            create table if not exists {{ node.schema }}.{{ node.identifier }} (
                {%- for column in node.columns.values() %}
                {{ column.name }} {{ column.data_type }}{{ ',' if not loop.last }}
                {%- endfor %}
            );
            {%- for column in node.columns.values() %}
            alter table {{ node.schema }}.{{ node.identifier }}
                add column if not exists {{ column.name }} {{ column.data_type }};
            {%- endfor %}
        {%- endfor %}
    {%- endif -%}
{% endmacro %}

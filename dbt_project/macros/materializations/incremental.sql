{#-
As the adapter's own, but new rows go straight into the table: it writes them twice, into a temporary table first, to learn
their columns and so what has to be deleted. Here what goes is told by hooks. Other columns or types fail, as they do there with
`on_schema_change: fail`.
-#}
{% materialization incremental, adapter='duckdb' %}
    {%- set existing = load_cached_relation(this) -%}
    {%- if existing is none or existing.is_view or should_full_refresh() -%}
        {{ return(dbt.materialization_incremental_duckdb()) }}
    {%- endif -%}
    {{ fail_on_other_columns(this, compiled_code) }}
    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}
    {% call statement('main') -%}
        insert into {{ this }} by name
        {{ compiled_code }}
    {%- endcall %}
    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {% do adapter.commit() %}
    {{ run_hooks(post_hooks, inside_transaction=False) }}
    {{ return({'relations': [this.incorporate(type='table')]}) }}
{% endmaterialization %}

{% macro fail_on_other_columns(relation, code) -%}
    {%- set found = [] -%}
    {%- for described in ['describe ' ~ relation, 'describe ' ~ code] -%}
        {%- set columns = [] -%}
        {%- for row in run_query(described) -%}{%- do columns.append(row[0] ~ ' ' ~ row[1]) -%}{%- endfor -%}
        {%- do found.append(columns | sort) -%}
    {%- endfor -%}
    {%- if found[0] != found[1] -%}
        {{ exceptions.raise_compiler_error(
            relation ~ ' has other columns than its model now: make rebuild makes it anew. It has '
            ~ found[0] | reject('in', found[1]) | join(', ') ~ '; the model has '
            ~ found[1] | reject('in', found[0]) | join(', ')
        ) }}
    {%- endif -%}
{%- endmacro %}

{#- Fails where a column does not hold the very keys of another table's rows, each as often: none lost, none twice. Keys
are counted and their hashes added up, which costs half of telling whether each is there once. -#}
{% test same_keys(model, column_name, to, condition) %}
    select *
    from ({{ sum_of_keys(model, column_name) }}) as found
    cross join ({{ sum_of_keys(to, column_name, condition) }}) as wanted
    where
        found.key_count <> wanted.key_count
        or coalesce(found.key_sum, 0) <> coalesce(wanted.key_sum, 0)
{% endtest %}

{% macro sum_of_keys(relation, column, condition='true') -%}
    select
        count({{ column }}) as key_count,
        sum(cast({{ row_hash([column]) }} as decimal(38, 0))) as key_sum
    from {{ relation }}
    where {{ condition }}
{%- endmacro %}

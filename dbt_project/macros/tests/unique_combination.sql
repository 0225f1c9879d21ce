{#- Fails for every combination of the columns that more than one row has. Combinations are counted by their hash, which
costs a quarter; only those whose hash comes twice are compared. -#}
{% test unique_combination(model, columns) %}
    select {{ columns | join(', ') }}, count(*) as row_count
    from {{ model }}
    where {{ row_hash(columns) }} in (
        select {{ row_hash(columns) }} from {{ model }} group by {{ row_hash(columns) }} having count(*) > 1
    )
    group by {{ columns | join(', ') }}
    having count(*) > 1
{% endtest %}

{#- dbt's own test of one column, in the same way. -#}
{% test unique(model, column_name) %}
    select {{ column_name }}, count(*) as row_count
    from {{ model }}
    where
        {{ column_name }} is not null
        and {{ row_hash([column_name]) }} in (
            select {{ row_hash([column_name]) }} from {{ model }} group by {{ row_hash([column_name]) }} having count(*) > 1
        )
    group by {{ column_name }}
    having count(*) > 1
{% endtest %}

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

{#- Fails for every version that ends after the next one of its key begins, so that there are moments with two; a version
without end lasts. Where none does, whoever asks for one moment meets each key once. -#}
{% test one_version_at_a_time(model, key, begins='delivered_on', ends='superseded_on') %}
    select *
    from (
        select
            {{ key | join(', ') }}, {{ begins }}, {{ ends }},
            lead({{ begins }}) over (partition by {{ key | join(', ') }} order by {{ begins }}) as next_begins
        from {{ model }}
        where {{ row_hash(key) }} in (
            select {{ row_hash(key) }} from {{ model }} group by {{ row_hash(key) }} having count(*) > 1
        )
    ) as versions
    where next_begins is not null and ({{ ends }} is null or {{ ends }} > next_begins)
{% endtest %}

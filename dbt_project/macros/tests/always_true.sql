{#- Fails for every row of which an identity between columns does not hold; null does not hold either. -#}
{% test always_true(model, expression) %}
    select * from {{ model }} where not coalesce({{ expression }}, false)
{% endtest %}

-- What each user spent in the horizon after each as_of_date, as far as this build's as_of_date knows it.
with
list_horizons as (
    {%- for as_of_date in var('as_of_dates') %}
    select
        date '{{ as_of_date }}' as as_of_date,
        date '{{ as_of_date }}' + interval {{ var('horizon_days') or 0 }} days as ends_on,
        date '{{ as_of_date }}' + interval {{ (var('horizon_days') or 0) + var('refund_days') }} days as closes_on
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}
),

{{ sum_outcomes() }}

select * from sum_outcomes

{#- The segment of a buyer by whether recency, frequency and money are high: one of eight. -#}
{% macro rfm_segment(is_recent, is_frequent, is_big) -%}
    case
        when {{ is_recent }} and {{ is_frequent }} and {{ is_big }} then 'champions'
        when {{ is_recent }} and {{ is_big }} then 'promising_big_spenders'
        when {{ is_frequent }} and {{ is_big }} then 'big_spenders_to_keep'
        when {{ is_big }} then 'big_spenders_to_win_back'
        when {{ is_recent }} and {{ is_frequent }} then 'frequent_small_buyers'
        when {{ is_recent }} then 'new_small_buyers'
        when {{ is_frequent }} then 'small_buyers_to_keep'
        else 'small_buyers_gone_quiet'
    end
{%- endmacro %}

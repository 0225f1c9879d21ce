{#- Seconds between two events, as coarse as a journey may tell them. -#}
{% macro gap_band(seconds) -%}
    case
        when {{ seconds }} <= 60 * {{ var('session_gap_minutes') }} then 'same_visit'
        when {{ seconds }} <= 24 * 60 * 60 then 'same_day'
        when {{ seconds }} <= 7 * 24 * 60 * 60 then 'same_week'
        else 'later'
    end
{%- endmacro %}

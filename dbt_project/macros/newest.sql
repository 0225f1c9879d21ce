{#-
Tables without an as_of_date tell what was known at the newest snapshot. They are written anew, whole, by the build of
that snapshot; the build of an older day, or one whose events are no longer laid out, leaves them as they are.
-#}

{#- Whether leg 1 still holds the log as of this day: it lays out one day at a time, and may be ahead. A table is asked:
of the view of the log DuckDB 2.0 says "no" where no device was ever linked. -#}
{% macro is_laid_out() -%}
    exists (select 1 from {{ ref('int_users_eligible') }} where as_of_date = {{ as_of_date() }})
{%- endmacro %}

{% macro is_newest_snapshot() -%}
    {{ is_laid_out() }}
    and not exists (select 1 from {{ ref('user_segment_daily') }} where as_of_date > {{ as_of_date() }})
{%- endmacro %}

{% macro forget_older_snapshot() %}
    {%- if is_incremental() -%}
        delete from {{ this }} where {{ is_newest_snapshot() }}
    {%- endif -%}
{% endmacro %}

{#-
Groups of fewer users than `smallest_group` become `_other`, with the next smallest where they are too few together, so
that totals still add up. CTEs that end with `fold_<code>`: the rows of `rows`, their column `code` folded within `by`.
-#}
{% macro fold_small(rows, code, by) -%}
{%- set within = by | join(', ') -%}
size_{{ code }} as (
    select
        {{ within }},
        {{ code }},
        sum(users) as group_users
    from {{ rows }}
    group by {{ within }}, {{ code }}
),

weigh_{{ code }} as (
    select
        *,
        group_users < {{ var('smallest_group') }} as is_small,
        sum(case when group_users < {{ var('smallest_group') }} then group_users else 0 end)
            over (partition by {{ within }}) as small_users,
        row_number() over (
            partition by {{ within }}, group_users < {{ var('smallest_group') }} order by group_users, {{ code }}
        ) as place
    from size_{{ code }}
),

fold_{{ code }} as (
    select
        rows_sized.*,
        case
            when weighed.is_small then '_other'
            when weighed.place = 1 and weighed.small_users between 1 and {{ var('smallest_group') - 1 }} then '_other'
            else rows_sized.{{ code }}
        end as folded_{{ code }}
    from {{ rows }} as rows_sized
    inner join weigh_{{ code }} as weighed
        on
            {%- for column in by %}
            rows_sized.{{ column }} = weighed.{{ column }} and
            {%- endfor %}
            rows_sized.{{ code }} = weighed.{{ code }}
)
{%- endmacro %}

{#- The names of a segment in rows that are grouped by a folded `code`: of _other its own. -#}
{% macro folded_names(code) -%}
        {%- for language in ('en', 'zh') %}
        case
            when {{ code }} = '_other' then '{{ var("other_names")[language] }}' else max(segment_name_{{ language }})
        end as segment_name_{{ language }}{{ ',' if not loop.last }}
        {%- endfor %}
{%- endmacro %}

{#- Days or months of fewer users than `smallest_group` are told with the next that has enough, and the last ones with the
last that has. The CTE `join_<period>`: each period of `rows`, and with which it is told. -#}
{% macro join_small_periods(rows, period) -%}
join_{{ period }} as (
    select
        {{ period }},
        coalesce(
            min(case when users >= {{ var('smallest_group') }} then {{ period }} end) over (
                order by {{ period }} rows between current row and unbounded following
            ),
            max(case when users >= {{ var('smallest_group') }} then {{ period }} end) over (),
            max({{ period }}) over ()
        ) as told_{{ period }}
    from {{ rows }}
)
{%- endmacro %}

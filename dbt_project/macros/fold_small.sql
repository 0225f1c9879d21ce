{#-
Groups of fewer users than `smallest_group` become `_other`, with the next smallest where they are too few together, so
that totals still add up. How many have never ordered is told by every scheme of rules: so nobody finds a small group of
one scheme by what another tells, those are folded among themselves, and those who have, unless all of them are few.
CTEs that end with `fold_<code>`: the rows of `rows`, their column `code` folded within `by`.
-#}
{% macro fold_small(rows, code, by) -%}
{%- set within = by | join(', ') -%}
{%- set least = var('smallest_group') -%}
size_{{ code }} as (
    select
        {{ within }},
        {{ code }},
        {{ side_of(code) }} as side,
        sum(users) as group_users
    from {{ rows }}
    group by {{ within }}, {{ code }}
),

weigh_{{ code }} as (
    select
        *,
        group_users < {{ least }} as is_small,
        sum(case when group_users < {{ least }} then group_users else 0 end)
            over (partition by {{ within }}, side) as small_users,
        row_number() over (
            partition by {{ within }}, side, group_users < {{ least }} order by group_users, {{ code }}
        ) as place
    from size_{{ code }}
),

join_{{ code }} as (
    select
        *,
        is_small or (place = 1 and small_users between 1 and {{ least - 1 }}) as is_joined
    from weigh_{{ code }}
),

count_{{ code }} as (
    select
        *,
        sum(case when is_joined then group_users else 0 end) over (partition by {{ within }}) as joined_users,
        row_number() over (partition by {{ within }}, is_joined order by group_users, {{ code }}) as joined_place
    from join_{{ code }}
),

fold_{{ code }} as (
    select
        rows_sized.*,
        case
            when counted.is_joined then '_other'
            when counted.joined_place = 1 and counted.joined_users between 1 and {{ least - 1 }} then '_other'
            else rows_sized.{{ code }}
        end as folded_{{ code }}
    from {{ rows }} as rows_sized
    inner join count_{{ code }} as counted
        on
            {%- for column in by %}
            rows_sized.{{ column }} = counted.{{ column }} and
            {%- endfor %}
            rows_sized.{{ code }} = counted.{{ code }}
)
{%- endmacro %}

{#- On which side of what every scheme of rules tells a segment is: whether its users have ever ordered. -#}
{% macro side_of(code) -%}
    case
        when scheme in ('rfm', 'lifecycle') and {{ code }} in ('{{ var("never_ordered") | join("', '") }}')
            then 'never ordered'
        when {{ code }} = '_other' then 'both'
        when {{ code }} in ('NEW', 'ABSENT', 'IDENTIFIED', 'ERASED') then 'elsewhere'
        else 'ordered'
    end
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

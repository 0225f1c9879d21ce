{{ config(materialized='table') }}

-- Small segments first, as in their profiles, then who came or went, then small moves and what would betray them.
{%- set pair = ['scheme', 'from_date', 'to_date'] %}
with
mark_nowhere as (
    select
        *,
        {{ side_of('from_code') }} = 'elsewhere' as is_from_nowhere,
        {{ side_of('to_code') }} = 'elsewhere' as is_to_nowhere
    from {{ ref('int_segment_moves_counted') }}
),

-- The later profile tells the money of all who stayed, so what is left over is that of those who left.
read_moves as (
    select
        scheme,
        from_date,
        to_date,
        from_code as from_end,
        to_code as to_end,
        is_from_nowhere,
        is_to_nowhere,
        cause,
        users,
        case
            when
                is_to_nowhere
                and sum(case when is_to_nowhere then users else 0 end) over (partition by {{ pair | join(', ') }})
                < {{ var('smallest_group') }}
                then 0
            else net_amount
        end as net_amount
    from mark_nowhere
),

{{ fold_small('read_moves', 'from_end', pair + ['is_from_nowhere']) }},

{{ fold_small('fold_from_end', 'to_end', pair + ['is_to_nowhere']) }},

keep_nowhere as (
    select
        scheme,
        from_date,
        to_date,
        case when is_from_nowhere then from_end else folded_from_end end as from_code,
        case when is_to_nowhere then to_end else folded_to_end end as to_code,
        cause,
        users,
        net_amount
    from fold_to_end
),

{{ fold_small('keep_nowhere', 'from_code', pair) }},

{{ fold_small('fold_from_code', 'to_code', pair) }},

sum_folded as (
    select
        scheme,
        from_date,
        to_date,
        folded_from_code as from_code,
        folded_to_code as to_code,
        cause,
        sum(users) as users,
        sum(net_amount) as net_amount
    from fold_to_code
    group by scheme, from_date, to_date, folded_from_code, folded_to_code, cause
),

{{ hide_moves('sum_folded') }},

sum_moves as (
    select
        scheme,
        from_date,
        to_date,
        from_code,
        case when is_hidden then '_other' else to_code end as to_code,
        case when is_hidden then 'none' else cause end as cause,
        sum(users) as users,
        sum(net_amount) as net_amount
    from hide_moves
    group by
        scheme,
        from_date,
        to_date,
        from_code,
        case when is_hidden then '_other' else to_code end,
        case when is_hidden then 'none' else cause end
),

find_names as (
    select distinct
        scheme,
        as_of_date,
        segment_code,
        segment_name_en,
        segment_name_zh
    from {{ ref('int_segment_definitions_kept') }}
),

round_once as (
    select
        moves.scheme,
        moves.from_date,
        moves.to_date,
        moves.from_code,
        moves.to_code,
        moves.cause,
        before.segment_name_en as from_name_en,
        before.segment_name_zh as from_name_zh,
        after.segment_name_en as to_name_en,
        after.segment_name_zh as to_name_zh,
        cast({{ days_between('moves.from_date', 'moves.to_date') }} as integer) as window_days,
        cast(moves.users as bigint) as users,
        {{ safe_divide(
            'moves.users',
            'sum(moves.users) over (partition by moves.scheme, moves.from_date, moves.to_date, moves.from_code)'
        ) }} as share_of_from,
        {{ cents_that_add_up(
            'moves.net_amount', 'moves.from_code, moves.to_code, moves.cause',
            'moves.scheme, moves.from_date, moves.to_date'
        ) }} as net_revenue_amount,
        moves.from_code = '_other' or moves.to_code = '_other' as is_folded,
        '{{ var("run_id") }}' as run_id
    from sum_moves as moves
    left join find_names as before
        on
            moves.scheme = before.scheme
            and moves.from_date = before.as_of_date
            and moves.from_code = before.segment_code
    left join find_names as after
        on
            moves.scheme = after.scheme
            and moves.to_date = after.as_of_date
            and moves.to_code = after.segment_code
)

select * from round_once

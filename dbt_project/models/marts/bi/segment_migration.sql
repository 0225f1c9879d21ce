{{ config(materialized='table') }}

-- Small segments first, then small moves within each: what is left out of a row is never fewer users than the limit.
with
read_moves as (
    select * from {{ ref('int_segment_moves_counted') }}
),

{{ fold_small('read_moves', 'from_code', ['scheme', 'from_date', 'to_date']) }},

label_moves as (
    select
        scheme,
        from_date,
        to_date,
        folded_from_code as from_code,
        to_code || '|' || cause as move,
        to_code,
        cause,
        users,
        net_amount
    from fold_from_code
),

{{ fold_small('label_moves', 'move', ['scheme', 'from_date', 'to_date', 'from_code']) }},

sum_moves as (
    select
        scheme,
        from_date,
        to_date,
        from_code,
        case when folded_move = '_other' then '_other' else to_code end as to_code,
        case when folded_move = '_other' then 'none' else cause end as cause,
        sum(users) as users,
        sum(net_amount) as net_amount
    from fold_move
    group by
        scheme,
        from_date,
        to_date,
        from_code,
        case when folded_move = '_other' then '_other' else to_code end,
        case when folded_move = '_other' then 'none' else cause end
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

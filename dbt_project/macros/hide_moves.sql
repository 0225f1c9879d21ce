{#-
Moves of fewer users than `smallest_group` are hidden in their row, and so are as many others that nobody finds them by
subtraction: how many users each segment has on both days is known from its profile. A small move (from a, to b) may be
anything from none to the limit where hidden are, too,
    another move from a, of enough users, to some c (or to b, for another cause);
    another move to b, of enough users, from some d;
    and the move from d to c:
users of the second and third may as well be of the first and fourth, with all sums as they are. Where a row or a column
has no move of enough users, all of it is hidden. Who stays is hidden last: that is what is asked for most.

How many go from those who have never ordered to those who have is told by every scheme of rules. So b and c are on one
side of that border, or a and d are. Where neither can be, all moves of those who have never ordered are hidden, and where
a stands for segments of both sides, all others too.

CTEs that end with `hide_moves`: the rows of `moves`, with `is_hidden`.
-#}
{% macro hide_moves(moves) -%}
{%- set pair = ['scheme', 'from_date', 'to_date'] -%}
{%- set move = pair + ['from_code', 'to_code', 'cause'] -%}
{%- set of_move = 'small_moves.' ~ move | join(', small_moves.') -%}
name_sides as (
    select
        *,
        {{ side_of('from_code') }} as from_side,
        {{ side_of('to_code') }} as to_side
    from {{ moves }}
),

find_small_moves as (
    select * from name_sides
    where users < {{ var('smallest_group') }}
),

-- Who leaves the same segment; for another cause to the same one, if possible: then no column is to be hidden.
rank_beside as (
    select
        {{ of_move }},
        small_moves.from_side,
        others.to_code as beside_code,
        others.cause as beside_cause,
        small_moves.to_side = others.to_side as is_same_side,
        row_number() over (
            partition by {{ of_move }}
            order by
                others.users >= {{ var('smallest_group') }} desc, others.to_code = small_moves.to_code desc,
                others.to_side = small_moves.to_side desc, others.to_side = 'elsewhere' asc,
                others.to_code = others.from_code asc, others.users asc, others.to_code asc, others.cause asc
        ) as place,
        max(others.users) over (partition by {{ of_move }}) as most_users
    from find_small_moves as small_moves
    inner join name_sides as others
        on
            {{ are_equal('small_moves', 'others', pair + ['from_code']) }}
            and (small_moves.to_code <> others.to_code or small_moves.cause <> others.cause)
),

choose_beside as (
    select * from rank_beside
    where place = 1 or most_users < {{ var('smallest_group') }}
),

-- Who comes to the same segment from elsewhere.
rank_above as (
    select
        {{ of_move }},
        small_moves.from_side,
        small_moves.beside_code,
        others.from_code as above_code,
        others.cause as above_cause,
        small_moves.is_same_side or others.from_side = small_moves.from_side as is_same_side,
        row_number() over (
            partition by {{ of_move }}, small_moves.beside_code
            order by
                others.users >= {{ var('smallest_group') }} desc,
                small_moves.is_same_side or others.from_side = small_moves.from_side desc,
                others.from_side = 'elsewhere' asc, others.from_code = small_moves.beside_code asc,
                others.to_code = others.from_code asc, others.users asc, others.from_code asc, others.cause asc
        ) as place,
        max(others.users) over (partition by {{ of_move }}, small_moves.beside_code) as most_users
    from choose_beside as small_moves
    inner join name_sides as others
        on
            {{ are_equal('small_moves', 'others', pair + ['to_code']) }}
            and small_moves.from_code <> others.from_code
    where small_moves.beside_code <> small_moves.to_code
),

choose_above as (
    select * from rank_above
    where place = 1 or most_users < {{ var('smallest_group') }}
),

list_hidden as (
    select {{ move | join(', ') }} from find_small_moves
    union
    select {{ move | join(', ') }} from {{ moves }} where to_code = '_other'
    union
    select {{ pair | join(', ') }}, from_code, beside_code as to_code, beside_cause as cause from choose_beside
    union
    select {{ pair | join(', ') }}, above_code as from_code, to_code, above_cause as cause from choose_above
    union
    select {{ 'moves.' ~ move | join(', moves.') }}
    from {{ moves }} as moves
    inner join choose_above as crossed
        on
            {{ are_equal('moves', 'crossed', pair) }}
            and moves.from_code = crossed.above_code
            and moves.to_code = crossed.beside_code
    union
    select {{ 'moves.' ~ move | join(', moves.') }}
    from name_sides as moves
    inner join choose_above as crossed
        on {{ are_equal('moves', 'crossed', pair) }} and crossed.place = 1 and not crossed.is_same_side
    where 'never ordered' in (moves.from_side, moves.to_side) or crossed.from_side = 'both'
),

hide_moves as (
    select
        moves.*,
        hidden.scheme is not null as is_hidden
    from {{ moves }} as moves
    left join list_hidden as hidden
        on {{ are_equal('moves', 'hidden', move) }}
)
{%- endmacro %}

{#- Whether two tables agree in some columns. -#}
{% macro are_equal(one, other, columns) -%}
    {%- for column in columns -%}
        {{ one }}.{{ column }} = {{ other }}.{{ column }}{{ ' and ' if not loop.last }}
    {%- endfor -%}
{%- endmacro %}

{#-
Moves of fewer users than `smallest_group` are hidden in their row, and so are as many others that nobody finds them by
subtraction: how many users each segment has on both days is known from its profile. A small move (from a, to b) may be
anything from none to the limit where hidden are, too,
    another move from a, of enough users, to some c (or to b, for another cause);
    another move to b, of enough users, from some d;
    and the move from d to c:
users of the second and third may as well be of the first and fourth, with all sums as they are. Where a row or a column
has no move of enough users, all of it is hidden. Who stays is hidden last: that is what is asked for most.

CTEs that end with `hide_moves`: the rows of `moves`, with `is_hidden`.
-#}
{% macro hide_moves(moves) -%}
{%- set pair = ['scheme', 'from_date', 'to_date'] -%}
{%- set move = pair + ['from_code', 'to_code', 'cause'] -%}
{%- set of_move = 'small_moves.' ~ move | join(', small_moves.') -%}
find_small_moves as (
    select * from {{ moves }}
    where users < {{ var('smallest_group') }}
),

-- Who leaves the same segment; for another cause to the same one, if possible: then no column is to be hidden.
rank_beside as (
    select
        {{ of_move }},
        others.to_code as beside_code,
        others.cause as beside_cause,
        row_number() over (
            partition by {{ of_move }}
            order by
                others.users >= {{ var('smallest_group') }} desc, others.to_code = small_moves.to_code desc,
                others.to_code = others.from_code asc, others.users asc, others.to_code asc, others.cause asc
        ) as place,
        max(others.users) over (partition by {{ of_move }}) as most_users
    from find_small_moves as small_moves
    inner join {{ moves }} as others
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
        small_moves.beside_code,
        others.from_code as above_code,
        others.cause as above_cause,
        row_number() over (
            partition by {{ of_move }}, small_moves.beside_code
            order by
                others.users >= {{ var('smallest_group') }} desc, others.from_code = small_moves.beside_code asc,
                others.to_code = others.from_code asc, others.users asc, others.from_code asc, others.cause asc
        ) as place,
        max(others.users) over (partition by {{ of_move }}, small_moves.beside_code) as most_users
    from choose_beside as small_moves
    inner join {{ moves }} as others
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

with
look_ahead as (
    select
        *,
        lead(valid_from) over (partition by scheme, segment_code order by valid_from) as next_valid_from
    from {{ ref('dim_segment') }}
),

find_overlaps as (
    select *
    from look_ahead
    where
        valid_to < valid_from
        or (valid_to = valid_from and event <> 'retired')
        or (next_valid_from is not null and valid_to is null)
        or valid_to > next_valid_from
)

select * from find_overlaps

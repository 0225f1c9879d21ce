with
find_undefined as (
    select distinct
        users.as_of_date,
        users.scheme,
        users.segment_code
    from {{ ref('user_segment_daily') }} as users
    left join {{ ref('dim_segment') }} as segments
        on
            users.scheme = segments.scheme
            and users.segment_code = segments.segment_code
            and users.as_of_date >= segments.valid_from
            and users.as_of_date < coalesce(segments.valid_to, date '9999-12-31')
    where segments.segment_code is null
)

select * from find_undefined

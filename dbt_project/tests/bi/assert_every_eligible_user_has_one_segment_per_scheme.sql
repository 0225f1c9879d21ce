-- Every eligible user has features. Of the as_of_date before it is published: later deliveries may change who would
-- have been eligible, never who was.
with
list_schemes as (
    select distinct scheme
    from {{ ref('user_segment_daily') }}
    where as_of_date = {{ as_of_date() }} and {{ not is_published('user_segment_daily') }}
),

expect_users as (
    select
        list_schemes.scheme,
        users.user_key
    from {{ ref('fct_user_features') }} as users
    cross join list_schemes
    where users.as_of_date = {{ as_of_date() }}
),

find_users as (
    select
        scheme,
        user_key
    from {{ ref('user_segment_daily') }}
    where as_of_date = {{ as_of_date() }} and {{ not is_published('user_segment_daily') }}
),

find_differences as (
    select
        coalesce(expect_users.scheme, find_users.scheme) as scheme,
        coalesce(expect_users.user_key, find_users.user_key) as user_key
    from expect_users
    full outer join find_users
        on expect_users.scheme = find_users.scheme and expect_users.user_key = find_users.user_key
    where expect_users.user_key is null or find_users.user_key is null
)

select * from find_differences

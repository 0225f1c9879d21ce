with
count_users as (
    select
        as_of_date,
        scheme,
        count(*) as users
    from {{ ref('user_segment_daily') }}
    group by as_of_date, scheme
),

sum_profiles as (
    select
        as_of_date,
        scheme,
        sum(users) as users,
        sum(user_share) as user_share,
        sum(revenue_share) as revenue_share
    from {{ ref('segment_profile_daily') }}
    group by as_of_date, scheme
),

find_differences as (
    select
        coalesce(count_users.as_of_date, sum_profiles.as_of_date) as as_of_date,
        coalesce(count_users.scheme, sum_profiles.scheme) as scheme,
        count_users.users as user_count,
        sum_profiles.users as profile_user_count,
        sum_profiles.user_share,
        sum_profiles.revenue_share
    from count_users
    full outer join sum_profiles
        on count_users.as_of_date = sum_profiles.as_of_date and count_users.scheme = sum_profiles.scheme
    where
        coalesce(count_users.users, 0) <> coalesce(sum_profiles.users, 0)
        or abs(sum_profiles.user_share - 1) > 1e-9
        or abs(sum_profiles.revenue_share - 1) > 1e-9
)

select * from find_differences

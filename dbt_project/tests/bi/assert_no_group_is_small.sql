-- No row of the group tables tells of few users, but in a shop that has no more. A published day stays as it was told.
with
count_eligible as (
    select count(*) as users
    from {{ ref('int_users_eligible') }}
    where as_of_date = {{ as_of_date() }}
),

list_groups as (
    select
        'segment_profile_daily' as table_name,
        users,
        sum(users) over (partition by scheme) as all_users
    from {{ ref('int_segment_profiles_summed') }}
    union all
    select
        'funnel_daily' as table_name,
        funnel.users,
        count_eligible.users as all_users
    from {{ ref('funnel_daily') }} as funnel
    cross join count_eligible
    union all
    select
        'customer_cohort_monthly' as table_name,
        users,
        sum(case when month_number = 0 then users else 0 end) over () as all_users
    from {{ ref('customer_cohort_monthly') }}
    union all
    select
        'segment_migration' as table_name,
        users,
        sum(users) over (partition by scheme, from_date, to_date) as all_users
    from {{ ref('segment_migration') }}
    union all
    select
        'score_backtest' as table_name,
        n as users,
        max(n) over (partition by score_name, as_of_date) as all_users
    from {{ ref('score_backtest') }}
),

find_small as (
    select *
    from list_groups
    where users < {{ var('smallest_group') }} and all_users >= {{ var('smallest_group') }}
)

select * from find_small

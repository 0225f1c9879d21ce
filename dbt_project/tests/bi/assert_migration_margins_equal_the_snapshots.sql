-- Before anything is folded: each segment's users, on both days, and their money on the later; and after: everybody.
with
count_users as (
    select
        scheme,
        as_of_date,
        segment_code,
        count(*) as users,
        coalesce(sum(net_revenue_amount), 0) as net_amount
    from {{ ref('user_segment_daily') }}
    group by scheme, as_of_date, segment_code
),

list_pairs as (
    select distinct
        scheme,
        from_date,
        to_date
    from {{ ref('int_segment_moves_counted') }}
),

expect_margins as (
    select
        list_pairs.scheme,
        list_pairs.from_date,
        list_pairs.to_date,
        'from ' || count_users.segment_code as margin,
        count_users.users,
        0 as net_amount
    from list_pairs
    inner join count_users
        on list_pairs.scheme = count_users.scheme and list_pairs.from_date = count_users.as_of_date
    union all
    select
        list_pairs.scheme,
        list_pairs.from_date,
        list_pairs.to_date,
        'to ' || count_users.segment_code as margin,
        count_users.users,
        count_users.net_amount
    from list_pairs
    inner join count_users
        on list_pairs.scheme = count_users.scheme and list_pairs.to_date = count_users.as_of_date
    union all
    select
        scheme,
        from_date,
        to_date,
        'all' as margin,
        sum(users) as users,
        0 as net_amount
    from {{ ref('int_segment_moves_counted') }}
    group by scheme, from_date, to_date
),

find_margins as (
    select
        scheme,
        from_date,
        to_date,
        'from ' || from_code as margin,
        sum(users) as users,
        0 as net_amount
    from {{ ref('int_segment_moves_counted') }}
    where from_code not in ('NEW', 'IDENTIFIED')
    group by scheme, from_date, to_date, from_code
    union all
    select
        scheme,
        from_date,
        to_date,
        'to ' || to_code as margin,
        sum(users) as users,
        sum(net_amount) as net_amount
    from {{ ref('int_segment_moves_counted') }}
    where to_code not in ('ABSENT', 'IDENTIFIED', 'ERASED')
    group by scheme, from_date, to_date, to_code
    union all
    select
        scheme,
        from_date,
        to_date,
        'all' as margin,
        sum(users) as users,
        0 as net_amount
    from {{ ref('segment_migration') }}
    group by scheme, from_date, to_date
),

find_differences as (
    select
        coalesce(expect_margins.scheme, find_margins.scheme) as scheme,
        coalesce(expect_margins.to_date, find_margins.to_date) as to_date,
        coalesce(expect_margins.margin, find_margins.margin) as margin,
        expect_margins.users as expected_users,
        find_margins.users,
        expect_margins.net_amount as expected_net_amount,
        find_margins.net_amount
    from expect_margins
    full outer join find_margins
        on
            expect_margins.scheme = find_margins.scheme
            and expect_margins.from_date = find_margins.from_date
            and expect_margins.to_date = find_margins.to_date
            and expect_margins.margin = find_margins.margin
    where
        coalesce(expect_margins.users, 0) <> coalesce(find_margins.users, 0)
        or coalesce(expect_margins.net_amount, 0) <> coalesce(find_margins.net_amount, 0)
)

select * from find_differences

{{ config(materialized='incremental', pre_hook="{{ forget_older_snapshot() }}") }}

with
-- Identified customers only: a cohort of devices would lose its members whenever one logs in.
read_events as (
    select
        events.user_key,
        cast(date_trunc('month', events.event_date) as date) as event_month,
        events.event_type,
        events.order_id,
        events.net_amount,
        case when coalesce(products.is_product, true) then 0 else events.net_amount end as non_product_net_amount
    from {{ ref('int_events_stitched') }} as events
    left join {{ ref('int_products_known') }} as products
        on events.as_of_date = products.as_of_date and events.product_id = products.product_id
    where
        events.as_of_date = {{ as_of_date() }}
        and events.is_identified
        and {{ is_newest_snapshot() }}
),

find_first_months as (
    select
        user_key,
        min(event_month) as first_month
    from read_events
    where event_type in ('purchase', 'order', 'refund')
    group by user_key
),

count_first_months as (
    select
        first_month,
        count(*) as users
    from find_first_months
    group by first_month
),

{{ join_small_periods('count_first_months', 'first_month') }},

find_cohorts as (
    select
        find_first_months.user_key,
        months.told_first_month as cohort_month
    from find_first_months
    inner join join_first_month as months on find_first_months.first_month = months.first_month
),

count_members as (
    select
        cohort_month,
        count(*) as users
    from find_cohorts
    group by cohort_month
),

-- What a customer brought before the month of a cohort that was joined counts in its first.
sum_months as (
    select
        find_cohorts.cohort_month,
        greatest(events.event_month, find_cohorts.cohort_month) as event_month,
        count(distinct case when events.event_type in ('purchase', 'order') then events.user_key end) as buyers,
        count(distinct case when events.event_type in ('purchase', 'order') then events.order_id end) as orders,
        sum(events.net_amount) as net_amount,
        sum(events.non_product_net_amount) as non_product_net_amount
    from read_events as events
    inner join find_cohorts on events.user_key = find_cohorts.user_key
    group by find_cohorts.cohort_month, greatest(events.event_month, find_cohorts.cohort_month)
),

list_months as (
    select days.date_day as event_month
    from ({{ date_spine('(select min(cohort_month) from find_cohorts)', as_of_date()) }}) as days
    where extract(day from days.date_day) = 1
),

-- A month in which nobody of a cohort bought is a row too.
fill_months as (
    select
        count_members.cohort_month,
        cast({{ dbt.datediff('count_members.cohort_month', 'list_months.event_month', 'month') }} as integer)
            as month_number,
        count_members.users,
        coalesce(sum_months.buyers, 0) as buyers,
        coalesce(sum_months.orders, 0) as orders,
        coalesce(sum_months.net_amount, 0) as net_amount,
        coalesce(sum_months.non_product_net_amount, 0) as non_product_net_amount
    from count_members
    inner join list_months on count_members.cohort_month <= list_months.event_month
    left join sum_months
        on
            count_members.cohort_month = sum_months.cohort_month
            and list_months.event_month = sum_months.event_month
),

round_once as (
    select
        cohort_month,
        month_number,
        users,
        buyers,
        orders,
        {{ cents_that_add_up('net_amount', 'cohort_month, month_number') }} as net_revenue_amount,
        {{ cents_that_add_up('non_product_net_amount', 'cohort_month, month_number') }}
            as non_product_net_revenue_amount,
        {{ safe_divide('buyers', 'users') }} as retention_share,
        '{{ var("run_id") }}' as run_id
    from fill_months
)

select * from round_once

{{ config(materialized='incremental', pre_hook="{{ forget_as_of_dates(made_dates()) }}") }}

with
read_measures as (
    select
        users.as_of_date,
        users.user_key,
        measures.order_count,
        max(measures.gross_revenue_amount) over (partition by users.as_of_date) > 0 as has_prices,
        max(measures.item_count) over (partition by users.as_of_date) > 0 as has_lines,
        measures.net_revenue_amount,
        measures.item_count,
        measures.interest_score_last_90_days,
        {{ days_between('measures.last_order_date', 'users.as_of_date') }} as days_since_last_order
    from {{ ref('int_users_eligible') }} as users
    inner join {{ ref('int_users_measured') }} as measures
        on users.as_of_date = measures.as_of_date and users.user_key = measures.user_key
    where {{ is_made('users') }}
),

-- A shop that tells no prices is measured by pieces, one that tells no lines by orders.
weigh_users as (
    select
        *,
        case
            when has_prices then net_revenue_amount
            when has_lines then item_count
            else order_count
        end as worth,
        case
            when has_prices then 'net revenue ' || {{ as_text('cast(net_revenue_amount as decimal(18, 2))') }}
            when has_lines then 'pieces bought ' || {{ as_text('cast(item_count as bigint)') }}
        end as worth_told
    from read_measures
),

-- Ties rank with their lowest, so that one order is never frequent merely because most have one.
rank_buyers as (
    select
        *,
        percent_rank() over (partition by as_of_date order by days_since_last_order desc) as recency_rank,
        percent_rank() over (partition by as_of_date order by order_count) as frequency_rank,
        percent_rank() over (partition by as_of_date order by worth) as monetary_rank
    from weigh_users
    where order_count > 0
),

read_rfm_thresholds as (
    select
        max(case when dimension = 'recency' then high_from_rank end) as recency_high,
        max(case when dimension = 'frequency' then high_from_rank end) as frequency_high,
        max(case when dimension = 'monetary' then high_from_rank end) as monetary_high
    from {{ ref('rfm_thresholds') }}
),

classify_buyers as (
    select
        rank_buyers.as_of_date,
        rank_buyers.user_key,
        rank_buyers.recency_rank >= thresholds.recency_high as is_recent,
        rank_buyers.frequency_rank >= thresholds.frequency_high as is_frequent,
        rank_buyers.monetary_rank >= thresholds.monetary_high as is_big,
        (rank_buyers.recency_rank + rank_buyers.frequency_rank + rank_buyers.monetary_rank) / 3 as score
    from rank_buyers
    cross join read_rfm_thresholds as thresholds
),

assign_rfm as (
    select
        weigh_users.user_key,
        weigh_users.as_of_date,
        'rfm' as scheme,
        case
            when buyers.user_key is null then 'not_bought'
            when buyers.is_recent and buyers.is_frequent and buyers.is_big then 'champions'
            when buyers.is_recent and buyers.is_big then 'promising_big_spenders'
            when buyers.is_frequent and buyers.is_big then 'big_spenders_to_keep'
            when buyers.is_big then 'big_spenders_to_win_back'
            when buyers.is_recent and buyers.is_frequent then 'frequent_small_buyers'
            when buyers.is_recent then 'new_small_buyers'
            when buyers.is_frequent then 'small_buyers_to_keep'
            else 'small_buyers_gone_quiet'
        end as segment_code,
        buyers.score,
        coalesce(
            'days since the last order ' || {{ as_text('weigh_users.days_since_last_order') }}, 'no order yet'
        ) as reason_1,
        case
            when buyers.user_key is not null then 'number of orders ' || {{ as_text('weigh_users.order_count') }}
        end as reason_2,
        case when buyers.user_key is not null then weigh_users.worth_told end as reason_3
    from weigh_users
    left join classify_buyers as buyers
        on weigh_users.as_of_date = buyers.as_of_date and weigh_users.user_key = buyers.user_key
),

match_lifecycle_rules as (
    select
        read_measures.user_key,
        read_measures.as_of_date,
        read_measures.order_count,
        read_measures.interest_score_last_90_days,
        rules.segment_code,
        rules.stage
    from read_measures
    inner join {{ ref('lifecycle_rules') }} as rules
        on
            read_measures.order_count >= rules.min_order_count
            and read_measures.interest_score_last_90_days >= rules.min_interest_score
),

assign_lifecycle as (
    select
        user_key,
        as_of_date,
        'lifecycle' as scheme,
        segment_code,
        cast(stage as double) as score,
        'number of orders ' || {{ as_text('order_count') }} as reason_1,
        'interest in the last 90 days '
        || {{ as_text('cast(interest_score_last_90_days as decimal(18, 1))') }} as reason_2,
        cast(null as {{ dbt.type_string() }}) as reason_3
    from match_lifecycle_rules
    qualify row_number() over (partition by as_of_date, user_key order by stage desc) = 1
),

unite_schemes as (
    select * from assign_rfm
    union all
    select * from assign_lifecycle
)

select * from unite_schemes

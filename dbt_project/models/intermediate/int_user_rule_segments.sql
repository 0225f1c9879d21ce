{{ config(materialized='incremental', pre_hook="{{ forget_as_of_dates(made_dates()) }}") }}

{%- set features = {
    'recency': 'days_since_last_order', 'frequency': 'order_count', 'money': 'net_revenue_amount', 'pieces': 'item_count'
} -%}
with
read_words as (
    select
        {%- for language in ['en', 'zh'] %}
        {%- for word, feature in features.items() %}
        max(case when feature = '{{ feature }}' then name_{{ language }} || ' ' end) as {{ word }}_{{ language }}
        {{- ',' if language == 'en' or not loop.last }}
        {%- endfor %}
        {%- endfor %}
    from {{ ref('segment_features') }}
),

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
        {%- for language in ['en', 'zh'] %}
        case
            when has_prices then money_{{ language }} || {{ as_text('cast(net_revenue_amount as decimal(18, 2))') }}
            when has_lines then pieces_{{ language }} || {{ as_text('cast(item_count as bigint)') }}
        end as worth_{{ language }},
        {%- endfor %}
        {%- for language, never in [('en', 'no order yet'), ('zh', '尚未下单')] %}
        coalesce(recency_{{ language }} || {{ as_text('days_since_last_order') }}, '{{ never }}')
            as recency_told_{{ language }},
        {%- endfor %}
        {%- for language in ['en', 'zh'] %}
        frequency_{{ language }} || {{ as_text('order_count') }} as frequency_told_{{ language }}{{ ',' if not loop.last }}
        {%- endfor %}
    from read_measures
    cross join read_words
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
        abs(rank_buyers.recency_rank - thresholds.recency_high) as to_recent,
        abs(rank_buyers.frequency_rank - thresholds.frequency_high) as to_frequent,
        abs(rank_buyers.monetary_rank - thresholds.monetary_high) as to_big,
        rank_buyers.recency_rank,
        rank_buyers.frequency_rank,
        rank_buyers.monetary_rank
    from rank_buyers
    cross join read_rfm_thresholds as thresholds
),

-- Surest of a segment is who ranks first, or last, among buyers in each of the three; the next lies across the nearest
-- border, of equally near ones that of recency, then of frequency.
measure_borders as (
    select
        *,
        (recency_rank + frequency_rank + monetary_rank) / 3 as score,
        (
            abs(recency_rank - case when is_recent then 1 else 0 end)
            + abs(frequency_rank - case when is_frequent then 1 else 0 end)
            + abs(monetary_rank - case when is_big then 1 else 0 end)
        ) / 3 as distance,
        least(to_recent, to_frequent, to_big) as margin,
        is_recent <> (to_recent <= to_frequent and to_recent <= to_big) as would_be_recent,
        is_frequent <> (to_frequent < to_recent and to_frequent <= to_big) as would_be_frequent,
        is_big <> (to_big < to_recent and to_big < to_frequent) as would_be_big
    from classify_buyers
),

assign_rfm as (
    select
        weigh_users.user_key,
        weigh_users.as_of_date,
        'rfm' as scheme,
        case
            when buyers.user_key is null then 'not_bought'
            else {{ rfm_segment('buyers.is_recent', 'buyers.is_frequent', 'buyers.is_big') }}
        end as segment_code,
        buyers.score,
        round(buyers.distance, 6) as distance,
        case
            when buyers.user_key is not null
                then {{ rfm_segment('buyers.would_be_recent', 'buyers.would_be_frequent', 'buyers.would_be_big') }}
        end as runner_up_code,
        round(buyers.margin, 6) as margin,
        weigh_users.recency_told_en as reason_1,
        case when buyers.user_key is not null then weigh_users.frequency_told_en end as reason_2,
        case when buyers.user_key is not null then weigh_users.worth_en end as reason_3,
        weigh_users.recency_told_zh as reason_1_zh,
        case when buyers.user_key is not null then weigh_users.frequency_told_zh end as reason_2_zh,
        case when buyers.user_key is not null then weigh_users.worth_zh end as reason_3_zh
    from weigh_users
    left join measure_borders as buyers
        on weigh_users.as_of_date = buyers.as_of_date and weigh_users.user_key = buyers.user_key
),

match_lifecycle_rules as (
    select
        weigh_users.user_key,
        weigh_users.as_of_date,
        weigh_users.frequency_told_en,
        weigh_users.frequency_told_zh,
        {{ as_text('cast(weigh_users.interest_score_last_90_days as decimal(18, 1))') }} as interest_told,
        rules.segment_code,
        rules.stage
    from weigh_users
    inner join {{ ref('lifecycle_rules') }} as rules
        on
            weigh_users.order_count >= rules.min_order_count
            and weigh_users.interest_score_last_90_days >= rules.min_interest_score
),

assign_lifecycle as (
    select
        user_key,
        as_of_date,
        'lifecycle' as scheme,
        segment_code,
        cast(stage as double) as score,
        cast(null as double) as distance,
        cast(null as {{ dbt.type_string() }}) as runner_up_code,
        cast(null as double) as margin,
        frequency_told_en as reason_1,
        'interest in the last 90 days ' || interest_told as reason_2,
        cast(null as {{ dbt.type_string() }}) as reason_3,
        frequency_told_zh as reason_1_zh,
        '近90天兴趣度 ' || interest_told as reason_2_zh,
        cast(null as {{ dbt.type_string() }}) as reason_3_zh
    from match_lifecycle_rules
    qualify row_number() over (partition by as_of_date, user_key order by stage desc) = 1
),

unite_schemes as (
    select * from assign_rfm
    union all
    select * from assign_lifecycle
)

select * from unite_schemes

{%- set features = [
    'recency_days', 'tenure_days', 'order_count', 'order_count_last_7_days', 'order_count_last_30_days',
    'order_count_last_90_days', 'net_revenue_amount', 'net_revenue_amount_last_30_days',
    'net_revenue_amount_last_90_days', 'gross_revenue_amount', 'average_order_amount', 'max_order_amount',
    'refund_share', 'discount_share', 'item_count', 'distinct_product_count', 'distinct_category_count',
    'days_between_orders_avg', 'days_since_last_order', 'view_count_last_30_days', 'cart_count_last_30_days',
    'search_count_last_30_days', 'event_count', 'event_count_last_7_days', 'event_count_last_30_days',
    'event_count_last_90_days', 'session_count_last_30_days', 'active_days_last_30_days',
    'active_days_last_90_days', 'cart_abandon_share', 'review_count', 'review_score_avg', 'night_share',
    'weekend_share', 'favourite_count'
] -%}
-- What sets a segment apart, feature by feature. Sums of decimals, so that the order of rows can't change a digit.
with
read_users as (
    select
        segments.scheme,
        segments.segment_code,
        segments.segment_name_en,
        segments.segment_name_zh,
        {%- for feature in features %}
        cast(features.{{ feature }} as double) as {{ feature }}{{ ',' if not loop.last }}
        {%- endfor %}
    from {{ ref('int_user_segments_assigned') }} as segments
    inner join {{ ref('fct_user_features') }} as features
        on segments.as_of_date = features.as_of_date and segments.user_key = features.user_key
    where segments.as_of_date = {{ as_of_date() }}
),

sum_segments as (
    select
        scheme,
        segment_code,
        max(segment_name_en) as segment_name_en,
        max(segment_name_zh) as segment_name_zh,
        count(*) as users,
        {%- for feature in features %}
        count({{ feature }}) as {{ feature }}_known,
        sum(cast({{ feature }} as decimal(28, 6))) as {{ feature }}_sum,
        sum(cast({{ feature }} * {{ feature }} as decimal(38, 6))) as {{ feature }}_squares{{ ',' if not loop.last }}
        {%- endfor %}
    from read_users
    group by scheme, segment_code
),

{{ fold_small('sum_segments', 'segment_code', ['scheme']) }},

list_features as (
    {%- for feature in features %}
    select
        scheme,
        folded_segment_code as segment_code,
        segment_name_en,
        segment_name_zh,
        users,
        '{{ feature }}' as feature,
        {{ feature }}_known as known_users,
        {{ feature }}_sum as value_sum,
        {{ feature }}_squares as square_sum
    from fold_segment_code
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}
),

sum_features as (
    select
        scheme,
        segment_code,
        feature,
        {{ folded_names('segment_code') }},
        sum(users) as users,
        sum(known_users) as known_users,
        sum(value_sum) as value_sum,
        sum(square_sum) as square_sum
    from list_features
    group by scheme, segment_code, feature
),

take_means as (
    select
        *,
        {{ safe_divide('value_sum', 'known_users') }} as segment_value,
        {{ safe_divide('sum(value_sum) over same_feature', 'sum(known_users) over same_feature') }}
            as population_value,
        {{ safe_divide('sum(square_sum) over same_feature', 'sum(known_users) over same_feature') }}
            as population_square
    from sum_features
    window same_feature as (partition by scheme, feature)
),

-- A mean of few users would tell of each of them; a feature that doesn't vary tells nobody apart.
compare_with_all as (
    select
        *,
        (segment_value - population_value)
        / sqrt(population_square - population_value * population_value) as effect_size,
        case when population_value > 0 and segment_value >= 0 then segment_value / population_value end as times
    from take_means
    where
        known_users >= {{ var('smallest_group') }}
        and population_square - population_value * population_value > 1e-9
),

fill_slots as (
    select
        compared.*,
        phrases.phrase_en,
        phrases.phrase_zh,
        cast(cast(round(compared.times, 1) as decimal(18, 1)) as varchar) as times_told,
        case
            when phrases.kind = 'share' then cast(cast(round(100 * compared.segment_value) as bigint) as varchar)
            when abs(compared.segment_value) >= 10
                then cast(cast(round(compared.segment_value) as bigint) as varchar)
            else cast(cast(round(compared.segment_value, 1) as decimal(18, 1)) as varchar)
        end as value_told,
        case
            when phrases.kind = 'share' then cast(cast(round(100 * compared.population_value) as bigint) as varchar)
            when abs(compared.population_value) >= 10
                then cast(cast(round(compared.population_value) as bigint) as varchar)
            else cast(cast(round(compared.population_value, 1) as decimal(18, 1)) as varchar)
        end as average_told
    from compare_with_all as compared
    left join {{ ref('segment_features') }} as phrases on compared.feature = phrases.feature
),

rank_features as (
    select
        {{ as_of_date() }} as as_of_date,
        scheme,
        segment_code,
        feature,
        segment_name_en,
        segment_name_zh,
        cast(users as bigint) as users,
        round(segment_value, 6) as segment_value,
        round(population_value, 6) as population_value,
        round(100 * times, 1) as index_100,
        round(effect_size, 4) as effect_size,
        cast(row_number() over (
            partition by scheme, segment_code order by abs(round(effect_size, 4)) desc, feature asc
        ) as integer) as rank,
        {%- for language, hardly in [('en', 'under 0.1'), ('zh', '不到0.1')] %}
        replace(replace(replace(
            phrase_{{ language }}, '{times}', case when times < 0.05 then '{{ hardly }}' else times_told end
        ), '{value}', value_told), '{average}', average_told) as sentence_{{ language }},
        {%- endfor %}
        '{{ var("run_id") }}' as run_id
    from fill_slots
)

select * from rank_features

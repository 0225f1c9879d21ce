-- Every measure is summed from counts and decimals, so that the order of rows can't change a digit.
with
count_segments as (
    select
        as_of_date,
        scheme,
        segment_code,
        count(*) as users
    from {{ ref('int_user_segments_assigned') }}
    where as_of_date = {{ as_of_date() }}
    group by as_of_date, scheme, segment_code
),

{{ fold_small('count_segments', 'segment_code', ['scheme']) }},

add_features as (
    select
        segments.as_of_date,
        segments.scheme,
        folds.folded_segment_code as segment_code,
        segments.segment_name_en,
        segments.segment_name_zh,
        features.recency_days,
        features.order_count,
        features.order_count_last_30_days,
        features.order_count_last_90_days,
        features.event_count_last_7_days,
        features.review_count,
        features.top_category,
        features.top_channel,
        cast(features.net_revenue_amount as decimal(18, 4)) as net_amount,
        cast(features.net_revenue_amount_last_90_days as decimal(18, 4)) as net_amount_last_90_days,
        cast(features.gross_revenue_amount as decimal(18, 4)) as gross_amount,
        cast(features.average_order_amount * features.order_count as decimal(18, 4)) as ordered_amount,
        cast(features.discount_share * features.gross_revenue_amount as decimal(18, 4)) as discount_amount,
        cast(features.refund_share * features.gross_revenue_amount as decimal(18, 4)) as refund_amount,
        cast(features.cart_abandon_share as decimal(18, 9)) as cart_abandon_share,
        cast(features.review_score_avg * features.review_count as decimal(18, 4)) as review_score_sum
    from {{ ref('int_user_segments_assigned') }} as segments
    inner join fold_segment_code as folds
        on segments.scheme = folds.scheme and segments.segment_code = folds.segment_code
    left join {{ ref('fct_user_features') }} as features
        on segments.as_of_date = features.as_of_date and segments.user_key = features.user_key
    where segments.as_of_date = {{ as_of_date() }}
),

sum_segments as (
    select
        as_of_date,
        scheme,
        segment_code,
        {{ folded_names('segment_code') }},
        count(*) as users,
        coalesce(sum(net_amount), 0) as net_amount,
        coalesce(sum(net_amount_last_90_days), 0) as net_amount_last_90_days,
        count(*) filter (where event_count_last_7_days > 0) as active_last_7_days,
        count(*) filter (where order_count_last_30_days > 0) as buyers_last_30_days,
        median(recency_days) as recency_days_median,
        avg(order_count_last_90_days) as orders_last_90_days_avg,
        -- An average of few users would tell of each of them.
        {%- for average, name, who in [
            (safe_divide('sum(ordered_amount)', 'sum(order_count)'), 'average_order_amount', 'order_count > 0'),
            (safe_divide('sum(discount_amount)', 'sum(gross_amount)'), 'discount_share', 'gross_amount > 0'),
            (safe_divide('sum(refund_amount)', 'sum(gross_amount)'), 'refund_share', 'gross_amount > 0'),
            ('avg(cart_abandon_share)', 'cart_abandon_share', 'cart_abandon_share is not null'),
            (
                safe_divide(
                    'sum(review_score_sum)', 'sum(case when review_score_sum is not null then review_count end)'
                ),
                'review_score_avg', 'review_score_sum is not null'
            )
        ] %}
        case when count(*) filter (where {{ who }}) >= {{ var('smallest_group') }} then {{ average }} end as {{ name }}
        {{- ',' if not loop.last }}
        {%- endfor %}
    from add_features
    group by as_of_date, scheme, segment_code
),

count_choices as (
    select
        scheme,
        segment_code,
        'category' as kind,
        top_category as choice,
        count(*) as choice_count
    from add_features
    where top_category is not null
    group by scheme, segment_code, top_category
    union all
    select
        scheme,
        segment_code,
        'channel' as kind,
        top_channel as choice,
        count(*) as choice_count
    from add_features
    where top_channel is not null
    group by scheme, segment_code, top_channel
),

-- Ties go to the first in the alphabet.
find_favourites as (
    select *
    from count_choices
    qualify row_number() over (partition by scheme, segment_code, kind order by choice_count desc, choice asc) = 1
),

take_shares as (
    select
        segments.as_of_date,
        segments.scheme,
        segments.segment_code,
        segments.segment_name_en,
        segments.segment_name_zh,
        segments.users,
        {{ safe_divide('segments.users', 'sum(segments.users) over (partition by segments.scheme)') }} as user_share,
        {{ cents_that_add_up('segments.net_amount', 'segments.segment_code', 'segments.scheme') }}
            as net_revenue_amount,
        segments.active_last_7_days,
        segments.buyers_last_30_days,
        cast(segments.recency_days_median as double) as recency_days_median,
        cast(segments.orders_last_90_days_avg as double) as orders_last_90_days_avg,
        {{ cents_that_add_up('segments.net_amount_last_90_days', 'segments.segment_code', 'segments.scheme') }}
            as net_revenue_last_90_days,
        {{ safe_divide('segments.net_amount', 'sum(segments.net_amount) over (partition by segments.scheme)') }}
            as revenue_share,
        cast(round(segments.average_order_amount, 2) as decimal(18, 2)) as average_order_amount,
        segments.discount_share,
        segments.refund_share,
        cast(segments.cart_abandon_share as double) as cart_abandon_share,
        segments.review_score_avg,
        categories.choice as top_category,
        channels.choice as top_channel,
        segments.segment_code = '_other' as is_folded,
        '{{ var("run_id") }}' as run_id
    from sum_segments as segments
    left join find_favourites as categories
        on
            segments.scheme = categories.scheme
            and segments.segment_code = categories.segment_code
            and categories.kind = 'category'
    left join find_favourites as channels
        on
            segments.scheme = channels.scheme
            and segments.segment_code = channels.segment_code
            and channels.kind = 'channel'
)

select * from take_shares

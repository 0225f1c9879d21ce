{{ config(pre_hook="{{ forget_as_of_dates() }}") }}
{#- Labels go on being told of dates that stand, until they close. -#}
{%- set horizon_days = var('horizon_days') or 0 -%}
with
place_horizons as (
    select
        *,
        cast(as_of_date + interval {{ horizon_days }} days as date) as ends_on,
        cast(as_of_date + interval {{ horizon_days + var('refund_days') }} days as date) as closes_on
    from {{ ref('int_users_eligible') }}
    where {{ horizon_days }} > 0
),

list_horizons as (
    select distinct
        as_of_date,
        ends_on,
        closes_on
    from place_horizons
),

{{ find_treated('list_horizons') }},

compare_outcomes as (
    select
        users.user_key,
        users.as_of_date,
        users.ends_on,
        users.closes_on,
        coalesce(outcomes.net_revenue_amount, 0) as net_revenue_amount,
        coalesce(outcomes.order_count, 0) as order_count,
        thresholds.threshold_amount,
        coalesce(thresholds.threshold_basis, 'net_revenue') as threshold_basis,
        find_treated.user_key is not null as is_treated,
        users.ends_on <= date '{{ var("as_of_date") }}' as is_observed
    from place_horizons as users
    left join {{ ref('int_outcomes_observed') }} as outcomes
        on users.as_of_date = outcomes.as_of_date and users.user_key = outcomes.user_key
    left join {{ ref('int_thresholds_measured') }} as thresholds on users.as_of_date = thresholds.as_of_date
    left join find_treated
        on users.as_of_date = find_treated.as_of_date and users.user_key = find_treated.user_key
),

-- A horizon that lies ahead, in part or whole, has no label yet: nothing is not zero.
set_labels as (
    select
        user_key,
        as_of_date,
        cast({{ horizon_days }} as integer) as horizon_days,
        case
            when is_observed and threshold_basis = 'orders' then order_count >= threshold_amount
            when is_observed then net_revenue_amount >= threshold_amount
        end as is_high_value,
        case when is_observed then order_count > 0 end as is_buyer,
        cast(case when is_observed then net_revenue_amount end as decimal(18, 4)) as net_revenue_amount,
        case when is_observed then order_count end as order_count,
        case when is_observed then is_treated end as is_treated,
        cast(threshold_amount as decimal(18, 4)) as threshold_amount,
        threshold_basis,
        closes_on,
        closes_on <= date '{{ var("as_of_date") }}' as is_closed
    from compare_outcomes
)

select * from set_labels

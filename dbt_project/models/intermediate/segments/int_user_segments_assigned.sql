with
assign_by_rule as (
    select
        as_of_date,
        user_key,
        scheme,
        segment_code,
        cast(score as double) as score,
        cast(distance as double) as distance,
        runner_up_code,
        cast(margin as double) as margin,
        reason_1,
        reason_2,
        reason_3,
        reason_1_zh,
        reason_2_zh,
        reason_3_zh,
        cast(null as varchar) as code_by_previous_model,
        cast(null as varchar) as model_version,
        '{{ var("run_id") }}' as run_id
    from {{ ref('int_user_rule_segments') }}
    where as_of_date = {{ as_of_date() }}
),

assign_by_model as (
    select
        as_of_date,
        user_key,
        scheme,
        segment_code,
        score,
        distance,
        runner_up_code,
        margin,
        reason_1,
        reason_2,
        reason_3,
        reason_1_zh,
        reason_2_zh,
        reason_3_zh,
        code_by_previous_model,
        model_version,
        run_id
    from {{ source('ml', 'user_segments') }}
    where as_of_date = {{ as_of_date() }}
),

unite_assignments as (
    select * from assign_by_rule
    union all
    select * from assign_by_model
),

add_names_and_money as (
    select
        unite_assignments.as_of_date,
        unite_assignments.user_key,
        unite_assignments.scheme,
        unite_assignments.segment_code,
        definitions.segment_name_en,
        definitions.segment_name_zh,
        unite_assignments.score,
        unite_assignments.distance,
        unite_assignments.runner_up_code,
        unite_assignments.margin,
        unite_assignments.reason_1,
        unite_assignments.reason_2,
        unite_assignments.reason_3,
        unite_assignments.reason_1_zh,
        unite_assignments.reason_2_zh,
        unite_assignments.reason_3_zh,
        unite_assignments.code_by_previous_model,
        cast(features.net_revenue_amount as decimal(18, 4)) as net_revenue_amount,
        unite_assignments.model_version,
        unite_assignments.run_id
    from unite_assignments
    left join {{ ref('fct_user_features') }} as features
        on
            unite_assignments.as_of_date = features.as_of_date
            and unite_assignments.user_key = features.user_key
    left join {{ ref('int_segment_definitions_kept') }} as definitions
        on
            unite_assignments.as_of_date = definitions.as_of_date
            and unite_assignments.scheme = definitions.scheme
            and unite_assignments.segment_code = definitions.segment_code
)

select * from add_names_and_money

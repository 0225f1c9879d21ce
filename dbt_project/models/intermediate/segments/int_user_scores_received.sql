with
receive_scores as (
    select
        as_of_date,
        user_key,
        score_name,
        score,
        label,
        model_name,
        decile,
        percentile,
        expected_value,
        horizon_days,
        reason_1,
        reason_2,
        reason_3,
        reason_1_zh,
        reason_2_zh,
        reason_3_zh,
        model_version,
        scored_at,
        run_id
    from {{ source('ml', 'user_scores') }}
    where as_of_date = {{ as_of_date() }}
)

select * from receive_scores

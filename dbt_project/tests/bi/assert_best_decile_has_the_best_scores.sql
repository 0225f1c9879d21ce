with
span_deciles as (
    select
        as_of_date,
        score_name,
        decile,
        min(score) as lowest_score,
        max(score) as highest_score
    from {{ ref('user_score_daily') }}
    group by as_of_date, score_name, decile
),

find_disorder as (
    select better.*
    from span_deciles as better
    inner join span_deciles as worse
        on
            better.as_of_date = worse.as_of_date
            and better.score_name = worse.score_name
            and better.decile < worse.decile
            and better.lowest_score < worse.highest_score
)

select * from find_disorder

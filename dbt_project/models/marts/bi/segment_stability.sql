{{ config(materialized='table') }}
-- What every training said about its segments: a fact of the training, whichever day is published.
-- It follows the predictions only so that it is built in their leg.
-- depends_on: {{ source('ml', 'user_segments') }}

with
-- Called as on the day of the training.
find_renames as (
    select
        trainings.run_id,
        renames.scheme,
        renames.segment_code,
        renames.segment_name_en,
        renames.segment_name_zh
    from {{ source('ops', 'segment_stability') }} as trainings
    inner join {{ source('ops', 'segment_rename') }} as renames
        on
            trainings.scheme = renames.scheme
            and trainings.segment_code = renames.segment_code
            and trainings.as_of_date >= renames.valid_from
    qualify row_number() over (
        partition by trainings.run_id, renames.scheme, renames.segment_code order by renames.renamed_at desc
    ) = 1
),

recall_trainings as (
    select
        trainings.run_id,
        trainings.scheme,
        trainings.segment_code,
        coalesce(find_renames.segment_name_en, segment_names.name_en) as segment_name_en,
        coalesce(find_renames.segment_name_zh, segment_names.name_zh) as segment_name_zh,
        trainings.as_of_date,
        trainings.model_version,
        trainings.champion_version,
        trainings.event,
        trainings.parent_code,
        trainings.ari_vs_champion,
        trainings.jaccard,
        trainings.bootstrap_jaccard,
        trainings.psi,
        trainings.moved_share,
        trainings.behaviour_moved_share,
        trainings.fit_gap,
        trainings.fit_gap_low,
        trainings.fit_gap_high,
        trainings.k,
        trainings.silhouette,
        trainings.gate,
        trainings.is_promoted,
        trainings.decision_reason,
        trainings.decision_reason_zh,
        trainings.recorded_at
    from {{ source('ops', 'segment_stability') }} as trainings
    left join find_renames
        on
            trainings.run_id = find_renames.run_id
            and trainings.scheme = find_renames.scheme
            and trainings.segment_code = find_renames.segment_code
    left join {{ ref('segment_names') }} as segment_names
        on trainings.scheme = segment_names.scheme and trainings.segment_code = segment_names.segment_code
)

select * from recall_trainings

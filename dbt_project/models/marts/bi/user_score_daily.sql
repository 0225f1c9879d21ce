{{ config(materialized='view') }}

{{ facts_of_all_days('user_score_daily', ref('int_user_scores_received')) }}

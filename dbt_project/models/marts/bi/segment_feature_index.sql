{{ config(materialized='view') }}

{{ facts_of_all_days('segment_feature_index', ref('int_segment_features_indexed')) }}

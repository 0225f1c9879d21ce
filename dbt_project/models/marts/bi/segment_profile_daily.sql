{{ config(materialized='view') }}

{{ facts_of_all_days('segment_profile_daily', ref('int_segment_profiles_summed')) }}

{{ config(
    materialized='incremental',
    pre_hook="{{ forget_all_but_carried() }}",
    post_hook="{{ measure_other_users() }}"
) }}
-- depends_on: {{ ref('int_users_recounted') }}, {{ ref('int_user_days') }}, {{ ref('int_events_stitched') }}
-- depends_on: {{ ref('int_products_known') }}, {{ ref('int_user_sessions_counted') }}, {{ ref('int_events_merged') }}

-- Counts, sums and dates of every user, as of each as_of_date.
{%- set as_of_date, part, parts = statements(var('events_measured_at_once'))[0] %}
{{ measure_users(as_of_date, part, parts) }}
{%- if var('carried') %}
union all
{{ carry_unchanged(ref('int_users_recounted')) }}
{%- endif %}

{{ config(
    materialized='incremental',
    pre_hook="{{ forget_unread_lists() }}",
    post_hook="{{ line_up_others() }}"
) }}
-- depends_on: {{ ref('int_users_changed') }}, {{ ref('int_events_merged') }}

-- The latest events of users, oldest first, in lists of one length: of all users on dates that stand alone, and of
-- those that have changed on dates that are made from an earlier one. Who reads which is told by int_user_sequences.
{%- set as_of_date, part, parts = statements(var('events_lined_up_at_once'))[0] %}
{{ line_up(as_of_date, part, parts) }}

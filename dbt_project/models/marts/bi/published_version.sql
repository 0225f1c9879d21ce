{{ config(materialized='table') }}
-- The versions before this one: publishing adds its own row to the file that it publishes, and says which is pinned.
-- It follows the predictions only so that it is built in their leg.
-- depends_on: {{ source('ml', 'user_scores') }}

with
recall_publishes as (
    select
        version,
        as_of_date,
        published_at,
        run_id,
        false as is_pinned,
        degraded_because,
        user_count,
        row_counts
    from {{ source('ops', 'published_version') }}
    where event = 'published'
)

select * from recall_publishes

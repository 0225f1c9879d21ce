{{ config(materialized='incremental', pre_hook="{{ forget_all_but_carried() }}") }}
-- depends_on: {{ ref('int_users_changed') }}

-- Which lists tell of a user as of each as_of_date: those of this build, or those of the date that it is made from where
-- nothing in sequence became known since. Users of whom only what is in no sequence is known have none.
with
read_new_lists as (
    select
        told_on as as_of_date,
        user_key,
        sequence_key
    from {{ ref('int_users_lined_up') }}
    where told_by = '{{ invocation_id }}'
)

{%- if var('carried') %},

keep_earlier_lists as (
    select
        carried.as_of_date,
        kept.user_key,
        kept.sequence_key
    from {{ this }} as kept
    inner join ({{ carried_dates() }}) as carried on kept.as_of_date = carried.carried_from
    left join {{ ref('int_users_changed') }} as changed
        on carried.as_of_date = changed.as_of_date and kept.user_key = changed.user_key
    left join read_new_lists
        on carried.as_of_date = read_new_lists.as_of_date and kept.user_key = read_new_lists.user_key
    where read_new_lists.user_key is null and not coalesce(changed.is_told_anew, false)
)

select * from read_new_lists
union all
select * from keep_earlier_lists
{%- else %}

select * from read_new_lists
{%- endif %}

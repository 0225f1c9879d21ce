-- Products that are named or filed otherwise on an as_of_date than on the one that it is made from.
with
see_what_was_known as (
    select
        carried.as_of_date,
        seen.is_new,
        products.product_id,
        products.title,
        products.category,
        products.delivered_on
    from {{ ref('int_products_deduplicated') }} as products
    cross join ({{ carried_dates() }}) as carried
    cross join (select true as is_new union all select false as is_new) as seen
    where products.delivered_on <= case when seen.is_new then carried.as_of_date else carried.carried_from end
),

keep_latest as (
    select *
    from see_what_was_known
    qualify row_number() over (partition by as_of_date, is_new, product_id order by delivered_on desc) = 1
),

compare_wordings as (
    select as_of_date, product_id
    from keep_latest
    group by as_of_date, product_id
    having
        count(*) < 2
        or min(coalesce(title, '')) <> max(coalesce(title, ''))
        or min(coalesce(category, '')) <> max(coalesce(category, ''))
        or count(category) = 1
)

select * from compare_wordings

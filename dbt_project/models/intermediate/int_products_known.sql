-- The catalogue as of each as_of_date. A product that left the catalogue keeps its last wording.
with
list_as_of_dates as (
    {{ as_of_dates() }}
),

see_what_was_known as (
    select
        list_as_of_dates.as_of_date,
        products.product_id,
        products.title,
        products.category,
        products.is_product,
        products.price_amount,
        products.delivered_on
    from {{ ref('int_products_deduplicated') }} as products
    inner join list_as_of_dates on products.delivered_on <= list_as_of_dates.as_of_date
),

keep_latest as (
    select *
    from see_what_was_known
    qualify row_number() over (partition by as_of_date, product_id order by delivered_on desc) = 1
)

select * from keep_latest

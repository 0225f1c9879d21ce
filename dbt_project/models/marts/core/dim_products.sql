with
list_products as (
    select distinct product_id
    from {{ ref('int_events_sessionized') }}
    where product_id is not null
    union
    select distinct product_id from {{ ref('int_products_deduplicated') }}
),

keep_latest_wording as (
    select *
    from {{ ref('int_products_deduplicated') }}
    qualify row_number() over (partition by product_id order by delivered_on desc) = 1
),

describe_products as (
    select
        list_products.product_id,
        wording.title,
        wording.category,
        wording.brand,
        wording.price_amount,
        wording.description as product_description,
        coalesce(wording.is_product, true) as is_product,
        wording.product_id is not null as is_described,
        wording.product_id is not null and wording.superseded_on is null as is_listed,
        wording.delivered_on
    from list_products
    left join keep_latest_wording as wording on list_products.product_id = wording.product_id
)

select * from describe_products

-- What leg 1 makes of the log, as one plain SQL script: no versions, no increments, no tests.
-- Variables: `landing` (the landed Parquet) and `as_of_dates`. Every row is delivered on its own day here,
-- so that what was known on a day is what had happened by then.

set TimeZone = 'UTC';

create table orders as
select * from read_parquet(getvariable('landing') || '/orders/*/*.parquet')
qualify row_number() over (partition by order_id order by updated_at desc, row_number desc) = 1;

create table products as
select * from read_parquet(getvariable('landing') || '/products/*/*.parquet');

create table fct_events as
with
tell_events as (
    select
        'events' as source_table, event_type, user_key, device_key, occurred_at, event_date,
        cast(null as varchar) as order_id, product_id, channel, query as event_text, page, campaign_id, quantity,
        price_amount, 0 as gross_amount, 0 as discount_amount, delivered_on, row_number
    from read_parquet(getvariable('landing') || '/events/*/*.parquet')
    qualify row_number() over (partition by event_id order by delivered_on, row_number desc) = 1
),
tell_lines as (
    select
        'order_lines' as source_table,
        case when order_status = 'cancelled' then 'cancelled_purchase' else 'purchase' end as event_type,
        orders.user_key, orders.device_key, lines.ordered_at as occurred_at, lines.event_date,
        lines.order_id, lines.product_id, orders.channel, null as event_text, null as page, null as campaign_id,
        lines.quantity, lines.unit_price_amount as price_amount,
        case when order_status = 'cancelled' then 0 else quantity * unit_price_amount end as gross_amount,
        case when order_status = 'cancelled' then 0 else coalesce(lines.discount_amount, 0) end as discount_amount,
        lines.delivered_on, lines.row_number
    from read_parquet(getvariable('landing') || '/order_lines/*/*.parquet') as lines
    left join orders on lines.order_id = orders.order_id
),
unite as (
    select *, coalesce(device_key, user_key) as visitor_key from tell_events
    union all
    select *, coalesce(device_key, user_key) as visitor_key from tell_lines
),
mark_visits as (
    select
        *,
        coalesce(occurred_at > lag(occurred_at) over visitor + interval 30 minutes, true) as is_session_start
    from unite
    window visitor as (partition by visitor_key order by occurred_at)
),
number_visits as (
    select
        *,
        sum(case when is_session_start then 1 else 0 end) over (
            partition by visitor_key order by occurred_at rows between unbounded preceding and current row
        ) as session_number
    from mark_visits
)
select
    source_table, event_type, user_key, device_key, visitor_key, session_number, is_session_start, occurred_at, event_date,
    cast(
        (isodow(timezone('Asia/Singapore', timezone('UTC', occurred_at))) - 1) * 24
        + extract(hour from timezone('Asia/Singapore', timezone('UTC', occurred_at))) as smallint
    ) as hour_of_week,
    order_id, product_id, channel, event_text, page, campaign_id,
    cast(quantity as decimal(18, 4)) as quantity,
    cast(price_amount as decimal(18, 4)) as price_amount,
    cast(gross_amount as decimal(18, 4)) as gross_amount,
    cast(discount_amount as decimal(18, 4)) as discount_amount,
    cast(gross_amount - discount_amount as decimal(18, 4)) as net_amount,
    delivered_on, row_number
from number_visits;

create table fct_sessions as
select
    visitor_key,
    max(device_key) as device_key,
    max(user_key) as user_key,
    count(distinct user_key) as user_count,
    min(occurred_at) as session_started_at,
    max(occurred_at) as session_ended_at,
    min(event_date) as session_date,
    date_sub('second', min(occurred_at), max(occurred_at)) as duration_seconds,
    count(*) as event_count,
    count(distinct product_id) as product_count,
    count(*) filter (where event_type in ('view', 'click')) as view_count,
    count(*) filter (where event_type = 'search') as search_count,
    count(*) filter (where event_type = 'cart') as cart_count,
    count(*) filter (where event_type = 'checkout') > 0 as has_checkout,
    count(*) filter (where event_type = 'purchase') > 0 as has_purchase,
    sum(net_amount) as net_revenue_amount
from fct_events
group by visitor_key, session_number;

create table fct_orders as
select
    orders.order_id, orders.user_key, orders.device_key, orders.ordered_at, orders.event_date as order_date,
    orders.order_status, orders.channel,
    count(*) filter (where events.event_type = 'purchase') > 0 as is_sale,
    count(events.order_id) as line_count,
    coalesce(sum(events.quantity) filter (where events.event_type = 'purchase'), 0) as item_count,
    coalesce(sum(events.gross_amount), 0) as gross_amount,
    coalesce(sum(events.discount_amount), 0) as discount_amount,
    coalesce(sum(events.net_amount), 0) as net_amount
from orders
left join fct_events as events on orders.order_id = events.order_id
group by all;

-- Who uses a device, as of each date and, as of the end of time, as is known now: nobody on a public one.
create table device_users as
with
links as (
    select dates.as_of_date, device_key, user_key, unnest([min(occurred_at), max(occurred_at)]) as linked_at
    from fct_events
    inner join (
        select unnest(getvariable('as_of_dates')) as as_of_date union all select date '9999-12-31'
    ) as dates on event_date <= dates.as_of_date
    where device_key is not null and user_key is not null
    group by dates.as_of_date, device_key, user_key, event_date
),
private_devices as (
    select as_of_date, device_key from links group by as_of_date, device_key having count(distinct user_key) <= 2
),
changes as (
    select links.*
    from links
    inner join private_devices using (as_of_date, device_key)
    qualify coalesce(user_key <> lag(user_key) over (partition by as_of_date, device_key order by linked_at), true)
)
select
    as_of_date, device_key, user_key,
    case when row_number() over device > 1 then linked_at else timestamp '0001-01-01' end as valid_from,
    coalesce(lead(linked_at) over device, timestamp '9999-12-31') as valid_to
from changes
window device as (partition by as_of_date, device_key order by linked_at);

create table dim_users as
select
    coalesce(events.user_key, devices.user_key, events.device_key) as user_key,
    bool_or(coalesce(events.user_key, devices.user_key) is not null) as is_identified,
    min(occurred_at) as first_seen_at,
    max(occurred_at) as last_seen_at,
    count(distinct events.device_key) as device_count,
    count(distinct (visitor_key, session_number)) as session_count,
    count(distinct order_id) filter (where event_type = 'purchase') as order_count,
    min(event_date) filter (where event_type = 'purchase') as first_order_date,
    max(event_date) filter (where event_type = 'purchase') as last_order_date,
    sum(net_amount) as net_revenue_amount
from fct_events as events
left join device_users as devices
    on events.user_key is null and devices.as_of_date = date '9999-12-31'
    and events.device_key = devices.device_key
    and events.occurred_at >= devices.valid_from and events.occurred_at < devices.valid_to
group by all;

-- The log as each date saw it, with the user that it then belonged to.
create table known_events as
select
    dates.as_of_date,
    coalesce(events.user_key, devices.user_key, events.device_key) as user_key,
    coalesce(events.user_key, devices.user_key) is not null as is_identified,
    events.* exclude (user_key),
    products.title as product_title,
    products.category as product_category,
    date_diff('day', event_date, dates.as_of_date) as age_days
from fct_events as events
inner join (select unnest(getvariable('as_of_dates')) as as_of_date) as dates on event_date <= dates.as_of_date
left join device_users as devices
    on events.user_key is null and dates.as_of_date = devices.as_of_date
    and events.device_key = devices.device_key
    and events.occurred_at >= devices.valid_from and events.occurred_at < devices.valid_to
left join (select product_id, title, category, delivered_on as listed_on from products) as products
    on events.product_id = products.product_id and products.listed_on <= dates.as_of_date;

create table fct_user_features as
with
measures as (
    select
        as_of_date,
        user_key,
        bool_or(is_identified) as is_identified,
        max(event_date) as last_event_date,
        min(event_date) as first_event_date,
        count(distinct order_id) filter (where event_type = 'purchase') as order_count,
        count(distinct order_id) filter (where event_type = 'purchase' and age_days < 7) as order_count_last_7_days,
        count(distinct order_id) filter (where event_type = 'purchase' and age_days < 30) as order_count_last_30_days,
        count(distinct order_id) filter (where event_type = 'purchase' and age_days < 90) as order_count_last_90_days,
        max(event_date) filter (where event_type = 'purchase') as last_order_date,
        sum(net_amount) as net,
        coalesce(sum(net_amount) filter (where age_days < 30), 0) as net_last_30_days,
        coalesce(sum(net_amount) filter (where age_days < 90), 0) as net_last_90_days,
        sum(gross_amount) as gross,
        coalesce(sum(quantity) filter (where event_type = 'purchase'), 0) as item_count,
        count(distinct product_id) filter (where event_type = 'purchase') as distinct_product_count,
        count(distinct product_category) filter (where event_type = 'purchase') as distinct_category_count,
        count(*) filter (where event_type in ('view', 'click') and age_days < 30) as view_count_last_30_days,
        count(*) filter (where event_type = 'cart' and age_days < 30) as cart_count_last_30_days,
        count(*) filter (where event_type = 'search' and age_days < 30) as search_count_last_30_days,
        count(*) as event_count,
        count(*) filter (where age_days < 7) as event_count_last_7_days,
        count(*) filter (where age_days < 30) as event_count_last_30_days,
        count(*) filter (where age_days < 90) as event_count_last_90_days,
        count(*) filter (where is_session_start and age_days < 30) as session_count_last_30_days,
        count(distinct event_date) filter (where age_days < 30) as active_days_last_30_days,
        count(distinct event_date) filter (where age_days < 90) as active_days_last_90_days,
        count(*) filter (where hour_of_week % 24 >= 22 or hour_of_week % 24 < 6) as night_event_count,
        count(*) filter (where hour_of_week >= 120) as weekend_event_count,
        count(*) filter (where event_type = 'favourite') as favourite_count
    from known_events
    group by as_of_date, user_key
),
largest_orders as (
    select as_of_date, user_key, max(amount) as max_order_amount
    from (
        select as_of_date, user_key, order_id, sum(net_amount) as amount
        from known_events where event_type = 'purchase' group by all
    )
    group by as_of_date, user_key
),
carts as (
    select
        as_of_date, user_key, count(*) as carted,
        count(*) filter (where last_purchase_at is null or last_purchase_at < first_cart_at) as abandoned
    from (
        select
            as_of_date, user_key, product_id,
            min(occurred_at) filter (where event_type = 'cart' and age_days < 90) as first_cart_at,
            max(occurred_at) filter (where event_type = 'purchase') as last_purchase_at
        from known_events
        where event_type in ('cart', 'purchase') and product_id is not null
        group by as_of_date, user_key, product_id
    )
    where first_cart_at is not null
    group by as_of_date, user_key
),
top_categories as (
    select as_of_date, user_key, product_category as top_category
    from known_events where product_category is not null
    group by as_of_date, user_key, product_category
    qualify row_number() over (partition by as_of_date, user_key order by count(*) desc, product_category) = 1
),
top_channels as (
    select as_of_date, user_key, channel as top_channel
    from known_events where channel is not null
    group by as_of_date, user_key, channel
    qualify row_number() over (partition by as_of_date, user_key order by count(*) desc, channel) = 1
)
select
    measures.user_key, measures.as_of_date,
    date_diff('day', last_event_date, measures.as_of_date) as recency_days,
    date_diff('day', first_event_date, measures.as_of_date) as tenure_days,
    order_count, order_count_last_7_days, order_count_last_30_days, order_count_last_90_days,
    cast(net as double) as net_revenue_amount,
    cast(net_last_30_days as double) as net_revenue_amount_last_30_days,
    cast(net_last_90_days as double) as net_revenue_amount_last_90_days,
    cast(gross as double) as gross_revenue_amount,
    cast(net as double) / nullif(cast(order_count as double), 0) as average_order_amount,
    cast(max_order_amount as double) as max_order_amount,
    cast(item_count as double) as item_count,
    distinct_product_count, distinct_category_count,
    date_diff('day', last_order_date, measures.as_of_date) as days_since_last_order,
    view_count_last_30_days, cart_count_last_30_days, search_count_last_30_days,
    event_count, event_count_last_7_days, event_count_last_30_days, event_count_last_90_days,
    session_count_last_30_days, active_days_last_30_days, active_days_last_90_days,
    cast(abandoned as double) / nullif(cast(carted as double), 0) as cart_abandon_share,
    cast(night_event_count as double) / event_count as night_share,
    cast(weekend_event_count as double) / event_count as weekend_share,
    favourite_count, is_identified, top_category, top_channel
from measures
left join largest_orders using (as_of_date, user_key)
left join carts using (as_of_date, user_key)
left join top_categories using (as_of_date, user_key)
left join top_channels using (as_of_date, user_key);

create table fct_user_sequences as
with
ranked as (
    select
        *,
        date_sub('second', lag(occurred_at) over (
            partition by as_of_date, user_key order by occurred_at, row_number
        ), occurred_at) as gap,
        row_number() over (
            partition by as_of_date, user_key order by occurred_at desc, row_number desc
        ) as recency_rank
    from known_events
),
lists as (
    select
        user_key, as_of_date,
        cast(count(*) as integer) as event_count,
        list(event_type order by -recency_rank) as event_types,
        list(coalesce(nullif(event_text, ''), product_title, '') order by -recency_rank) as texts,
        list(coalesce(product_id, '') order by -recency_rank) as product_ids,
        list(coalesce(product_category, '') order by -recency_rank) as categories,
        list(coalesce(channel, '') order by -recency_rank) as channels,
        list(cast(coalesce(gap, 0) as bigint) order by -recency_rank) as gap_seconds,
        list(hour_of_week order by -recency_rank) as hours_of_week,
        list(cast(net_amount as double) order by -recency_rank) as amounts,
        list(coalesce(cast(quantity as double), 0) order by -recency_rank) as quantities,
        max(occurred_at) as last_event_at
    from ranked
    where recency_rank <= 64
    group by user_key, as_of_date
)
select * from lists;

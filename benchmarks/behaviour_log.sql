-- A shop's behaviour log, drawn by hashing: the same rows for the same size, whatever the machine.
-- Visits per person are log-normal (most come a few times, some come daily), products follow a power law.

create or replace macro chance(thing, salt) as hash(thing, salt) / 18446744073709551616::double;
create or replace macro product(thing) as
    'p' || cast(floor(getvariable('products') * chance(thing, 'product') ^ 3) as integer);
create or replace macro price(product_id) as cast(5.99 + cast(substr(product_id, 2) as integer) % 200 as decimal(18, 4));

-- The last fiftieth comes on the day after the history only.
create or replace table people as
select
    range as person,
    range >= getvariable('people') as is_new,
    chance(range, 'customer') < 0.6 as is_customer,
    'customer:' || range as customer,
    -- One in a hundred uses the device of the person before.
    'device:' || case when range % 100 = 1 then range - 1 else range end as device,
    case when chance(range, 'tablet') < 0.15 then 'tablet:' || range end as tablet,
    cast(floor(0.7 * getvariable('days') * chance(range, 'joined')) as integer) as joined_day,
    cast(least(2000, 1 + floor(4 * exp(
        1.2 * sqrt(-2 * ln(1 - chance(range, 'radius'))) * cos(2 * pi() * chance(range, 'angle'))
    ))) as integer) as visits
from range(cast(getvariable('people') * 1.02 as bigint));

create or replace table history as
select
    person * 2048 + visit as visit,
    people.*,
    joined_day + cast(floor((getvariable('days') - joined_day) * chance(person * 2048 + visit, 'day')) as integer)
        as day
from people, unnest(range(visits)) as each(visit)
where not is_new;

-- Whoever comes often is likely to come on the next day too.
create or replace table next_day as
select history.* replace (visit + (1::bigint << 44) as visit, getvariable('days') as day)
from history
where chance(visit, 'again') < 0.012
union all
select (1::bigint << 45) + person as visit, people.*, getvariable('days') as day
from people
where is_new;

create or replace table visits as
with
draw as (
    select
        *,
        cast(least(80, 1 + floor(-5 * ln(1 - chance(visit, 'length')))) as integer) as event_count,
        is_customer and chance(visit, 'login') < 0.5 as is_logged_in,
        chance(visit, 'pause') < 0.03 as has_pause,
        chance(visit, 'order') < 0.08 as has_order,
        case
            when chance(visit, 'public') < 0.001 then 'kiosk:' || visit % 20
            when tablet is not null and chance(visit, 'tablet') < 0.2 then tablet
            else device
        end as used_device,
        case when chance(visit, 'channel') < 0.6 then 'web' when chance(visit, 'channel') < 0.95 then 'app' else 'store' end
            as channel,
        case when chance(visit, 'campaign') < 0.05 then 'c' || visit % 7 end as campaign_id,
        getvariable('first_day') + day as event_date,
        -- Nobody is awake past midnight: a visit and its business day are one.
        to_timestamp(
            epoch(getvariable('first_day')) + day * 86400 - 8 * 3600 + floor(75000 * chance(visit, 'time') ^ 0.7)
        ) at time zone 'UTC' as started_at
    from (select * from history union all select * from next_day)
),
limit_events as (
    select *
    from draw
    qualify sum(event_count) over (partition by day = getvariable('days') order by hash(visit), visit)
        <= case when day < getvariable('days') then getvariable('events') else getvariable('next_day_events') end
)
select
    visit,
    event_date,
    event_count,
    has_order,
    has_pause,
    channel,
    campaign_id,
    started_at,
    case when is_logged_in then sha256(customer) end as user_key,
    sha256(used_device) as device_key
from limit_events
order by event_date;

-- Within a visit something happens every 40 seconds or so, and in some a pause of half an hour and more.
create or replace macro moment(started_at, has_pause, number, visit) as
    started_at + to_microseconds(
        (number * 40 + cast(hash(visit, number) % 35 as bigint) + case when has_pause and number >= 3 then 1900 else 0 end)
        * 1000000 + (visit * 128 + number) % 1000000
    );

create or replace macro events_of(wanted_date) as table
with
draw as (
    select
        visit * 128 + number as event_number,
        chance(visit * 128 + number, 'type') as kind,
        moment(started_at, has_pause, number, visit) as occurred_at,
        product(visit * 128 + number) as any_product,
        visits.*
    from visits, unnest(range(event_count)) as each(number)
    where event_date = wanted_date
),
tell as (
    select
        'e-' || to_hex(event_number) as event_id,
        case
            when kind < 0.60 then 'view' when kind < 0.72 then 'browse' when kind < 0.82 then 'search'
            when kind < 0.92 then 'cart' when kind < 0.96 then 'favourite' else 'checkout'
        end as event_type,
        occurred_at,
        user_key,
        device_key,
        case when kind < 0.60 or kind between 0.82 and 0.96 then any_product end as product_id,
        case when event_type = 'search' then 'query ' || event_number % 1999 end as query,
        channel,
        case when event_type = 'browse' then '/category/' || event_number % 37 end as page,
        case when event_type = 'cart' then 1 + event_number % 3 end as quantity,
        case when event_type in ('view', 'cart') then price(product_id) end as price_amount,
        campaign_id,
        event_date,
        2 * event_number as row_number
    from draw
)
select * from tell
union all
-- One event in a hundred is told twice.
select * replace (row_number + 1 as row_number) from tell where row_number % 200 = 0;

create or replace macro orders_of(wanted_date) as table
select
    'o-' || to_hex(visit) as order_id,
    moment(started_at, has_pause, event_count + 1, visit) as ordered_at,
    user_key,
    device_key,
    case when chance(visit, 'cancelled') < 0.04 then 'cancelled' else 'completed' end as order_status,
    channel,
    'SGD' as currency,
    ordered_at as updated_at,
    event_date,
    visit as row_number
from visits
where event_date = wanted_date and has_order;

create or replace macro order_lines_of(wanted_date) as table
select
    'o-' || to_hex(visit) as order_id,
    number as line_number,
    moment(started_at, has_pause, event_count + 1, visit) as ordered_at,
    product(visit * 128 + 100 + number) as product_id,
    1 + (visit + number) % 3 as quantity,
    price(product_id) as unit_price_amount,
    case when chance(visit, 'discount') < 0.1 then 0.5 end as discount_amount,
    event_date,
    visit * 4 + number as row_number
from visits, unnest(range(1 + cast(floor(3 * chance(visit, 'lines')) as bigint))) as each(number)
where event_date = wanted_date and has_order;

create or replace macro products_of(wanted_date) as table
select
    'p' || range as product_id,
    'Product number ' || range as title,
    'category ' || range % 37 as category,
    price(product_id) as price_amount,
    true as is_product,
    wanted_date as event_date,
    range as row_number
from range(getvariable('products'));

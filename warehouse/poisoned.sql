-- All that was landed of the users in `sampled`, and all that says whose it is: a visit, and whose a device is, rest on
-- whatever happened on it, whoever did it; an order lends its customer and device to what belongs to it; and of a row
-- every version counts. Reads one view per landed table, makes one table `laid_<table>` of each.
create temp table order_owner as
select distinct order_id, user_key, device_key from orders;

create temp table named_order as
select order_id from order_owner where user_key in (from sampled)
union
select order_id from payments where user_key in (from sampled)
union
select order_id from refunds where user_key in (from sampled)
union
select order_id from reviews where user_key in (from sampled);

create temp table known_device as
select device_key from events where user_key in (from sampled) or device_key in (from sampled)
union
select device_key from device_links where user_key in (from sampled) or device_key in (from sampled)
union
select device_key from order_owner where order_id in (from named_order) or device_key in (from sampled);

create temp table known_order as
select order_id from named_order
union
select order_id from order_owner where device_key in (from known_device);

create temp table known_event as
select event_id from events where user_key in (from sampled) or device_key in (from known_device);

create temp table laid_events as
from events where event_id in (from known_event);

create temp table laid_device_links as
from device_links where user_key in (from sampled) or device_key in (from known_device);

create temp table laid_orders as
from orders where order_id in (from known_order);

create temp table laid_order_lines as
from order_lines where order_id in (from known_order);

create temp table laid_payments as
from payments where payment_id in (
    select payment_id from payments where order_id in (from known_order) or user_key in (from sampled)
);

create temp table laid_refunds as
from refunds where refund_id in (
    select refund_id from refunds where order_id in (from known_order) or user_key in (from sampled)
);

create temp table laid_reviews as
from reviews where review_id in (
    select review_id from reviews where order_id in (from known_order) or user_key in (from sampled)
);

create temp table laid_customers as
from customers where user_key in (from sampled);

create temp table laid_products as
from products where product_id in (
    select product_id from laid_events
    union
    select product_id from laid_order_lines
    union
    select product_id from laid_refunds
    union
    select product_id from laid_reviews
);

create temp table laid_campaign_contacts as
from campaign_contacts where contact_id in (
    select contact_id from campaign_contacts where user_key in (from sampled)
);

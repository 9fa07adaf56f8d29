-- The shop's rows: about 1.2 million over 19 tables, the same on every run. Each section is one
-- transaction and independent of the others (keys come afterwards), so they load side by side.

-- == order lines, first half ==
INSERT INTO order_lines (order_id, line_no, product_id, quantity, price)
SELECT o, l, 1 + (o * 7919 + l * 104729) % 20000, 1 + (o + l) % 4, ((o * 13 + l * 17) % 20000) / 100.0 + 1
FROM generate_series(1, 75000) o, generate_series(1, 1 + o % 4) l;

-- == order lines, second half ==
INSERT INTO order_lines (order_id, line_no, product_id, quantity, price)
SELECT o, l, 1 + (o * 7919 + l * 104729) % 20000, 1 + (o + l) % 4, ((o * 13 + l * 17) % 20000) / 100.0 + 1
FROM generate_series(75001, 150000) o, generate_series(1, 1 + o % 4) l;

-- == orders ==
INSERT INTO orders (id, request_id, customer_id, status, total, meta, placed_at)
SELECT o, md5('order' || o)::uuid, 1 + (o * 31) % 60000,
       (ARRAY['new', 'paid', 'packed', 'shipped', 'returned']::order_status[])[1 + o % 5],
       ((o * 37) % 100000) / 100.0,
       jsonb_build_object('channel', CASE o % 3 WHEN 0 THEN 'web' WHEN 1 THEN 'app' ELSE 'phone' END,
                          'gift', o % 11 = 0),
       timestamptz '2026-01-01 00:00+00' + o * interval '3 minutes'
FROM generate_series(1, 150000) o;
SELECT setval('order_number', 150000);

-- == payments ==
INSERT INTO billing.payments (id, order_id, method, amount, provider_answer, paid_at)
SELECT md5('payment' || o)::uuid, o, (ARRAY['card', 'invoice', 'transfer']::billing.method[])[1 + o % 3],
       ((o * 37) % 100000) / 100.0,
       CASE WHEN o % 4 = 0 THEN NULL ELSE jsonb_build_object('code', o % 10, 'trace', md5(o::text)) END,
       timestamptz '2026-01-01 00:01+00' + o * interval '3 minutes'
FROM generate_series(1, 150000) o;

-- == events ==
INSERT INTO events (id, at, kind, customer_id, payload)
SELECT e, timestamptz '2025-12-20 00:00+00' + e * interval '3 minutes 20 seconds',
       (ARRAY['view', 'search', 'login', 'order'])[1 + e % 4], 1 + (e * 17) % 60000,
       jsonb_build_object('n', e, 'agent', 'browser/' || e % 7)
FROM generate_series(1, 150000) e;
SELECT setval('event_number', 150000);

-- == customers ==
INSERT INTO customers (id, public_id, email, name, tier, interests, preferences, country, last_seen_at, created_at)
OVERRIDING SYSTEM VALUE
SELECT c, md5('customer' || c)::uuid, 'customer' || c || '@example' || c % 50 || '.com',
       'Customer Nº ' || c, (ARRAY['guest', 'regular', 'gold']::tier[])[1 + c % 3],
       CASE c % 4 WHEN 0 THEN '{}' WHEN 1 THEN '{books,music}' WHEN 2 THEN '{garden}'
                  ELSE '{kitchen,NULL,tools}' END::interest[],
       jsonb_build_object('newsletter', c % 2 = 0, 'sizes', jsonb_build_array(c % 5, 'L', null)),
       (ARRAY['DE', 'FR', 'NL', 'PL', 'SE'])[1 + c % 5],
       CASE WHEN c % 9 = 0 THEN NULL ELSE timestamptz '2026-06-01 12:00+00' - c * interval '61 seconds' END,
       timestamptz '2020-01-01 00:00+00' + c * interval '47 minutes'
FROM generate_series(1, 60000) c;
SELECT setval(pg_get_serial_sequence('customers', 'id'), 60000);

-- == addresses ==
INSERT INTO addresses (id, customer_id, lines, postcode, country, position)
SELECT a, 1 + a % 60000, ARRAY['Street ' || a % 900, 'House "' || a % 99 || '"'],
       CASE WHEN a % 13 = 0 THEN NULL ELSE lpad((a % 99999)::text, 5, '0') END,
       (ARRAY['DE', 'FR', 'NL', 'PL', 'SE'])[1 + a % 5], point(a % 180, a % 90)
FROM generate_series(1, 70000) a;
SELECT setval(pg_get_serial_sequence('addresses', 'id'), 70000);

-- == products ==
INSERT INTO products (id, sku, name, category_id, kind, price, tax_rate, labels, attributes, description, available)
SELECT p, 'SKU-' || lpad(p::text, 6, '0'), (ARRAY['Chair', 'Lamp', 'Spade', 'Kettle', 'Violin', 'Tent'])[1 + p % 6] || ' ' || p,
       1 + p % 100, (ARRAY['books', 'garden', 'kitchen', 'music', 'outdoor', 'tools']::interest[])[1 + p % 6],
       (p * 29 % 50000) / 100.0 + 0.99, CASE p % 2 WHEN 0 THEN 0.19 ELSE 0.07 END,
       CASE p % 3 WHEN 0 THEN '{}' WHEN 1 THEN ARRAY['new', 'sale'] ELSE ARRAY['a,b', 'c"d', NULL] END,
       jsonb_build_object('weight', p % 500, 'colour', (ARRAY['red', 'blue', 'green'])[1 + p % 3]),
       CASE WHEN p % 200 = 0
            THEN (SELECT string_agg(md5(p || '/' || i), ' ') FROM generate_series(1, 250) i)
            ELSE 'A good product, number ' || p || '.' END,
       daterange(date '2026-01-01' + (p % 100)::int, CASE WHEN p % 7 = 0 THEN NULL ELSE date '2027-06-30' END)
FROM generate_series(1, 20000) p;
SELECT setval('product_number', 20000);

-- == stock ==
INSERT INTO stock (product_id, on_hand, updated_at)
SELECT p, 1000000 + p % 100, timestamptz '2026-05-01 00:00+00' FROM generate_series(1, 20000) p;

-- == images and documents ==
INSERT INTO product_images (product_id, position, media_type, bytes)
SELECT 1 + i * 23 % 20000, 1, 'image/webp',
       (SELECT string_agg(sha256((i || '/' || b)::bytea), ''::bytea) FROM generate_series(1, 60 + i % 500) b)
FROM generate_series(1, 600) i;
INSERT INTO documents (id, title, body, checksum)
SELECT md5('document' || d)::uuid, 'Terms, version ' || d,
       (SELECT string_agg(md5(d || '.' || i), E'\n') FROM generate_series(1, 400) i), sha256(d::text::bytea)
FROM generate_series(1, 300) d;

-- == audit log ==
INSERT INTO audit_log (id, relation, action, row_key, change, actor, at) OVERRIDING SYSTEM VALUE
SELECT a, 'orders', 'INSERT', a::text, jsonb_build_object('id', a, 'status', 'new'), 'postgres',
       timestamptz '2026-01-01 00:00+00' + a * interval '3 minutes'
FROM generate_series(1, 50000) a;
SELECT setval(pg_get_serial_sequence('audit_log', 'id'), 50000);

-- == carts ==
INSERT INTO carts (id, items, revision, history, updated_at)
SELECT c, jsonb_build_array(jsonb_build_object('product', c % 20000 + 1, 'quantity', 1)), 0,
       CASE WHEN c % 40 = 0 THEN (SELECT string_agg(md5(c || '-' || i), '') FROM generate_series(1, 150) i) END,
       timestamptz '2026-05-01 00:00+00'
FROM generate_series(1, 10000) c;

-- == access log ==
INSERT INTO access_log (at, path, took, client)
SELECT timestamptz '2026-05-01 00:00+00' + a * interval '1 second', '/products/' || a % 20000,
       CASE WHEN a % 5 = 0 THEN NULL ELSE a % 900 * interval '1 millisecond' END,
       ('10.1.' || a % 200 || '.' || a % 250)::inet
FROM generate_series(1, 40000) a;

-- == reviews ==
INSERT INTO reviews (id, product_id, customer_id, rating, helpful, body, written_on)
SELECT r, 1 + r % 20000, 1 + r % 59999, 1 + r % 5, (r % 100) / 7.0,
       CASE WHEN r % 3 = 0 THEN NULL ELSE 'Review ' || r || E': fine.\n\tWould buy again \\o/' END,
       date '2026-01-01' + (r % 300)
FROM generate_series(1, 60000) r;
SELECT setval(pg_get_serial_sequence('reviews', 'id'), 60000);

-- == wishlists ==
INSERT INTO wishlists (customer_id, product_id, added_at)
SELECT w, 1 + w * 3 % 20000, timestamptz '2026-05-01 00:00+00' FROM generate_series(1, 60000) w;

-- == small tables ==
INSERT INTO countries VALUES ('DE', 'Germany', 0.19), ('FR', 'France', 0.20), ('NL', 'Netherlands', 0.21),
    ('PL', 'Poland', 0.23), ('SE', 'Sweden', 0.25);
INSERT INTO categories (id, parent_id, name, keywords)
SELECT c, CASE WHEN c <= 10 THEN NULL ELSE 1 + c % 10 END, 'Category ' || c, ARRAY['k' || c % 7]
FROM generate_series(1, 100) c;
INSERT INTO settings VALUES ('currency', '"EUR"', '2026-01-01 00:00'), ('banner', NULL, NULL),
    ('limits', '{"order": 20, "cart": 50}', '2026-03-01 12:30');
INSERT INTO sales (bucket, channel) SELECT b, CASE WHEN b % 10 = 0 THEN NULL ELSE 'web' END
FROM generate_series(0, 99) b;

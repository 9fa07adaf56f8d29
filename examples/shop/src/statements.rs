//! Every statement of the shop, prepared once per connection.

use tokio_postgres::{Client, Error, Statement};

macro_rules! statements {
    ($($name:ident: $sql:literal,)*) => {
        /// One connection's prepared statements.
        #[derive(Debug)]
        pub(crate) struct Statements {
            $(pub(crate) $name: Statement,)*
        }

        impl Statements {
            /// Prepares all of them.
            ///
            /// # Errors
            /// If the schema is not the shop's, or the connection breaks.
            pub(crate) async fn prepare(client: &Client) -> Result<Self, Error> {
                Ok(Statements { $($name: client.prepare($sql).await?,)* })
            }
        }
    };
}

statements! {
    health: "SELECT count(*) FROM settings",
    product: "SELECT p.sku, p.name, p.kind, p.price::text, p.price_gross::text, p.labels,
                     p.attributes, length(p.description), s.on_hand
              FROM products p JOIN stock s ON s.product_id = p.id WHERE p.id = $1",
    order: "SELECT o.status, o.total::text, o.placed_at::text, c.name, c.tier, o.meta,
                   (SELECT count(*) FROM order_lines l WHERE l.order_id = o.id)
            FROM orders o JOIN customers c ON c.id = o.customer_id WHERE o.id = $1",
    search: "SELECT id, name, price_gross::text FROM products
             WHERE lower(name) LIKE lower($1) || '%' AND kind = $2
             ORDER BY lower(name) USING ~<~ LIMIT $3",
    new_order: "INSERT INTO orders (request_id, customer_id, status, meta)
                VALUES ($1, $2, $3, $4) RETURNING id",
    new_line: "INSERT INTO order_lines (order_id, line_no, product_id, quantity, price)
               SELECT $1, $2, id, $3, price FROM products WHERE id = $4",
    take_stock: "UPDATE stock SET on_hand = on_hand - $1, updated_at = now() WHERE product_id = $2",
    pay_order: "UPDATE orders SET status = $2, total = order_total(id) WHERE id = $1
                RETURNING total::text",
    payment: "INSERT INTO billing.payments (order_id, method, amount, provider_answer)
              VALUES ($1, $2, $3::text::numeric, $4)",
    sale: "UPDATE sales SET orders = orders + 1, total = total + $2::text::numeric
           WHERE bucket = $1::bigint % 100",
    event: "INSERT INTO events (kind, customer_id, payload) VALUES ($1, $2, $3)",
    access: "INSERT INTO access_log (path, took) VALUES ($1, $2 * interval '1 millisecond')",
    forget_wishes: "DELETE FROM wishlists WHERE customer_id = $1",
    touch: "UPDATE customers SET touches = touches + 1, last_touch = $2, last_seen_at = now()
            WHERE id = $1 RETURNING touches",
    cart: "INSERT INTO carts (id, items, revision, last_request) VALUES ($1, $2, 1, $3)
           ON CONFLICT (id) DO UPDATE SET items = excluded.items, revision = carts.revision + 1,
               last_request = excluded.last_request, updated_at = now()
           RETURNING revision",
}

//! Placing an order: several statements, one transaction.

use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use serde_json::json;
use tokio_postgres::Transaction;
use uuid::Uuid;

use crate::answer::{Answer, Refusal};
use crate::api::Shop;
use crate::statements::Statements;
use crate::user_types::Label;

#[derive(Debug, Deserialize)]
pub(crate) struct NewOrder {
    request_id: Uuid,
    customer_id: i64,
    lines: Vec<Line>,
}

#[derive(Debug, Deserialize)]
struct Line {
    product_id: i64,
    quantity: i32,
}

/// What was placed.
struct Placed {
    id: i64,
    total: String,
}

/// `POST /orders`. The answer is sent after the COMMIT was acknowledged, never before.
pub(crate) async fn place(
    State(shop): State<Arc<Shop>>,
    Json(mut order): Json<NewOrder>,
) -> Answer {
    if order.lines.is_empty() || order.lines.iter().any(|line| line.quantity < 1) {
        return Err(Refusal::Invalid("an order needs lines, each of at least one piece".into()));
    }
    // Two orders take stock in the same sequence, or they could wait for each other.
    order.lines.sort_by_key(|line| line.product_id);
    let started = Instant::now();
    let mut lent = shop.pool.borrow().await?;
    let session = &mut lent.session;
    let transaction = session.client.transaction().await?;
    let placed = write(&transaction, &session.statements, &order, started).await;
    let outcome = match placed {
        Ok(placed) => transaction.commit().await.map(|()| placed).map_err(Refusal::from),
        Err(refusal) => match transaction.rollback().await {
            // Before the COMMIT was sent nothing can have been committed, whatever broke.
            Ok(()) => Err(never_committed(refusal)),
            Err(_) => return Err(never_committed(refusal)),
        },
    };
    lent.give_back();
    let placed = outcome?;
    Ok(Json(json!({ "id": placed.id, "total": placed.total })))
}

fn never_committed(refusal: Refusal) -> Refusal {
    match refusal {
        Refusal::Unknown(why) => Refusal::Database(why),
        other => other,
    }
}

async fn write(
    transaction: &Transaction<'_>,
    prepared: &Statements,
    order: &NewOrder,
    started: Instant,
) -> Result<Placed, Refusal> {
    let meta = json!({ "channel": "web", "lines": order.lines.len() });
    let new = Label("new".to_owned());
    let row = transaction
        .query_one(&prepared.new_order, &[&order.request_id, &order.customer_id, &new, &meta])
        .await?;
    let id: i64 = row.try_get(0)?;
    for (number, line) in (1_i32..).zip(&order.lines) {
        let found = transaction
            .execute(&prepared.new_line, &[&id, &number, &line.quantity, &line.product_id])
            .await?;
        if found == 0 {
            return Err(Refusal::Invalid(format!("there is no product {}", line.product_id)));
        }
        transaction.execute(&prepared.take_stock, &[&line.quantity, &line.product_id]).await?;
    }
    let paid = Label("paid".to_owned());
    let total: String =
        transaction.query_one(&prepared.pay_order, &[&id, &paid]).await?.try_get(0)?;
    let card = Label("card".to_owned());
    let answer = json!({ "approved": true, "request": order.request_id });
    transaction.execute(&prepared.payment, &[&id, &card, &total, &answer]).await?;
    transaction.execute(&prepared.sale, &[&order.customer_id, &total]).await?;
    let event = json!({ "order": id, "total": total });
    transaction.execute(&prepared.event, &[&"order", &order.customer_id, &event]).await?;
    transaction.execute(&prepared.forget_wishes, &[&order.customer_id]).await?;
    let took_ms = started.elapsed().as_secs_f64() * 1000.0;
    transaction.execute(&prepared.access, &[&"/orders", &took_ms]).await?;
    Ok(Placed { id, total })
}

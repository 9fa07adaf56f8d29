//! The HTTP routes and everything but orders.

use std::sync::Arc;

use axum::extract::{Path, RawQuery, Request, State};
use axum::http::HeaderValue;
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{get, post, put};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::answer::{Answer, Refusal};
use crate::fault::{self, Fault};
use crate::orders;
use crate::pool::Pool;
use crate::user_types::Label;

/// What every handler needs.
#[derive(Debug)]
pub(crate) struct Shop {
    pub(crate) pool: Pool,
    pub(crate) version: String,
    pub(crate) fault: Option<Fault>,
}

/// The service.
pub(crate) fn routes(shop: Arc<Shop>) -> Router {
    Router::new()
        .route("/healthz", get(health))
        .route("/products/{id}", get(product))
        .route("/orders/{id}", get(order))
        .route("/orders", post(orders::place))
        .route("/search", get(search))
        .route("/customers/{id}/touch", post(touch))
        .route("/carts/{id}", put(cart))
        .layer(middleware::from_fn_with_state(shop.clone(), fault::show))
        .layer(middleware::from_fn_with_state(shop.clone(), name_the_version))
        .with_state(shop)
}

async fn name_the_version(State(shop): State<Arc<Shop>>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    if let Ok(version) = HeaderValue::from_str(&shop.version) {
        response.headers_mut().insert("x-shop-version", version);
    }
    response
}

async fn health(State(shop): State<Arc<Shop>>) -> Answer {
    let lent = shop.pool.borrow().await?;
    let row = lent.session.client.query_one(&lent.session.statements.health, &[]).await?;
    let settings: i64 = row.try_get(0)?;
    lent.give_back();
    Ok(Json(json!({ "version": shop.version, "settings": settings })))
}

async fn product(State(shop): State<Arc<Shop>>, Path(id): Path<i64>) -> Answer {
    let lent = shop.pool.borrow().await?;
    let found = lent.session.client.query_opt(&lent.session.statements.product, &[&id]).await?;
    lent.give_back();
    let row = found.ok_or(Refusal::NotFound)?;
    let kind: Label = row.try_get(2)?;
    Ok(Json(json!({
        "id": id,
        "sku": row.try_get::<_, String>(0)?,
        "name": row.try_get::<_, String>(1)?,
        "kind": kind.0,
        "price": row.try_get::<_, String>(3)?,
        "price_gross": row.try_get::<_, String>(4)?,
        "labels": row.try_get::<_, Vec<Option<String>>>(5)?,
        "attributes": row.try_get::<_, Value>(6)?,
        "description_length": row.try_get::<_, i32>(7)?,
        "on_hand": row.try_get::<_, i32>(8)?,
    })))
}

async fn order(State(shop): State<Arc<Shop>>, Path(id): Path<i64>) -> Answer {
    let lent = shop.pool.borrow().await?;
    let found = lent.session.client.query_opt(&lent.session.statements.order, &[&id]).await?;
    lent.give_back();
    let row = found.ok_or(Refusal::NotFound)?;
    let status: Label = row.try_get(0)?;
    let tier: Label = row.try_get(4)?;
    Ok(Json(json!({
        "id": id,
        "status": status.0,
        "total": row.try_get::<_, String>(1)?,
        "placed_at": row.try_get::<_, String>(2)?,
        "customer": row.try_get::<_, String>(3)?,
        "tier": tier.0,
        "meta": row.try_get::<_, Value>(5)?,
        "lines": row.try_get::<_, i64>(6)?,
    })))
}

/// `?q=PREFIX&kind=KIND`; both are plain words, so nothing needs decoding.
async fn search(State(shop): State<Arc<Shop>>, RawQuery(query): RawQuery) -> Answer {
    let query = query.unwrap_or_default();
    let part = |name: &str| {
        query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')).unwrap_or("")
    };
    let kind = Label(part("kind").to_owned());
    let lent = shop.pool.borrow().await?;
    let found = lent
        .session
        .client
        .query(&lent.session.statements.search, &[&part("q"), &kind, &20_i64])
        .await?;
    lent.give_back();
    let mut hits = Vec::with_capacity(found.len());
    for row in &found {
        hits.push(json!({
            "id": row.try_get::<_, i64>(0)?,
            "name": row.try_get::<_, String>(1)?,
            "price_gross": row.try_get::<_, String>(2)?,
        }));
    }
    Ok(Json(json!({ "hits": hits })))
}

#[derive(Debug, Deserialize)]
struct Touch {
    request_id: Uuid,
}

/// One statement, outside any transaction block.
async fn touch(
    State(shop): State<Arc<Shop>>,
    Path(id): Path<i64>,
    Json(touch): Json<Touch>,
) -> Answer {
    let lent = shop.pool.borrow().await?;
    let found = lent
        .session
        .client
        .query_opt(&lent.session.statements.touch, &[&id, &touch.request_id])
        .await?;
    lent.give_back();
    let touches: i64 = found.ok_or(Refusal::NotFound)?.try_get(0)?;
    Ok(Json(json!({ "touches": touches })))
}

#[derive(Debug, Deserialize)]
struct Cart {
    request_id: Uuid,
    items: Value,
}

/// Insert or update; leaves the long `history` untouched.
async fn cart(
    State(shop): State<Arc<Shop>>,
    Path(id): Path<i64>,
    Json(cart): Json<Cart>,
) -> Answer {
    let lent = shop.pool.borrow().await?;
    let row = lent
        .session
        .client
        .query_one(&lent.session.statements.cart, &[&id, &cart.items, &cart.request_id])
        .await?;
    lent.give_back();
    Ok(Json(json!({ "revision": row.try_get::<_, i64>(0)? })))
}

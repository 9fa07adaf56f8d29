//! What resource types are.

use changeover_assess::map::Kind;

use crate::tree::Node;

/// Types that decide where traffic goes: an `apply` of theirs undoes a switch made elsewhere.
pub(super) const SWITCHES: [&str; 22] = [
    "aws_route53_record",
    "aws_lb_listener",
    "aws_lb_listener_rule",
    "aws_alb_listener",
    "aws_alb_listener_rule",
    "aws_lb_target_group_attachment",
    "aws_cloudfront_distribution",
    "aws_globalaccelerator_endpoint_group",
    "aws_api_gateway_base_path_mapping",
    "azurerm_dns_a_record",
    "azurerm_dns_cname_record",
    "azurerm_traffic_manager_azure_endpoint",
    "azurerm_traffic_manager_external_endpoint",
    "azurerm_cdn_frontdoor_route",
    "google_dns_record_set",
    "google_compute_url_map",
    "google_compute_backend_service",
    "cloudflare_record",
    "cloudflare_dns_record",
    "cloudflare_load_balancer",
    "kubernetes_service_v1",
    "kubernetes_ingress_v1",
];

/// The kind and engine of types that are components.
pub(super) fn kind_of(resource_type: &str) -> Option<(Kind, Option<&'static str>)> {
    Some(match resource_type {
        "aws_db_instance" | "aws_rds_cluster" => (Kind::Database, None),
        "aws_dynamodb_table" => (Kind::Database, Some("dynamodb")),
        "aws_opensearch_domain" => (Kind::Database, Some("opensearch")),
        "azurerm_postgresql_flexible_server" => (Kind::Database, Some("postgres")),
        "azurerm_mysql_flexible_server" => (Kind::Database, Some("mysql")),
        "google_sql_database_instance" => (Kind::Database, None),
        "aws_s3_bucket" | "google_storage_bucket" | "azurerm_storage_account" => {
            (Kind::Database, Some("object store"))
        }
        "aws_elasticache_cluster" | "aws_elasticache_replication_group" => (Kind::Cache, None),
        "azurerm_redis_cache" | "google_redis_instance" => (Kind::Cache, Some("redis")),
        "aws_mq_broker" => (Kind::Queue, Some("rabbitmq")),
        "aws_sqs_queue" => (Kind::Queue, Some("sqs")),
        "aws_msk_cluster" => (Kind::Queue, Some("kafka")),
        "azurerm_servicebus_queue" | "google_pubsub_topic" => (Kind::Queue, None),
        "aws_lb" | "aws_alb" | "aws_elb" => (Kind::Service, Some("load balancer")),
        "aws_ecs_service"
        | "aws_apprunner_service"
        | "google_cloud_run_v2_service"
        | "azurerm_linux_web_app"
        | "azurerm_container_app"
        | "aws_ecs_task_definition" => (Kind::Service, None),
        "aws_lambda_function" | "google_cloudfunctions2_function" => {
            (Kind::Service, Some("function"))
        }
        "aws_instance"
        | "google_compute_instance"
        | "azurerm_linux_virtual_machine"
        | "hcloud_server"
        | "digitalocean_droplet" => (Kind::Host, None),
        _ => return None,
    })
}

/// Attributes that hold an address, with or without a port.
pub(super) fn addresses(values: &Node) -> Vec<&str> {
    const KEYS: [&str; 17] = [
        "endpoint",
        "reader_endpoint",
        "address",
        "fqdn",
        "dns_name",
        "private_ip",
        "public_ip",
        "private_ip_address",
        "public_ip_address",
        "ipv4_address",
        "private_dns",
        "public_dns",
        "host",
        "hostname",
        "cluster_address",
        "primary_endpoint_address",
        "configuration_endpoint_address",
    ];
    let own = KEYS.iter().filter_map(|key| values.get(key).text());
    let nodes = values.get("cache_nodes").items().iter().filter_map(|n| n.get("address").text());
    let brokers = values.get("instances").items().iter().flat_map(|instance| {
        let urls = instance.get("endpoints").texts();
        urls.into_iter().filter_map(|(url, _)| url.split_once("://").map(|(_, rest)| rest))
    });
    own.chain(nodes).chain(brokers).filter(|text| !text.is_empty()).collect()
}

/// A load balancer that is not internal.
pub(super) fn faces_clients(resource_type: &str, values: &Node) -> bool {
    matches!(resource_type, "aws_lb" | "aws_alb" | "aws_elb") && !values.get("internal").is_true()
}

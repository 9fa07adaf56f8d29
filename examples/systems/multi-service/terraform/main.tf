terraform {
  required_providers { aws = { source = "hashicorp/aws", version = "5.100.0" } }
}

variable "green_weight" { default = 0 }

provider "aws" {
  region                      = "eu-central-1"
  access_key                  = "none"
  secret_key                  = "none"
  skip_credentials_validation = true
  skip_requesting_account_id  = true
  skip_metadata_api_check     = true
  skip_region_validation      = true
}

resource "aws_db_instance" "orders" {
  identifier                  = "shop-orders"
  engine                      = "postgres"
  engine_version              = "15.8"
  instance_class              = "db.m6g.large"
  allocated_storage           = 100
  db_name                     = "orders"
  port                        = 5432
  username                    = "shop"
  manage_master_user_password = true
}

resource "aws_sqs_queue" "mail" { name = "shop-mail" }

resource "aws_iam_role" "receipts" {
  name = "receipts"
  assume_role_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Action = "sts:AssumeRole", Principal = { Service = "lambda.amazonaws.com" } }]
  })
}

resource "aws_lambda_function" "receipts" {
  function_name = "shop-receipts"
  role          = aws_iam_role.receipts.arn
  image_uri     = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/receipts:7"
  package_type  = "Image"
  environment {
    variables = {
      PAYMENTS_URL = "https://api.payments.example.com/v2"
      QUEUE_URL    = aws_sqs_queue.mail.url
    }
  }
}

resource "aws_vpc" "shop" { cidr_block = "10.20.0.0/16" }

resource "aws_subnet" "zone" {
  for_each          = { a = "10.20.1.0/24", b = "10.20.2.0/24" }
  vpc_id            = aws_vpc.shop.id
  cidr_block        = each.value
  availability_zone = "eu-central-1${each.key}"
}

resource "aws_lb" "shop" {
  name    = "shop"
  subnets = [for subnet in aws_subnet.zone : subnet.id]
}

resource "aws_lb_target_group" "side" {
  for_each = toset(["blue", "green"])
  name     = "shop-${each.key}"
  port     = 8080
  protocol = "HTTP"
  vpc_id   = aws_vpc.shop.id
}

resource "aws_acm_certificate" "shop" {
  domain_name       = "shop.example.com"
  validation_method = "DNS"
}

resource "aws_lb_listener" "https" {
  load_balancer_arn = aws_lb.shop.arn
  port              = 443
  protocol          = "HTTPS"
  certificate_arn   = aws_acm_certificate.shop.arn
  default_action {
    type = "forward"
    forward {
      target_group {
        arn    = aws_lb_target_group.side["blue"].arn
        weight = 100 - var.green_weight
      }
      target_group {
        arn    = aws_lb_target_group.side["green"].arn
        weight = var.green_weight
      }
    }
  }
}

resource "aws_route53_zone" "shop" { name = "example.com" }

resource "aws_route53_record" "shop" {
  zone_id = aws_route53_zone.shop.zone_id
  name    = "shop.example.com"
  type    = "CNAME"
  ttl     = 300
  records = [aws_lb.shop.dns_name]
}

output "database_address" { value = aws_db_instance.orders.address }

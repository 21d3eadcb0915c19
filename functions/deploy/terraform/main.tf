# A sealed model on AWS: predictions at a function URL, and a batch that every upload starts.

terraform {
  required_version = ">= 1.5"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.80, < 7.0"
    }
  }
}

provider "aws" {
  default_tags {
    tags = {
      model        = var.name
      model-digest = var.digest
    }
  }
}

data "aws_caller_identity" "this" {}

locals {
  batch_timeout_s = 300
}

# Predictions on demand.

resource "aws_lambda_function" "predictions" {
  function_name    = "${var.name}-predictions"
  description      = "POST /predictions, GET /health (${var.name})"
  runtime          = "provided.al2023"
  handler          = "bootstrap"
  architectures    = [var.architecture]
  filename         = var.zip
  source_code_hash = filebase64sha256(var.zip)
  memory_size      = var.memory_mib
  timeout          = 30
  role             = aws_iam_role.predictions.arn
  publish          = true

  environment {
    variables = {
      AMPOULE_RESPONSE_MODE = var.response_mode
      AMPOULE_TOKEN         = var.token
    }
  }

  logging_config {
    log_format = "Text"
    log_group  = aws_cloudwatch_log_group.predictions.name
  }
}

resource "aws_lambda_alias" "predictions" {
  name             = "live"
  function_name    = aws_lambda_function.predictions.function_name
  function_version = aws_lambda_function.predictions.version
}

resource "aws_lambda_function_url" "predictions" {
  function_name      = aws_lambda_function.predictions.function_name
  qualifier          = aws_lambda_alias.predictions.name
  authorization_type = "AWS_IAM"
  invoke_mode        = var.response_mode == "stream" ? "RESPONSE_STREAM" : "BUFFERED"
}

resource "aws_cloudwatch_log_group" "predictions" {
  name              = "/ampoule/${var.name}/predictions"
  retention_in_days = 30
}

resource "aws_iam_role" "predictions" {
  name               = "${var.name}-predictions"
  assume_role_policy = data.aws_iam_policy_document.lambda.json
}

resource "aws_iam_role_policy" "predictions" {
  name   = "log"
  role   = aws_iam_role.predictions.id
  policy = data.aws_iam_policy_document.predictions.json
}

data "aws_iam_policy_document" "lambda" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["lambda.amazonaws.com"]
    }
  }
}

data "aws_iam_policy_document" "predictions" {
  statement {
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.predictions.arn}:*"]
  }
}

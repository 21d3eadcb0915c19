# The batch: an upload, its message, its prediction.

resource "aws_lambda_function" "batch" {
  function_name    = "${var.name}-batch"
  description      = "Predicts what is uploaded to ${var.input_bucket} (${var.name})"
  runtime          = "provided.al2023"
  handler          = "bootstrap"
  architectures    = [var.architecture]
  filename         = var.zip
  source_code_hash = filebase64sha256(var.zip)
  memory_size      = var.memory_mib
  timeout          = local.batch_timeout_s
  role             = aws_iam_role.batch.arn
  publish          = true

  environment {
    variables = {
      INPUT_BUCKET_NAME  = var.input_bucket
      INPUT_PREFIX       = var.input_prefix
      INPUT_ACTION       = var.input_action
      OUTPUT_BUCKET_NAME = var.output_bucket
      OUTPUT_PREFIX      = var.output_prefix
      DEAD_LETTER_PREFIX = var.dead_letter_prefix
    }
  }

  logging_config {
    log_format = "Text"
    log_group  = aws_cloudwatch_log_group.batch.name
  }
}

resource "aws_lambda_alias" "batch" {
  name             = "live"
  function_name    = aws_lambda_function.batch.function_name
  function_version = aws_lambda_function.batch.version
}

resource "aws_lambda_event_source_mapping" "uploads" {
  event_source_arn        = aws_sqs_queue.uploads.arn
  function_name           = aws_lambda_alias.batch.arn
  batch_size              = var.uploads_per_call
  function_response_types = ["ReportBatchItemFailures"]

  scaling_config {
    maximum_concurrency = var.maximum_concurrency
  }
}

resource "aws_lambda_function_event_invoke_config" "batch" {
  function_name                = aws_lambda_function.batch.function_name
  qualifier                    = aws_lambda_alias.batch.name
  maximum_retry_attempts       = 0
  maximum_event_age_in_seconds = 300

  destination_config {
    on_failure {
      destination = aws_sqs_queue.dead_letters.arn
    }
  }
}

resource "aws_cloudwatch_event_rule" "sweep" {
  name                = "${var.name}-sweep"
  description         = "Finds uploads whose event was lost."
  schedule_expression = var.sweep_schedule
}

resource "aws_cloudwatch_event_target" "sweep" {
  rule = aws_cloudwatch_event_rule.sweep.name
  arn  = aws_lambda_alias.batch.arn
}

resource "aws_lambda_permission" "sweep" {
  function_name = aws_lambda_function.batch.function_name
  qualifier     = aws_lambda_alias.batch.name
  action        = "lambda:InvokeFunction"
  principal     = "events.amazonaws.com"
  source_arn    = aws_cloudwatch_event_rule.sweep.arn
}

resource "aws_cloudwatch_log_group" "batch" {
  name              = "/ampoule/${var.name}/batch"
  retention_in_days = 30
}

resource "aws_iam_role" "batch" {
  name               = "${var.name}-batch"
  assume_role_policy = data.aws_iam_policy_document.lambda.json
}

resource "aws_iam_role_policy" "batch" {
  name   = "batch"
  role   = aws_iam_role.batch.id
  policy = data.aws_iam_policy_document.batch.json
}

data "aws_iam_policy_document" "batch" {
  statement {
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.batch.arn}:*"]
  }

  statement {
    actions   = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"]
    resources = [aws_sqs_queue.uploads.arn]
  }

  statement {
    actions   = ["sqs:SendMessage"]
    resources = [aws_sqs_queue.dead_letters.arn]
  }

  # Without it a store says 403 where there is no object.
  statement {
    actions   = ["s3:ListBucket"]
    resources = [aws_s3_bucket.input.arn, aws_s3_bucket.output.arn]
  }

  statement {
    actions   = ["s3:GetObject", "s3:GetObjectTagging"]
    resources = ["${aws_s3_bucket.input.arn}/${var.input_prefix}*"]
  }

  dynamic "statement" {
    for_each = var.input_action == "delete" ? [1] : []
    content {
      actions   = ["s3:DeleteObject"]
      resources = ["${aws_s3_bucket.input.arn}/${var.input_prefix}*"]
      condition {
        test     = "Null"
        variable = "s3:if-match"
        values   = ["false"]
      }
    }
  }

  dynamic "statement" {
    for_each = var.input_action == "tag" ? [1] : []
    content {
      actions   = ["s3:PutObjectTagging"]
      resources = ["${aws_s3_bucket.input.arn}/${var.input_prefix}*"]
    }
  }

  statement {
    actions = ["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"]
    resources = [
      "${aws_s3_bucket.output.arn}/${var.output_prefix}*",
      "${aws_s3_bucket.output.arn}/${var.dead_letter_prefix}*",
      "${aws_s3_bucket.output.arn}/_jobs/*",
    ]
  }
}

resource "aws_sqs_queue" "uploads" {
  name                    = "${var.name}-uploads"
  sqs_managed_sse_enabled = true
  # So that no message is given out twice at one time.
  visibility_timeout_seconds = 6 * local.batch_timeout_s
  message_retention_seconds  = 345600
  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.dead_letters.arn
    maxReceiveCount     = 5
  })
}

resource "aws_sqs_queue" "dead_letters" {
  name                      = "${var.name}-dead-letters"
  sqs_managed_sse_enabled   = true
  message_retention_seconds = 1209600
}

locals {
  queues = {
    uploads      = aws_sqs_queue.uploads
    dead_letters = aws_sqs_queue.dead_letters
  }
}

resource "aws_sqs_queue_policy" "uploads" {
  queue_url = aws_sqs_queue.uploads.id
  policy    = data.aws_iam_policy_document.uploads.json
}

resource "aws_sqs_queue_policy" "dead_letters" {
  queue_url = aws_sqs_queue.dead_letters.id
  policy    = data.aws_iam_policy_document.only_over_tls["dead_letters"].json
}

data "aws_iam_policy_document" "uploads" {
  source_policy_documents = [data.aws_iam_policy_document.only_over_tls["uploads"].json]

  statement {
    sid       = "TheBucketTellsOfUploads"
    actions   = ["sqs:SendMessage"]
    resources = [aws_sqs_queue.uploads.arn]
    principals {
      type        = "Service"
      identifiers = ["s3.amazonaws.com"]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [data.aws_caller_identity.this.account_id]
    }
    condition {
      test     = "ArnEquals"
      variable = "aws:SourceArn"
      values   = [aws_s3_bucket.input.arn]
    }
  }
}

data "aws_iam_policy_document" "only_over_tls" {
  for_each = local.queues

  statement {
    sid       = "OnlyOverTls"
    effect    = "Deny"
    actions   = ["sqs:*"]
    resources = [each.value.arn]
    principals {
      type        = "*"
      identifiers = ["*"]
    }
    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }
}

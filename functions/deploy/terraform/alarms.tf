# Alarms, and what is printed at the end.

locals {
  lambda_alarms = merge([
    for name, facts in {
      predictions = { function = aws_lambda_function.predictions, late_ms = 24000 }
      batch       = { function = aws_lambda_function.batch, late_ms = 295000 }
      } : {
      "${name}-errors"    = { function = facts.function, metric = "Errors", statistic = "Sum", threshold = 1 }
      "${name}-throttles" = { function = facts.function, metric = "Throttles", statistic = "Sum", threshold = 1 }
      "${name}-duration"  = { function = facts.function, metric = "Duration", statistic = "Maximum", threshold = facts.late_ms }
    }
  ]...)
  alarm_actions = var.alarm_topic == "" ? [] : [var.alarm_topic]
}

resource "aws_cloudwatch_metric_alarm" "lambda" {
  for_each            = local.lambda_alarms
  alarm_name          = "${var.name}-${each.key}"
  namespace           = "AWS/Lambda"
  metric_name         = each.value.metric
  dimensions          = { FunctionName = each.value.function.function_name }
  statistic           = each.value.statistic
  period              = 300
  evaluation_periods  = 1
  threshold           = each.value.threshold
  comparison_operator = "GreaterThanOrEqualToThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarm_actions
}

resource "aws_cloudwatch_metric_alarm" "dead_letters" {
  alarm_name          = "${var.name}-dead-letters"
  alarm_description   = "A message was given up; it lies in the dead-letter queue."
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateNumberOfMessagesVisible"
  dimensions          = { QueueName = aws_sqs_queue.dead_letters.name }
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = 1
  threshold           = 1
  comparison_operator = "GreaterThanOrEqualToThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarm_actions
}

output "url" {
  description = "Where predictions are asked for; requests are signed."
  value       = aws_lambda_function_url.predictions.function_url
}

output "dead_letters" {
  description = "Messages that were given up."
  value       = aws_sqs_queue.dead_letters.url
}

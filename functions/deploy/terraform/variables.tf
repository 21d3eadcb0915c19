variable "name" {
  description = "The model's name, as sealed; what is made is called after it."
  type        = string
  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]{0,39}$", var.name))
    error_message = "Expected up to 40 of a-z, 0-9 and \"-\"."
  }
}

variable "digest" {
  description = "Sha256 of the sealed file; it tags what is made."
  type        = string
}

variable "zip" {
  description = "What `ampoule package lambda` wrote."
  type        = string
  default     = "../lambda.zip"
}

variable "architecture" {
  description = "Processors that the zip was made for."
  type        = string
  default     = "x86_64"
  validation {
    condition     = contains(["x86_64", "arm64"], var.architecture)
    error_message = "Expected x86_64 or arm64."
  }
}

variable "memory_mib" {
  description = "Memory of each function; processors come with it, one whole one at 1769."
  type        = number
  default     = 512
}

variable "input_bucket" {
  description = "Bucket to make for what is to be predicted."
  type        = string
}

variable "output_bucket" {
  description = "Bucket to make for predictions; another than the input's."
  type        = string
}

variable "input_prefix" {
  description = "Only keys that begin with this are predicted."
  type        = string
  default     = ""
}

variable "output_prefix" {
  description = "What the keys of predictions begin with."
  type        = string
  default     = ""
}

variable "dead_letter_prefix" {
  description = "What the keys of inputs that can't be predicted begin with in the output bucket."
  type        = string
  default     = "_dead/"
}

variable "input_action" {
  description = "What happens to an input once its prediction is safe."
  type        = string
  default     = "keep"
  validation {
    condition     = contains(["keep", "delete", "tag"], var.input_action)
    error_message = "Expected keep, delete or tag."
  }
}

variable "maximum_concurrency" {
  description = "Batch functions that run at one time."
  type        = number
  default     = 10
}

variable "sweep_schedule" {
  description = "How often the input bucket is searched for uploads whose event was lost."
  type        = string
  default     = "rate(15 minutes)"
}

variable "alarm_topic" {
  description = "ARN of a topic that is told of alarms; may be empty."
  type        = string
  default     = ""
}

variable "response_mode" {
  description = "How answers leave: buffered (6 MB at most) or stream (200 MB)."
  type        = string
  default     = "buffered"
  validation {
    condition     = contains(["buffered", "stream"], var.response_mode)
    error_message = "Expected buffered or stream."
  }
}

variable "uploads_per_call" {
  description = "Uploads that one call of the batch function works on."
  type        = number
  default     = 10
}

variable "token" {
  description = "The bearer token that a request for a prediction must carry; empty wants none."
  type        = string
  default     = ""
  sensitive   = true
}

-- wrk -s post.lua URL -- BODY [COUNT]: posts BODY, COUNT times where it is given (the requests in flight come on top),
-- and prints one line of JSON when it is done.

function init(arguments)
  wrk.method = "POST"
  wrk.headers["Content-Type"] = "application/json"
  wrk.body = arguments[1]
  local left = tonumber(arguments[2])
  if left then
    -- Only then, as it costs wrk time.
    function response()
      left = left - 1
      if left == 0 then wrk.thread:stop() end
    end
  end
end

function done(summary, latency)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  local line = '{"requests": %d, "seconds": %.6f, "failed": %d, "p50_ms": %.3f, "p99_ms": %.3f, "max_ms": %.3f}\n'
  io.write(line:format(summary.requests, summary.duration / 1e6, failed,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, latency.max / 1e3))
end

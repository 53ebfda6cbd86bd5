-- The calls that wrk makes. BENCH_BODY names the file of the request's body, BENCH_HEADERS one of `Name: value` lines.
-- At the end one line of JSON is printed; errors are counted by kind, and whatever is not a 2xx is one.

local function read(name)
  local file = assert(io.open(os.getenv(name), "rb"))
  local text = file:read("*a")
  file:close()
  return text
end

function setup(thread)
  -- One thread only: what it counted is read from it at the end.
  counted = thread
end

function init(args)
  wrk.method = "POST"
  wrk.body = read("BENCH_BODY")
  for name, value in read("BENCH_HEADERS"):gmatch("([^\n:]+): ([^\n]+)") do
    wrk.headers[name] = value
  end
  prepared = wrk.format()
  ok, not_ok = 0, 0
end

function request()
  return prepared
end

function response(status)
  if status >= 200 and status < 300 then ok = ok + 1 else not_ok = not_ok + 1 end
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '\nfigures {"seconds":%.6f,"ok":%d,"not_ok":%d,"bytes":%d,"broken":%d,"timed_out":%d,'
      .. '"p50_ms":%.3f,"p95_ms":%.3f,"p99_ms":%.3f}\n',
    summary.duration / 1e6, counted:get("ok"), counted:get("not_ok"), summary.bytes,
    errors.connect + errors.read + errors.write, errors.timeout,
    latency:percentile(50) / 1e3, latency:percentile(95) / 1e3, latency:percentile(99) / 1e3))
end

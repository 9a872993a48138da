#include <fmt/format.h>

#include <charconv>
#include <set>

#include "engine/exits.h"
#include "http/handlers.h"

namespace weir::http {
namespace {

// One message of text/event-stream. `data` is JSON on one line.
std::string message(const Event& event) { return fmt::format("id: {}\nevent: {}\ndata: {}\n\n", event.id, event.type, json::serialize(event.data)); }

struct Listening {
  Events& events;
  std::uint64_t handle;
  ~Listening() { events.unsubscribe(handle); }
};

}  // namespace

// A client that comes back with Last-Event-ID misses nothing of the last 1,000 events; when it would, it is told to load everything again ("reload").
Result<Response> events(Call& call) {
  std::uint64_t last = 0;
  std::string_view text = call.request.header("last-event-id");
  if (text.empty()) text = call.query.get("last_event_id").value_or("");
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), last);
  if (!text.empty() && (error != std::errc() || end != text.data() + text.size())) return fail(Code::invalid, "a whole number is expected", "Last-Event-ID");
  Engine& engine = call.engine;
  Accounts& accounts = call.accounts;
  EventStream stream;
  stream.open = [&engine, user = call.who.user, last](const EventStream::Sink& sink) -> std::shared_ptr<void> {
    bool missed = false;
    const std::uint64_t now = engine.events().last_id();
    const auto listener = [&engine, sink](const Event& event) { sink(seal_event(engine, message(event))); };
    const std::uint64_t handle = engine.events().subscribe(user, last, listener, &missed);
    if (missed || last == 0) sink(seal_event(engine, fmt::format("id: {}\nevent: {}\ndata: {{}}\n\n", now, missed ? "reload" : "hello")));
    return std::make_shared<Listening>(engine.events(), handle);
  };
  stream.alive = [&accounts, credential = call.credential] { return accounts.holds(credential); };
  return Response{200, {{"Content-Type", "text/event-stream; charset=utf-8"}, {"X-Accel-Buffering", "no"}}, std::move(stream)};
}

Result<Response> metrics(Call& call) {
  std::string out;
  std::set<std::string> introduced;
  for (const Metric& metric : call.engine.metrics()) {
    if (introduced.insert(metric.name).second) out += fmt::format("# HELP {} {}\n# TYPE {} {}\n", metric.name, metric.help, metric.name, metric.type);
    out += metric.labels.empty() ? fmt::format("{} {}\n", metric.name, metric.value) : fmt::format("{}{{{}}} {}\n", metric.name, metric.labels, metric.value);
  }
  out += "# HELP weir_http_responses_total Answers by class of status.\n# TYPE weir_http_responses_total counter\n";
  const auto answered = call.router.answered();
  for (std::size_t i = 1; i < answered.size(); ++i) out += fmt::format("weir_http_responses_total{{status=\"{}xx\"}} {}\n", i + 1, answered[i]);
  return Response{200, {{"Content-Type", "text/plain; version=0.0.4; charset=utf-8"}}, seal_error(call.engine, std::move(out))};
}

Result<Response> healthz(Call& call) {
  const auto user = call.accounts.first_user();  // one read through the whole store
  if (!user && user.error().code != Code::not_found) return fail(Code::unavailable, "the database cannot be read", {}, "weir doctor");
  if (!call.engine.database_in_place()) return fail(Code::unavailable, "the database cannot be written", {}, "weir doctor");
  return reply(call, json::object{{"status", "ok"}});
}

Result<Response> flow(Call& call) { return reply(call, call.engine.flow(call.who.user)); }

Result<Response> doctor(Call& call) {
  json::array checks;
  for (const Diagnosis& one : call.engine.doctor(TRY(yes(call.query, "thorough", false)))) checks.push_back(to_json(one));
  return reply(call, json::object{{"checks", std::move(checks)}});
}

Result<Response> backup(Call& call) {
  const json::object body = TRY(object_from_body(call.request.body));
  const std::string file(find_string(body, "file").value_or(""));
  if (file.empty() || file[0] != '/') return fail(Code::invalid, "the absolute path of a file to make is expected", "file");
  TRY(call.engine.backup(file));
  return reply(call, json::object{{"file", file}}, 201);
}

Result<Response> openapi(Call& call) {
  static const std::string document = json::serialize(openapi_document());
  return Response{200, {{"Content-Type", "application/json"}, {"Cache-Control", "no-cache"}}, seal_asset(call.engine, document)};
}

}  // namespace weir::http

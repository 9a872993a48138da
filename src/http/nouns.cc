#include <charconv>

#include "base/text.h"
#include "base/url.h"
#include "engine/exits.h"
#include "http/handlers.h"

namespace weir::http {
namespace {

void put(json::object& out, std::string_view key, const std::string& value) {
  if (!value.empty()) out[key] = value;
}

void put(json::object& out, std::string_view key, const std::optional<Time>& value) {
  if (value) out[key] = to_rfc3339(*value);
}

}  // namespace

json::object to_json(const Subscription& subscription) {
  const Source& source = subscription.source;
  const std::string url = without_credentials(source.url);
  json::object out{{"id", source.id.value}, {"kind", to_string(source.kind)}};
  put(out, "title", !subscription.title.empty() ? subscription.title : !source.title.empty() ? source.title : url);
  if (!subscription.title.empty()) put(out, "source_title", source.title);
  put(out, "folder", subscription.folder);
  put(out, "url", url);
  put(out, "home_page_url", without_credentials(source.home_page_url));
  put(out, "description", source.description);
  put(out, "language", source.language);
  if (!source.icon_type.empty()) out["icon"] = "/api/sources/" + std::to_string(source.id.value) + "/icon";
  out["health"] = to_string(source.health);
  put(out, "error", source.error);
  if (auto problem = parse_json(source.problem); problem && problem->is_object()) out["problem"] = std::move(*problem);
  if (source.failures) out["failures"] = source.failures;
  put(out, "fetched_at", source.fetched_at);
  put(out, "changed_at", source.changed_at);
  put(out, "next_at", source.next_at);
  if (subscription.keep_days) out["keep_days"] = *subscription.keep_days;
  out["unread"] = subscription.unread;
  out["total"] = subscription.total;
  return out;
}

json::object to_json(const User& user) {
  return {{"id", user.id.value},
          {"name", user.name},
          {"operator", user.is_operator},
          {"has_password", user.has_password},
          {"created_at", to_rfc3339(user.created_at)}};
}

json::object to_json(const Token& token) {
  json::object out{{"id", token.id}, {"scope", to_string(token.scope)}};
  if (token.source) out["source"] = token.source.value;
  put(out, "name", token.name);
  out["created_at"] = to_rfc3339(token.created_at);
  put(out, "last_used_at", token.last_used_at);
  return out;
}

json::object to_json(const Score& score) {
  json::array why;
  for (const Part& part : score.parts) {
    json::object one{{"part", part.name}, {"value", part.value}};
    json::array from;
    for (const Cause& cause : part.from) {
      json::object carrier{{"item", cause.item}, {"value", cause.value}};
      put(carrier, "title", cause.title);
      from.push_back(std::move(carrier));
    }
    if (!from.empty()) one["from"] = std::move(from);
    why.push_back(std::move(one));
  }
  return {{"score", score.value}, {"why", std::move(why)}, {"signals", score.signals}, {"enough", score.enough}};
}

json::object to_json(const Engine& engine, const StoredItem& stored) {
  json::object out = weir::to_json(seal_item(engine, stored.item, stored.verdict).open());
  json::object ours{
      {"id", stored.id.value}, {"source", stored.source.value}, {"read", stored.read}, {"starred", stored.starred}, {"at", to_rfc3339(stored.at)}};
  if (stored.score) ours["score"] = *stored.score;
  if (!stored.verdict.findings.empty()) {
    json::array findings;
    for (const Finding& one : stored.verdict.findings)
      findings.push_back(
          json::object{{"class", one.kind}, {"rule", one.rule}, {"field", one.field}, {"start", one.start}, {"end", one.end}, {"view", one.view}});
    ours["findings"] = std::move(findings);
  }
  out["_weir"] = std::move(ours);  // in place of one that came from outside
  return out;
}

Response reply(const Call& call, const json::value& value, int status) {
  return {status, {{"Content-Type", "application/json"}}, seal_answer(call.engine, json::serialize(value))};
}

Response done() { return {204, {}, {}}; }

Result<std::int64_t> number(const Query& query, std::string_view name, std::int64_t otherwise, std::int64_t lowest, std::int64_t highest) {
  const auto text = query.get(name);
  if (!text || text->empty()) return otherwise;
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
  if (error != std::errc() || end != text->data() + text->size() || value < lowest || value > highest)
    return fail(Code::invalid, "a whole number from " + std::to_string(lowest) + " to " + std::to_string(highest) + " is expected", std::string(name));
  return value;
}

Result<bool> yes(const Query& query, std::string_view name, bool otherwise) {
  const auto text = query.get(name);
  if (!text) return otherwise;
  for (const std::string_view word : {"", "1", "true", "yes"})
    if (equal_ignoring_case(*text, word)) return true;
  for (const std::string_view word : {"0", "false", "no"})
    if (equal_ignoring_case(*text, word)) return false;
  return fail(Code::invalid, "true or false is expected", std::string(name));
}

}  // namespace weir::http

#include "base/text.h"
#include "base/url.h"
#include "engine/exits.h"
#include "http/handlers.h"

namespace weir::http {
namespace {

// Whatever went wrong while a feed was looked for is an answer about that address, not about this server.
Error about_the_address(Error error) {
  if (error.code == Code::invalid || error.code == Code::exists || error.code == Code::unavailable || error.code == Code::internal) return error;
  error.where = without_credentials(error.where);
  return error;
}

Result<Response> no_feed(const Call& call, const Error& error) {
  json::object body{{"code", to_string(error.code)}, {"message", error.remedy.empty() ? error.message : error.message + "; " + error.remedy}};
  if (!error.where.empty()) body["where"] = error.where;
  put_name(body, error.key, error.values);
  return Response{422, {{"Content-Type", "application/json"}}, seal_error(call.engine, json::serialize(json::object{{"error", std::move(body)}}))};
}

std::string text_of(const json::object& body, std::string_view key) { return repair_utf8(trim(find_string(body, key).value_or(""))); }

json::object report(const ImportReport& report) {
  json::array refused;
  for (const Error& error : report.refused) {
    json::object one{{"code", to_string(error.code)}, {"message", error.message}};
    if (!error.where.empty()) one["where"] = error.where;
    refused.push_back(std::move(one));
  }
  return {{"added", report.added}, {"known", report.known}, {"refused", std::move(refused)}};
}

json::object report(const PushReport& report) {
  json::object out{{"stored", report.stored}, {"duplicates", report.duplicates}};
  if (!report.warnings.empty()) out["warnings"] = json::array(report.warnings.begin(), report.warnings.end());
  return out;
}

}  // namespace

Result<Response> list_sources(Call& call) {
  json::array out;
  for (const Subscription& one : TRY(call.engine.sources(call.who.user))) out.push_back(to_json(one));
  return reply(call, json::object{{"sources", std::move(out)}});
}

Result<Response> add_source(Call& call) {
  const json::object body = TRY(object_from_body(call.request.body));
  if (find_bool(body, "push").value_or(false)) {
    const std::string title = text_of(body, "title");
    if (title.empty()) return fail(Code::invalid, "a push source needs a title", "title");
    return reply(call, to_json(TRY(call.engine.add_push_source(call.who.user, title))), 201);
  }
  const AddSource what{text_of(body, "url"), text_of(body, "title"), text_of(body, "folder"), find_bool(body, "choose").value_or(false)};
  if (what.url.empty()) return fail(Code::invalid, "the address of a feed or page is expected", "url", R"({"url":"https://…"} or {"push":true,"title":"…"})");
  auto added = call.engine.add_source(call.who.user, what);
  if (added) {
    json::object answer = added->subscription ? to_json(*added->subscription) : json::object{};
    if (!added->feeds.empty()) {
      json::array feeds;
      for (const PageFeed& feed : added->feeds) feeds.push_back(json::object{{"url", feed.url}, {"title", feed.title}});
      answer["feeds"] = std::move(feeds);
    }
    return reply(call, answer, added->subscription ? 201 : 200);
  }
  const Error error = about_the_address(std::move(added.error()));
  if (error.code == Code::exists || error.code == Code::unavailable || error.code == Code::internal) return std::unexpected(error);
  return no_feed(call, error);
}

Result<Response> get_source(Call& call) { return reply(call, to_json(TRY(call.engine.source(call.who.user, call.source)))); }

Result<Response> edit_source(Call& call) {
  const json::object body = TRY(object_from_body(call.request.body));
  if (!body.contains("title") && !body.contains("folder") && !body.contains("url") && !body.contains("keep_days"))
    return fail(Code::invalid, "title, folder, url or keep_days is expected");
  SourceEdit edit;
  if (const auto title = find_string(body, "title")) edit.title = repair_utf8(trim(*title));
  if (const auto folder = find_string(body, "folder")) edit.folder = repair_utf8(trim(*folder));
  if (const auto url = find_string(body, "url")) edit.url = repair_utf8(trim(*url));
  if (const json::value* days = find(body, "keep_days"); days && days->is_null()) edit.keep_days = -1;
  else if (const auto count = find_int(body, "keep_days")) {
    if (*count < 0 || *count > 100'000) return fail(Code::invalid, "a number of days from 0 to 100000 is expected", "keep_days");
    edit.keep_days = static_cast<std::int32_t>(*count);
  } else if (days) {
    return fail(Code::invalid, "a number of days, or null, is expected", "keep_days");
  }
  for (const std::string_view key : {"title", "folder", "url"})
    if (const json::value* value = find(body, key); value && !value->is_string()) return fail(Code::invalid, "a string is expected", std::string(key));
  return reply(call, to_json(TRY(call.engine.edit_source(call.who.user, call.source, edit))));
}

Result<Response> remove_source(Call& call) {
  TRY(call.engine.remove_source(call.who.user, call.source));
  return done();
}

Result<Response> push_items(Call& call) {
  std::vector<Item> items = TRY(items_from_body(call.request.body));
  return reply(call, report(TRY(call.engine.push(call.who.user, call.source, items))));
}

// Bytes from outside, on our own origin: only the types the engine let in, nothing may run in them, and nothing guesses another type.
Result<Response> source_icon(Call& call) {
  Engine::Icon icon = TRY(call.engine.icon(call.who.user, call.source));
  if (icon.bytes.empty() || !icon.type.starts_with("image/") || icon.type.find("svg") != std::string::npos)
    return fail(Code::not_found, "this source has no icon");
  return Response{200, {{"Content-Type", icon.type}, {"Cache-Control", "private, max-age=86400"}}, seal_asset(call.engine, std::move(icon.bytes))};
}

Result<Response> refresh_source(Call& call) {
  TRY(call.engine.source(call.who.user, call.source));
  TRY(call.engine.refresh(call.who.user, call.source));
  return reply(call, json::object{{"asked", true}}, 202);
}

Result<Response> refresh_all(Call& call) {
  TRY(call.engine.refresh(call.who.user, {}));
  return reply(call, json::object{{"asked", true}}, 202);
}

Result<Response> import_file(Call& call) {
  if (call.query.get("kind").value_or("opml") == "feed")
    return reply(call, report(TRY(call.engine.import_feed(call.who.user, call.request.body, call.query.get("name").value_or("")))));
  return reply(call, report(TRY(call.engine.import_opml(call.who.user, call.request.body))));
}

Result<Response> export_opml(Call& call) {
  std::string opml = TRY(call.engine.export_opml(call.who.user));
  return Response{200,
                  {{"Content-Type", "text/x-opml; charset=utf-8"}, {"Content-Disposition", "attachment; filename=\"weir.opml\""}},
                  seal_export(call.engine, std::move(opml))};
}

}  // namespace weir::http

#include <cmath>

#include "base/hash.h"
#include "base/text.h"
#include "http/handlers.h"

namespace weir::http {
namespace {

Result<ItemQuery> item_query(const Query& query) {
  ItemQuery out;
  if (const auto order = query.get("order"); order && !order->empty()) {
    const auto named = order_named(*order);
    if (!named) return fail(Code::invalid, "newest, oldest, ranked or relevance is expected", "order");
    out.order = *named;
  }
  if (const auto state = query.get("state"); state && !state->empty()) {
    const auto named = read_state_named(*state);
    if (!named) return fail(Code::invalid, "unread, read, starred or all is expected", "state");
    out.state = *named;
  }
  if (query.has("story") && !query.get("story")->empty()) return fail(Code::invalid, "items are not grouped into stories yet", "story");
  out.source = SourceId{TRY(number(query, "source", 0, 1, std::int64_t{1} << 53))};
  if (const auto folder = query.get("folder"); folder && !folder->empty()) out.folder = std::string(*folder);
  out.text = std::string(trim(query.get("q").value_or("")));
  out.limit = static_cast<std::size_t>(TRY(number(query, "limit", 50, 1, 1000)));
  out.cursor = std::string(query.get("cursor").value_or(""));
  out.bodies = TRY(yes(query, "bodies", out.bodies));
  if (out.order == Order::relevance && out.text.empty()) return fail(Code::invalid, "relevance to what? give q", "order");
  return out;
}

Result<Signal> signal_of(const json::value& value, Time now, const std::string& place) {
  const json::object* object = value.if_object();
  if (!object) return fail(Code::malformed, "a signal is an object: {\"item\", \"kind\", …}", place);
  Signal signal;
  if (const auto id = find_int(*object, "item")) signal.item = ItemId{*id};
  else if (const json::object* item = find_object(*object, "item"))
    if (const json::object* ours = find_object(*item, "_weir")) signal.item = ItemId{find_int(*ours, "id").value_or(0)};
  if (signal.item.value <= 0) return fail(Code::invalid, "the id of an item (its _weir.id) is expected", place + "item");
  const auto kind = signal_kind(find_string(*object, "kind").value_or(""));
  if (!kind) return fail(Code::invalid, "like, dislike, open, finish, dismiss, star or hide is expected", place + "kind");
  signal.kind = *kind;
  signal.at = now;
  if (const auto at = find_string(*object, "at")) {
    const auto time = parse_rfc3339(*at);
    if (!time) return fail(Code::invalid, "an RFC 3339 time is expected", place + "at");
    signal.at = std::min(*time, now);  // a clock that is ahead must not outweigh what comes later
  }
  signal.dwell_seconds = find_number(*object, "dwell_s");
  if (const json::value* given = find(*object, "dwell_s"); given && !given->is_null() && !signal.dwell_seconds)
    return fail(Code::invalid, "seconds are expected", place + "dwell_s");
  if (signal.dwell_seconds && !(*signal.dwell_seconds >= 0 && *signal.dwell_seconds < 1e7))
    return fail(Code::invalid, "seconds are expected", place + "dwell_s");
  signal.id = std::string(find_string(*object, "id").value_or(""));
  if (signal.id.size() > 200) return fail(Code::invalid, "an id has at most 200 bytes", place + "id");
  if (signal.id.empty()) signal.id = to_hex(random_bytes(16));
  return signal;
}

}  // namespace

Result<Response> list_items(Call& call) {
  const ItemQuery query = TRY(item_query(call.query));
  const Page page = TRY(call.engine.list(call.who.user, query));
  json::array items;
  for (const StoredItem& one : page.items) items.push_back(to_json(call.engine, one));
  json::object out{{"items", std::move(items)}};
  if (!page.cursor.empty()) out["cursor"] = page.cursor;
  if (!page.note.text.empty()) {
    out["note"] = page.note.text;
    put_name(out["note_says"].emplace_object(), page.note.key, page.note.values);
  }
  return reply(call, out);
}

Result<Response> get_item(Call& call) { return reply(call, to_json(call.engine, TRY(call.engine.item(call.who.user, call.item)))); }
Result<Response> why_item(Call& call) { return reply(call, to_json(TRY(call.engine.why(call.who.user, call.item)))); }

Result<Response> patch_item(Call& call) {
  const json::object body = TRY(object_from_body(call.request.body));
  const ItemPatch patch{find_bool(body, "read"), find_bool(body, "starred")};
  if (!patch.read && !patch.starred) return fail(Code::invalid, "read or starred is expected, true or false");
  TRY(call.engine.mark(call.who.user, call.item, patch));
  const StoredItem now = TRY(call.engine.item(call.who.user, call.item));
  return reply(call, json::object{{"_weir", {{"id", now.id.value}, {"read", now.read}, {"starred", now.starred}}}});
}

Result<Response> mark_read(Call& call) {
  const json::object body = TRY(object_from_body(call.request.body));
  MarkRead what;
  if (const auto source = find_int(body, "source")) what.source = SourceId{*source};
  if (const auto folder = find_string(body, "folder")) what.folder = std::string(*folder);
  what.all = find_bool(body, "all").value_or(false);
  if (int{static_cast<bool>(what.source)} + int{what.folder.has_value()} + int{what.all} != 1)
    return fail(Code::invalid, "exactly one of source, folder and all is expected");
  if (const auto before = find_string(body, "before")) {
    what.before = parse_rfc3339(*before);
    if (!what.before) return fail(Code::invalid, "an RFC 3339 time is expected", "before");
  }
  return reply(call, json::object{{"marked", TRY(call.engine.mark_read(call.who.user, what))}});
}

Result<Response> post_signals(Call& call) {
  const json::value body = TRY(parse_json(call.request.body));
  const Time now = call.engine.clock().now();
  std::vector<Signal> signals;
  if (const json::array* many = body.if_array()) {
    if (many->size() > 1000) return fail(Code::too_large, "more than 1,000 signals in one request");
    for (std::size_t i = 0; i < many->size(); ++i) signals.push_back(TRY(signal_of((*many)[i], now, "signal " + std::to_string(i + 1) + ", ")));
  } else {
    signals.push_back(TRY(signal_of(body, now, "")));
  }
  return reply(call, json::object{{"stored", TRY(call.engine.signal(call.who.user, std::move(signals)))}});
}

}  // namespace weir::http

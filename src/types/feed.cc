#include "types/feed.h"

namespace weir {
namespace {

void put(json::object& out, std::string_view key, const std::string& value) {
  if (!value.empty()) out[key] = value;
}

std::string get(const json::object& object, std::string_view key) { return std::string(find_string(object, key).value_or("")); }

}  // namespace

json::object to_json(const Feed& feed, std::string_view file) {
  json::object out{{"version", "https://jsonfeed.org/version/1.1"}};
  put(out, "title", feed.title);
  put(out, "home_page_url", feed.home_page_url);
  put(out, "feed_url", feed.feed_url);
  put(out, "description", feed.description);
  put(out, "icon", feed.icon);
  put(out, "language", feed.language);
  if (!feed.authors.empty()) {
    Item carrier;
    carrier.authors = feed.authors;
    out["authors"] = to_json(carrier).at("authors");
  }
  json::array items;
  items.reserve(feed.items.size());
  for (const Item& item : feed.items) items.push_back(to_json(item));
  out["items"] = std::move(items);
  json::object weir;
  if (!file.empty()) weir["file"] = file;
  weir["format"] = feed.format;
  weir["encoding"] = feed.encoding;
  weir["warnings"] = json::array(feed.warnings.begin(), feed.warnings.end());
  if (feed.is_cut) weir["cut"] = true;
  if (feed.ttl) weir["ttl"] = feed.ttl->count();
  if (feed.skip_hours) weir["skip_hours"] = feed.skip_hours;
  if (feed.skip_days) weir["skip_days"] = feed.skip_days;
  out["_weir"] = std::move(weir);
  return out;
}

Result<Feed> feed_from_json(const json::value& value) {
  const json::object* object = value.if_object();
  if (!object) return fail(Code::malformed, "a feed must be a JSON object");
  Feed feed;
  feed.title = get(*object, "title");
  feed.home_page_url = get(*object, "home_page_url");
  feed.feed_url = get(*object, "feed_url");
  feed.description = get(*object, "description");
  feed.icon = get(*object, "icon");
  feed.language = get(*object, "language");
  if (const json::value* authors = find(*object, "authors")) feed.authors = TRY(item_from_json(json::object{{"authors", *authors}})).authors;
  if (const json::array* items = find_array(*object, "items")) {
    feed.items.reserve(items->size());
    for (const json::value& item : *items) feed.items.push_back(TRY(item_from_json(item)));
  }
  if (const json::object* weir = find_object(*object, "_weir")) {
    feed.format = get(*weir, "format");
    feed.encoding = get(*weir, "encoding");
    if (const json::array* warnings = find_array(*weir, "warnings"))
      for (const json::value& warning : *warnings)
        if (warning.is_string()) feed.warnings.emplace_back(warning.get_string());
    feed.is_cut = find_bool(*weir, "cut").value_or(false);
    if (const auto ttl = find_int(*weir, "ttl")) feed.ttl = std::chrono::seconds(*ttl);
    feed.skip_hours = static_cast<std::uint32_t>(find_int(*weir, "skip_hours").value_or(0));
    feed.skip_days = static_cast<std::uint8_t>(find_int(*weir, "skip_days").value_or(0));
  }
  return feed;
}

}  // namespace weir

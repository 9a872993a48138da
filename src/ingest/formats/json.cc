// JSON Feed 1.0 and 1.1 (jsonfeed.org/version/1.1). Wrong kinds are passed over one by one: a bad member costs itself, not its item.
#include "base/text.h"
#include "ingest/dates.h"
#include "ingest/formats/format.h"

namespace weir {
namespace {

std::string text(const json::object& object, std::string_view key) {
  const json::value* value = find(object, key);
  if (!value) return {};
  if (value->is_string()) return std::string(value->get_string());
  if (value->is_number()) return json::serialize(*value);  // an id, mostly
  return {};
}

std::vector<Author> read_authors(Builder& builder, const json::object& object, const std::string& base) {
  std::vector<Author> authors;
  const auto add = [&](const json::value& value) {
    if (const json::object* one = value.if_object())
      add_author(authors, {builder.line(text(*one, "name"), false), builder.url(text(*one, "url"), base), unknown_members(*one, {"name", "url"})});
    else if (value.is_string()) add_author(authors, {builder.line(value.get_string(), false), {}});
  };
  if (const json::array* many = find_array(object, "authors"))
    for (const json::value& value : *many) add(value);
  else if (const json::value* many_as_one = find(object, "authors")) add(*many_as_one);
  if (const json::value* one = find(object, "author")) add(*one);  // 1.0
  return authors;
}

void read_item(Builder& builder, const json::object& from, const std::string& base) {
  Item item;
  Dates dates;
  item.id = builder.field(text(from, "id"));
  item.url = builder.url(text(from, "url"), base);
  if (item.url.empty()) item.url = builder.url(text(from, "external_url"), base);
  item.title = builder.line(text(from, "title"), false);
  item.content_html = builder.content(find_string(from, "content_html").value_or(""), item.url.empty() ? base : item.url);
  item.content_text = builder.field(find_string(from, "content_text").value_or(""));
  item.summary = builder.line(text(from, "summary"), false);
  item.image = builder.url(text(from, "image"), base);
  if (item.image.empty()) item.image = builder.url(text(from, "banner_image"), base);
  set_date(builder, item.date_published, dates.published, 0, text(from, "date_published"));
  set_date(builder, item.date_modified, dates.modified, 0, text(from, "date_modified"));
  item.authors = read_authors(builder, from, base);
  if (const json::array* tags = find_array(from, "tags"))
    for (const json::value& tag : *tags)
      if (tag.is_string()) add_tag(item.tags, tag.get_string());
  item.language = language_tag(text(from, "language"));
  if (const json::array* attachments = find_array(from, "attachments"))
    for (const json::value& value : *attachments)
      if (const json::object* one = value.if_object())
        add_attachment(item.attachments, builder.url(text(*one, "url"), base), text(*one, "mime_type"),
                       std::to_string(find_int(*one, "size_in_bytes").value_or(0)), unknown_members(*one, {"url", "mime_type", "size_in_bytes"}));
  // What the specification has no word for travels with the item; `_weir` is ours and is not taken from outside.
  item.extra = unknown_members(from, {"id", "url", "title", "content_html", "content_text", "summary", "image", "date_published", "date_modified", "authors",
                                      "author", "tags", "language", "attachments", "_weir"});
  builder.add(std::move(item));
}

bool claims(const Source& source) {
  const std::string_view start = trim(source.text.substr(0, 4096));
  return source.root.key() == 0 && start.starts_with('{');
}

Status read(const Source& source, Builder& builder) {
  auto parsed = parse_json(source.text, std::min<std::size_t>(builder.options.limits.depth, 256));
  if (!parsed && parsed.error().remedy.empty()) parsed.error().remedy = "when it was cut off on the way, fetch it again";
  const json::value value = TRY(std::move(parsed));
  const json::object* root = value.if_object();
  if (!root) return fail(Code::not_a_feed, say("json_no_object", "JSON, but not an object"), {}, "give a JSON Feed");
  const std::string version = text(*root, "version");
  const json::array* items = find_array(*root, "items");
  if (version.find("jsonfeed.org") == std::string::npos && !items)
    return fail(Code::not_a_feed, say("json_no_feed", "JSON, but neither `version` nor `items` of a JSON Feed"), {}, "give a JSON Feed");
  Feed& feed = builder.feed;
  feed.format = version.ends_with("/1") || version.ends_with("/1.0") ? "json1.0" : "json1.1";
  const std::string base = builder.options.base_url;
  feed.title = builder.line(text(*root, "title"), false);
  feed.home_page_url = builder.url(text(*root, "home_page_url"), base);
  feed.feed_url = builder.url(text(*root, "feed_url"), base);
  feed.description = builder.line(text(*root, "description"), false);
  feed.language = language_tag(text(*root, "language"));
  feed.icon = builder.url(text(*root, "icon"), base);
  if (feed.icon.empty()) feed.icon = builder.url(text(*root, "favicon"), base);
  feed.authors = read_authors(builder, *root, base);
  const std::string item_base = !base.empty() ? base : !feed.feed_url.empty() ? feed.feed_url : feed.home_page_url;
  if (items)
    for (const json::value& item : *items) {
      if (!builder.room()) break;
      if (const json::object* object = item.if_object()) read_item(builder, *object, item_base);
      else builder.warn("an item that is no object was left out");
    }
  return {};
}

}  // namespace

const Format json_format{"json", claims, read};

}  // namespace weir

#include "types/item.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/text.h"

namespace weir {
namespace {

void put(json::object& out, std::string_view key, const std::string& value) {
  if (!value.empty()) out[key] = value;
}

void put(json::object& out, const json::object& extra) {
  for (const auto& member : extra) out[member.key()] = member.value();
}

std::string clean(std::string_view text) { return is_valid_utf8(text) && text.find('\0') == std::string_view::npos ? std::string(text) : repair_utf8(text); }

Status take(const json::value& value, std::string_view key, std::string& out) {
  if (value.is_null()) return {};
  if (!value.is_string()) return fail(Code::malformed, "must be a string", std::string(key));
  out = clean(value.get_string());
  return {};
}

Status take(const json::value& value, std::string_view key, std::optional<Time>& out) {
  std::string text;
  TRY(take(value, key, text));
  if (text.empty()) return {};
  out = parse_rfc3339(text);
  if (!out) return fail(Code::malformed, "must be an RFC 3339 date", std::string(key));
  return {};
}

Status take(const json::value& value, std::string_view key, std::vector<std::string>& out) {
  if (value.is_null()) return {};
  if (!value.is_array()) return fail(Code::malformed, "must be an array of strings", std::string(key));
  for (const json::value& one : value.get_array()) {
    std::string text;
    TRY(take(one, key, text));
    if (!text.empty()) out.push_back(std::move(text));
  }
  return {};
}

Status take(const json::value& value, std::string_view key, std::vector<Author>& out) {
  if (value.is_null()) return {};
  if (!value.is_array()) return fail(Code::malformed, "must be an array of objects", std::string(key));
  for (const json::value& one : value.get_array()) {
    const json::object* object = one.if_object();
    if (!object) return fail(Code::malformed, "must be an array of objects", std::string(key));
    Author author{clean(find_string(*object, "name").value_or("")), clean(find_string(*object, "url").value_or("")), unknown_members(*object, {"name", "url"})};
    if (!author.name.empty() || !author.url.empty()) out.push_back(std::move(author));
  }
  return {};
}

Status take(const json::value& value, std::string_view key, std::vector<Attachment>& out) {
  if (value.is_null()) return {};
  if (!value.is_array()) return fail(Code::malformed, "must be an array of objects", std::string(key));
  for (const json::value& one : value.get_array()) {
    const json::object* object = one.if_object();
    if (!object) return fail(Code::malformed, "must be an array of objects", std::string(key));
    Attachment attachment{clean(find_string(*object, "url").value_or("")), clean(find_string(*object, "mime_type").value_or("")),
                          find_int(*object, "size_in_bytes"), unknown_members(*object, {"url", "mime_type", "size_in_bytes"})};
    if (!attachment.url.empty()) out.push_back(std::move(attachment));
  }
  return {};
}

}  // namespace

std::string text_of_clean_html(std::string_view html) {
  static constexpr std::string_view inline_tags[] = {"a",    "abbr", "b", "bdi",  "bdo",   "cite", "code",   "del", "dfn", "em",   "i", "ins", "kbd",
                                                     "mark", "q",    "s", "samp", "small", "span", "strong", "sub", "sup", "time", "u", "var", "wbr"};
  static constexpr std::pair<std::string_view, std::string_view> references[] = {{"&amp;", "&"},   {"&lt;", "<"},  {"&gt;", ">"},
                                                                                 {"&quot;", "\""}, {"&#39;", "'"}, {"&nbsp;", " "}};
  std::string out;
  out.reserve(html.size());
  bool space = false, line = false;  // owed before the next character
  const auto put = [&](std::string_view text) {
    if ((line || space) && !out.empty()) out += line ? '\n' : ' ';
    line = space = false;
    out += text;
  };
  for (std::size_t at = 0; at < html.size();) {
    const char c = html[at];
    if (c == '<') {
      const std::size_t end = html.find('>', at);
      std::string_view tag = html.substr(at + 1, end == std::string_view::npos ? std::string_view::npos : end - at - 1);
      if (tag.starts_with('/')) tag.remove_prefix(1);
      tag = tag.substr(0, tag.find_first_of(" /\t\n"));
      if (std::find(std::begin(inline_tags), std::end(inline_tags), tag) == std::end(inline_tags)) line = true;
      at = end == std::string_view::npos ? html.size() : end + 1;
      continue;
    }
    if (c == ' ' || c == '\n' || c == '\t' || c == '\r') {
      space = true;
      ++at;
      continue;
    }
    if (c == '&') {
      const auto found = std::find_if(std::begin(references), std::end(references), [&](const auto& one) { return html.substr(at).starts_with(one.first); });
      if (found != std::end(references)) {
        put(found->second);
        at += found->first.size();
        continue;
      }
    }
    std::size_t run = at + 1;
    while (run < html.size() && html[run] != '<' && html[run] != '&' && static_cast<unsigned char>(html[run]) > ' ') ++run;
    put(html.substr(at, run - at));
    at = run;
  }
  return out;
}

std::string plain_text(const Item& item) {
  std::string out = item.title;
  const std::string& body = !item.content_text.empty() ? item.content_text : item.summary;
  if (item.content_text.empty() && !item.content_html.empty()) {
    const std::string text = text_of_clean_html(item.content_html);
    if (!out.empty() && !text.empty()) out += '\n';
    return out += text;
  }
  if (!out.empty() && !body.empty()) out += '\n';
  return out += body;
}

json::object unknown_members(const json::object& from, std::initializer_list<std::string_view> known) {
  json::object out;
  for (const auto& member : from)
    if (std::ranges::find(known, std::string_view(member.key())) == known.end()) out[member.key()] = member.value();
  return out;
}

json::object to_json(const Item& item) {
  json::object out;
  put(out, "id", item.id);
  put(out, "url", item.url);
  put(out, "title", item.title);
  put(out, "content_html", item.content_html);
  put(out, "content_text", item.content_text);
  put(out, "summary", item.summary);
  put(out, "image", item.image);
  if (item.date_published) out["date_published"] = to_rfc3339(*item.date_published);
  if (item.date_modified) out["date_modified"] = to_rfc3339(*item.date_modified);
  if (!item.authors.empty()) {
    json::array authors;
    for (const Author& author : item.authors) {
      json::object one;
      put(one, "name", author.name);
      put(one, "url", author.url);
      put(one, author.extra);
      authors.push_back(std::move(one));
    }
    out["authors"] = std::move(authors);
  }
  if (!item.tags.empty()) out["tags"] = json::array(item.tags.begin(), item.tags.end());
  put(out, "language", item.language);
  if (!item.attachments.empty()) {
    json::array attachments;
    for (const Attachment& attachment : item.attachments) {
      json::object one;
      put(one, "url", attachment.url);
      put(one, "mime_type", attachment.mime_type);
      if (attachment.size_in_bytes) one["size_in_bytes"] = *attachment.size_in_bytes;
      put(one, attachment.extra);
      attachments.push_back(std::move(one));
    }
    out["attachments"] = std::move(attachments);
  }
  put(out, item.extra);
  return out;
}

Result<Item> item_from_json(const json::value& value) {
  const json::object* object = value.if_object();
  if (!object) return fail(Code::malformed, "an item must be a JSON object");
  Item item;
  for (const auto& member : *object) {
    const std::string_view key = member.key();
    const json::value& v = member.value();
    if (key == "id") {
      if (v.is_number()) item.id = json::serialize(v);
      else TRY(take(v, key, item.id));
    } else if (key == "url") TRY(take(v, key, item.url));
    else if (key == "title") TRY(take(v, key, item.title));
    else if (key == "content_html") TRY(take(v, key, item.content_html));
    else if (key == "content_text") TRY(take(v, key, item.content_text));
    else if (key == "summary") TRY(take(v, key, item.summary));
    else if (key == "image") TRY(take(v, key, item.image));
    else if (key == "date_published") TRY(take(v, key, item.date_published));
    else if (key == "date_modified") TRY(take(v, key, item.date_modified));
    else if (key == "authors") TRY(take(v, key, item.authors));
    else if (key == "tags") TRY(take(v, key, item.tags));
    else if (key == "language") TRY(take(v, key, item.language));
    else if (key == "attachments") TRY(take(v, key, item.attachments));
    else item.extra[key] = v;
  }
  return item;
}

}  // namespace weir

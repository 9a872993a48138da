#include "engine/parse_child.h"

#include <array>
#include <optional>

#include "html/html.h"
#include "ingest/parse.h"

// A request is a JSON object, a line feed, and the bytes it is about; an answer is a JSON object: {"error":{…}} or {"value":…}.

namespace weir {
namespace {

HtmlTools html_tools() {
  return {
      .text = [](std::string_view text) { return html::title_text(text); },
      .clean = [](std::string_view text, std::string_view base) { return html::clean(text, base, {.text = false}).html; },
      .links = [](std::string_view text, std::string_view base) -> Result<PageLinks> {
        html::Page page = html::read_page(text, base);
        PageLinks out{
            .title = std::move(page.title), .language = std::move(page.language), .icon = page.icons.empty() ? "" : page.icons.front().url, .links = {}};
        for (html::Page::Link& link : page.links) out.links.push_back({std::move(link.url), std::move(link.title)});
        return out;
      },
  };
}

std::string text_member(const json::object& object, std::string_view key) { return std::string(find_string(object, key).value_or("")); }

Result<json::value> parse_feed_here(const json::object& head, std::string_view bytes) {
  ParseOptions options{
      .base_url = text_member(head, "base_url"), .content_type = text_member(head, "content_type"), .raw = find_bool(head, "raw").value_or(false)};
  options.html = html_tools();
  if (options.raw)
    options.html.clean = [](std::string_view text, std::string_view base) { return html::clean(text, base, {.resolve_only = true, .text = false}).html; };
  return to_json(TRY(parse_feed(bytes, options)));
}

Result<json::value> read_page_here(const json::object& head, std::string_view bytes) {
  const html::Page page = html::read_page(bytes, text_member(head, "base_url"));
  json::array links, icons;
  for (const html::Page::FeedLink& feed : page.feeds) links.push_back({{"url", feed.url}, {"title", feed.title}, {"type", feed.type}, {"alternate", true}});
  for (const html::Page::FeedLink& feed : page.guesses) links.push_back({{"url", feed.url}, {"title", feed.title}, {"type", feed.type}, {"alternate", false}});
  for (const html::Page::Icon& icon : page.icons) icons.push_back(json::value(icon.url));
  return json::object{{"title", page.title}, {"language", page.language}, {"links", std::move(links)}, {"icons", std::move(icons)}};
}

Result<json::value> read_opml_here(const json::object&, std::string_view bytes) {
  const Opml opml = TRY(read_opml(bytes));
  json::array sources;
  for (const OpmlSource& source : opml.sources)
    sources.push_back({{"title", source.title},
                       {"url", source.url},
                       {"home_page_url", source.home_page_url},
                       {"folders", json::array(source.folders.begin(), source.folders.end())}});
  return json::object{{"title", opml.title}, {"sources", std::move(sources)}, {"warnings", json::array(opml.warnings.begin(), opml.warnings.end())}};
}

Result<json::value> clean_items_here(const json::object&, std::string_view bytes) {
  const json::value given = TRY(parse_json(bytes));
  const json::array* array = given.if_array();
  if (!array) return fail(Code::malformed, "items must be an array");
  json::array out;
  for (const json::value& value : *array) {
    Item item = TRY(item_from_json(value));
    if (!item.content_html.empty()) {
      html::Cleaned cleaned = html::clean(item.content_html, item.url, {.text = false});
      item.content_html = std::move(cleaned.html);
    }
    out.push_back(to_json(item));
  }
  return out;
}

Result<json::value> texts_here(const json::object&, std::string_view bytes) {
  const json::value given = TRY(parse_json(bytes));
  const json::array* array = given.if_array();
  if (!array) return fail(Code::malformed, "texts must be an array");
  json::array out;
  for (const json::value& value : *array) out.push_back(json::value(value.is_string() ? html::to_text(std::string_view(value.get_string())) : std::string()));
  return out;
}

struct Kind {
  std::string_view name;
  Result<json::value> (*run)(const json::object& head, std::string_view bytes);
};
constexpr std::array<Kind, 5> kinds{
    {{"feed", parse_feed_here}, {"page", read_page_here}, {"opml", read_opml_here}, {"items", clean_items_here}, {"texts", texts_here}}};

Result<json::value> dispatch(std::string_view request) {
  const std::size_t line = request.find('\n');
  if (line == std::string_view::npos) return fail(Code::internal, "a request without its head");
  const json::value head = TRY(parse_json(request.substr(0, line)));
  const json::object* object = head.if_object();
  const std::string_view name = object ? find_string(*object, "kind").value_or("") : "";
  for (const Kind& kind : kinds)
    if (kind.name == name) return kind.run(*object, request.substr(line + 1));
  return fail(Code::internal, "a request of no known kind");
}

Code code_named(std::string_view text) {
  for (int i = 0; i <= static_cast<int>(Code::internal); ++i)
    if (to_string(static_cast<Code>(i)) == text) return static_cast<Code>(i);
  return Code::internal;
}

Result<json::value> ask(Sandbox& sandbox, const json::object& head, std::string_view bytes) {
  std::string request = json::serialize(head);
  request.reserve(request.size() + 1 + bytes.size());
  request += '\n';
  request += bytes;
  const std::string answer = TRY(sandbox.run(request));
  json::value parsed = TRY(parse_json(answer, 300));
  json::object* object = parsed.if_object();
  if (!object) return fail(Code::crashed, say("parser_nonsense", "the parser answered nonsense"));
  if (const json::object* error = find_object(*object, "error")) {
    Error out{code_named(find_string(*error, "code").value_or("")), text_member(*error, "message"), text_member(*error, "where"),
              text_member(*error, "remedy")};
    take_name(*error, out);
    return std::unexpected(std::move(out));
  }
  json::value* value = object->if_contains("value");
  if (!value) return fail(Code::crashed, say("parser_nonsense", "the parser answered nonsense"));
  return std::move(*value);
}

}  // namespace

SandboxOptions parser_sandbox(const std::string& program) {
  SandboxOptions out{.handler = handle_in_child, .warm_up = warm_up_child};
  if (!program.empty()) out.anew = {program, zygote_command};
  return out;
}

std::string handle_in_child(std::string_view request) {
  Result<json::value> answer = dispatch(request);
  if (answer) return json::serialize(json::object{{"value", std::move(*answer)}});
  const Error& error = answer.error();
  json::object out{{"code", to_string(error.code)}, {"message", error.message}, {"where", error.where}, {"remedy", error.remedy}};
  put_name(out, error.key, error.values);
  return json::serialize(json::object{{"error", std::move(out)}});
}

void warm_up_child() {
  // One small document of each kind, so that workers share what the first one builds.
  handle_in_child(
      "{\"kind\":\"feed\"}\n<rss version=\"2.0\"><channel><title>a</title><item><title>b &amp; "
      "c</title><description>&lt;p&gt;d&lt;/p&gt;</description></item></channel></rss>");
}

Result<Feed> parse_feed_in(Sandbox& sandbox, std::string_view bytes, const ParseRequest& request) {
  return feed_from_json(
      TRY(ask(sandbox, {{"kind", "feed"}, {"base_url", request.base_url}, {"content_type", request.content_type}, {"raw", request.raw}}, bytes)));
}

Result<PageReport> read_page_in(Sandbox& sandbox, std::string_view html, std::string_view base_url) {
  const json::value value = TRY(ask(sandbox, {{"kind", "page"}, {"base_url", base_url}}, html));
  const json::object* object = value.if_object();
  if (!object) return fail(Code::crashed, say("parser_nonsense", "the parser answered nonsense"));
  PageReport out{.title = text_member(*object, "title"), .language = text_member(*object, "language"), .links = {}, .icons = {}};
  if (const json::array* links = find_array(*object, "links"))
    for (const json::value& one : *links)
      if (const json::object* link = one.if_object())
        out.links.push_back(
            {text_member(*link, "url"), text_member(*link, "title"), text_member(*link, "type"), find_bool(*link, "alternate").value_or(false)});
  if (const json::array* icons = find_array(*object, "icons"))
    for (const json::value& icon : *icons)
      if (icon.is_string()) out.icons.emplace_back(icon.get_string());
  return out;
}

Result<Opml> read_opml_in(Sandbox& sandbox, std::string_view bytes) {
  const json::value value = TRY(ask(sandbox, {{"kind", "opml"}}, bytes));
  const json::object* object = value.if_object();
  if (!object) return fail(Code::crashed, say("parser_nonsense", "the parser answered nonsense"));
  Opml out{.title = text_member(*object, "title"), .sources = {}, .warnings = {}};
  if (const json::array* sources = find_array(*object, "sources"))
    for (const json::value& one : *sources)
      if (const json::object* source = one.if_object()) {
        OpmlSource row{
            .title = text_member(*source, "title"), .url = text_member(*source, "url"), .home_page_url = text_member(*source, "home_page_url"), .folders = {}};
        if (const json::array* folders = find_array(*source, "folders"))
          for (const json::value& folder : *folders)
            if (folder.is_string()) row.folders.emplace_back(folder.get_string());
        out.sources.push_back(std::move(row));
      }
  if (const json::array* warnings = find_array(*object, "warnings"))
    for (const json::value& warning : *warnings)
      if (warning.is_string()) out.warnings.emplace_back(warning.get_string());
  return out;
}

Result<std::vector<Item>> clean_items_in(Sandbox& sandbox, const std::vector<Item>& items) {
  json::array given;
  for (const Item& item : items) given.push_back(to_json(item));
  const json::value value = TRY(ask(sandbox, {{"kind", "items"}}, json::serialize(given)));
  const json::array* array = value.if_array();
  if (!array || array->size() != items.size()) return fail(Code::crashed, say("parser_nonsense", "the parser answered nonsense"));
  std::vector<Item> out;
  out.reserve(items.size());
  for (const json::value& one : *array) out.push_back(TRY(item_from_json(one)));
  return out;
}

Result<std::vector<std::string>> texts_in(Sandbox& sandbox, const std::vector<std::string>& html) {
  const json::value value = TRY(ask(sandbox, {{"kind", "texts"}}, json::serialize(json::array(html.begin(), html.end()))));
  const json::array* array = value.if_array();
  if (!array || array->size() != html.size()) return fail(Code::crashed, say("parser_nonsense", "the parser answered nonsense"));
  std::vector<std::string> out;
  for (const json::value& one : *array) out.emplace_back(one.is_string() ? std::string_view(one.get_string()) : std::string_view());
  return out;
}

}  // namespace weir

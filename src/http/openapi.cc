// /api/openapi.json from the route table: OpenAPI 3.1.
#include <algorithm>

#include "base/text.h"
#include "http/handlers.h"

namespace weir::http {
namespace {

json::object schema(std::string_view type) {
  if (type == "items") return {{"type", "array"}, {"items", {{"type", "object"}}}};
  return {{"type", type}};
}

// What answers are made of: the members of each, in the notation of Route::accepts; [X]: an array of X, a name with a capital: another shape. Members
// that are not named here come only where a shape is open.
struct Shape {
  std::string_view name, members;
  bool open = false;
};

constexpr Shape shapes[] = {
    {"Health", "status:string"},
    {"Document", "openapi:string info:object paths:object components:object"},
    {"Sentence", "key?:string values?:object"},
    {"Problem", "code:string message?:string where?:string key?:string values?:object"},
    {"Source",
     "id:integer kind:string title:string source_title?:string folder?:string url?:string home_page_url?:string description?:string language?:string "
     "icon?:string health:string error?:string problem?:Problem failures?:integer fetched_at?:time changed_at?:time next_at?:time keep_days?:integer "
     "unread:integer total:integer feeds?:[PageFeed]"},
    {"PageFeed", "url:string title:string"},
    {"Sources", "sources:[Source]"},
    {"Choice", "feeds:[PageFeed]"},
    {"Pushed", "stored:integer duplicates:integer"},
    {"Imported", "added?:integer known?:integer refused?:[Problem] stored?:integer duplicates?:integer warnings?:[string]"},
    {"Asked", "asked:boolean"},
    {"Item",
     "id:string url?:string title?:string content_html?:string content_text?:string summary?:string image?:string date_published?:time date_modified?:time "
     "authors?:[Author] tags?:[string] language?:string attachments?:[Attachment] _weir:Ours",
     true},
    {"Author", "name?:string url?:string", true},
    {"Attachment", "url:string mime_type?:string size_in_bytes?:integer", true},
    {"Ours", "id:integer source:integer read:boolean starred:boolean at:time score?:number findings?:[Finding]"},
    {"Finding", "class:string rule:string field:string start:integer end:integer view:string"},
    {"Page", "items:[Item] cursor?:string note?:string note_says?:Sentence"},
    {"Marked", "marked:integer"},
    {"State", "_weir:Marks"},
    {"Marks", "id:integer read:boolean starred:boolean"},
    {"Why", "score:number why:[Part] signals:integer enough:boolean"},
    {"Part", "part:string value:number from?:[Cause]"},
    {"Cause", "item:string value:number title?:string"},
    {"Stored", "stored:integer"},
    {"Flow", "every:string arrivals:[Arrival]"},
    {"Arrival", "source:integer hour:time stored:integer"},
    {"User", "id:integer name:string operator:boolean has_password:boolean created_at:time"},
    {"Users", "users:[User]"},
    {"Me", "id:integer name:string operator:boolean has_password:boolean created_at:time scope:string via:string counts:Counts taste:Taste encoding?:Encoding"},
    {"Counts", "unread:integer starred:integer total:integer"},
    {"Taste", "signals:integer enough:boolean model:boolean"},
    {"Encoding", "encoded:integer queued:integer"},
    {"Settings", "keep_days?:integer keep_starred_days?:integer", true},
    {"Token", "id:integer scope:string source?:integer name?:string created_at:time last_used_at?:time token?:string"},
    {"Tokens", "tokens:[Token]"},
    {"Link", "path:string"},
    {"Report", "checks:[Check]"},
    {"Check", "name:string state:string text:string says:[Sentence] remedy?:string remedy_says?:Sentence"},
    {"File", "file:string"},
};

json::object schema_of(std::string_view type) {
  if (type.starts_with('[')) return {{"type", "array"}, {"items", schema_of(type.substr(1, type.size() - 2))}};
  if (type == "time") return {{"type", "string"}, {"format", "date-time"}};
  if (type[0] >= 'A' && type[0] <= 'Z') return {{"$ref", "#/components/schemas/" + std::string(type)}};
  return schema(type);
}

struct Field {
  std::string name;
  std::string_view type;
  bool required, query;
};

std::vector<Field> fields(std::string_view accepts) {
  std::vector<Field> out;
  for (const std::string_view one : split(accepts, ' ')) {
    const auto colon = one.find(':');
    if (colon == std::string_view::npos) continue;
    std::string_view name = one.substr(0, colon);
    const bool optional = name.ends_with('?'), query = name.starts_with('&');
    name.remove_prefix(query ? 1 : 0);
    name.remove_suffix(optional ? 1 : 0);
    out.push_back({std::string(name), one.substr(colon + 1), !optional, query});
  }
  return out;
}

json::array parameters(const Route& route) {
  json::array out;
  for (const std::string_view part : split(route.path, '/')) {
    if (part.empty() || part[0] != '{') continue;
    const std::string_view name = part.substr(1, part.size() - 2);
    out.push_back(json::object{{"name", name}, {"in", "path"}, {"required", true}, {"schema", schema(name == "rest" ? "string" : "integer")}});
  }
  for (const Field& field : fields(route.accepts))
    if (route.body == 0 || field.query) out.push_back(json::object{{"name", field.name}, {"in", "query"}, {"schema", schema(field.type)}});
  return out;
}

json::object body_of(const Route& route) {
  json::object properties;
  json::array required;
  bool many = false;
  for (const Field& field : fields(route.accepts)) {
    if (field.type == "items")
      return {{"required", true}, {"content", {{"application/json", {{"schema", schema("items")}}}, {"application/x-ndjson", json::object{}}}}};
    if (field.type == "opml") return {{"required", true}, {"content", {{"text/x-opml", json::object{}}, {"application/octet-stream", json::object{}}}}};
    many = many || field.type == "many";
    if (field.query || field.type == "many") continue;
    properties[field.name] = schema(field.type);
    if (field.required) required.push_back(json::value(field.name));
  }
  json::object object{{"type", "object"}, {"properties", std::move(properties)}};
  if (!required.empty()) object["required"] = std::move(required);
  if (many) object = {{"oneOf", json::array{object, json::object{{"type", "array"}, {"items", object}}}}};
  return {{"content", {{"application/json", {{"schema", std::move(object)}}}}}};
}

json::object schema_of(const Shape& shape) {
  json::object properties;
  json::array required;
  for (const Field& field : fields(shape.members)) {
    properties[field.name] = schema_of(field.type);
    if (field.required) required.push_back(json::value(field.name));
  }
  json::object out{{"type", "object"}, {"properties", std::move(properties)}};
  if (!required.empty()) out["required"] = std::move(required);
  if (!shape.open) out["additionalProperties"] = false;
  return out;
}

json::object responses(std::string_view answers) {
  json::object out;
  for (const std::string_view one : split(answers, ' ')) {
    const bool status = one[0] >= '0' && one[0] <= '9';
    const std::string_view what = !status ? one : one.size() > 4 ? one.substr(4) : "";
    json::object response{{"description", "done"}};
    if (what.find('/') != std::string_view::npos) response["content"] = json::object{{std::string(what), json::object{}}};
    else if (!what.empty()) response["content"] = json::object{{"application/json", {{"schema", schema_of(what)}}}};
    out[status ? std::string(one.substr(0, 3)) : "200"] = std::move(response);
  }
  out["default"] = json::object{{"$ref", "#/components/responses/Error"}};
  return out;
}

json::array security(Access access) {
  if (access == Access::open) return {};
  if (access == Access::local) return {json::object{{"socket", json::array{}}}};
  return {json::object{{"token", json::array{}}}, json::object{{"session", json::array{}}}};
}

std::string_view rule(Access access) {
  switch (access) {
    case Access::open: return "open";
    case Access::read: return "read";
    case Access::write: return "write";
    case Access::push: return "push";
    case Access::operator_: return "operator";
    case Access::local: return "local";
    case Access::unset: break;
  }
  return "unset";
}

}  // namespace

json::object openapi_document() {
  json::object paths;
  for (const Route& route : routes()) {
    json::object operation{{"summary", route.says}, {"security", security(route.access)}, {"x-access", rule(route.access)}};
    if (json::array all = parameters(route); !all.empty()) operation["parameters"] = std::move(all);
    if (route.body != 0 && !route.accepts.empty()) operation["requestBody"] = body_of(route);
    operation["responses"] = responses(route.answers);
    json::value& path = paths[std::string(route.path)];
    if (!path.is_object()) path = json::object{};
    path.get_object()[to_lower_ascii(to_string(route.method))] = std::move(operation);
  }
  const json::object error{{"type", "object"},
                           {"properties",
                            {{"error",
                              {{"type", "object"},
                               {"required", {"code", "message"}},
                               {"properties",
                                {{"code", schema("string")},
                                 {"message", schema("string")},
                                 {"where", schema("string")},
                                 {"key", schema("string")},
                                 {"values", {{"type", "object"}, {"additionalProperties", schema("string")}}}}}}}}}};
  json::object schemas;
  for (const Shape& shape : shapes) schemas[std::string(shape.name)] = schema_of(shape);
  schemas["Sentence"].get_object()["description"] =
      "a sentence by its name, for other languages than English: `key` names it for good, `values` are what stands in it. In an error beside `message`; in a "
      "source as `problem` (with `code` and `where`) beside `error`; in a check of doctor as `says` and `remedy_says` beside `text` and `remedy`; in a page of "
      "items as `note_says` beside `note`";
  return {
      {"openapi", "3.1.0"},
      {"info", {{"title", "Weir"}, {"version", "1"}, {"description", "Items are JSON Feed 1.1 items; _weir.id is the id that paths and signals use."}}},
      {"paths", std::move(paths)},
      {"components",
       {{"securitySchemes",
         {{"token", {{"type", "http"}, {"scheme", "bearer"}}},
          {"session", {{"type", "apiKey"}, {"in", "cookie"}, {"name", "weir"}}},
          {"socket", {{"type", "apiKey"}, {"in", "header"}, {"name", "weir.sock"}, {"description", "only by the unix socket in the data folder"}}}}},
        {"schemas", std::move(schemas)},
        {"responses", {{"Error", {{"description", "what went wrong"}, {"content", {{"application/json", {{"schema", error}}}}}}}}}}},
  };
}

}  // namespace weir::http

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
    operation["responses"] = json::object{{"2XX", {{"description", "done"}}}, {"default", {{"$ref", "#/components/responses/Error"}}}};
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
  const json::object sentence{{"type", "object"},
                              {"description",
                               "a sentence by its name, for other languages than English: `key` names it for good, `values` are what stands in it. In an error "
                               "beside `message`; in a source as `problem` (with `code` and `where`) beside `error`; in a check of doctor as `says` and "
                               "`remedy_says` beside `text` and `remedy`; in a page of items as `note_says` beside `note`"},
                              {"properties", {{"key", schema("string")}, {"values", {{"type", "object"}, {"additionalProperties", schema("string")}}}}}};
  return {
      {"openapi", "3.1.0"},
      {"info", {{"title", "Weir"}, {"version", "1"}, {"description", "Items are JSON Feed 1.1 items; _weir.id is the id that paths and signals use."}}},
      {"paths", std::move(paths)},
      {"components",
       {{"securitySchemes",
         {{"token", {{"type", "http"}, {"scheme", "bearer"}}},
          {"session", {{"type", "apiKey"}, {"in", "cookie"}, {"name", "weir"}}},
          {"socket", {{"type", "apiKey"}, {"in", "header"}, {"name", "weir.sock"}, {"description", "only by the unix socket in the data folder"}}}}},
        {"schemas", {{"Sentence", sentence}}},
        {"responses", {{"Error", {{"description", "what went wrong"}, {"content", {{"application/json", {{"schema", error}}}}}}}}}}},
  };
}

}  // namespace weir::http

#include "http/router.h"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "base/log.h"
#include "base/text.h"
#include "engine/exits.h"
#include "http/cookies.h"

namespace weir::http {
namespace {

constexpr std::size_t gzip_from = 1024;

int status_of(Code code) {
  switch (code) {
    case Code::invalid:
    case Code::malformed:
    case Code::too_deep:
    case Code::encoding: return 400;
    case Code::unauthorised: return 401;
    case Code::forbidden: return 403;
    case Code::not_found: return 404;
    case Code::exists: return 409;
    case Code::too_large: return 413;
    case Code::not_a_feed:
    case Code::refused:
    case Code::crashed: return 422;
    case Code::unavailable:
    case Code::io: return 503;  // io: the disk; when it has room again, so do we
    case Code::timeout: return 504;
    case Code::corrupt:
    case Code::internal: return 500;
  }
  return 500;
}

// What every answer says to a browser. Pages set a policy of their own (pages.cc); everything else may do nothing at all.
void protect(Response& response) {
  const auto unless_set = [&](std::string_view name, std::string_view value) {
    if (response.header(name).empty()) response.headers.push_back({std::string(name), std::string(value)});
  };
  unless_set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'; sandbox");
  unless_set("X-Content-Type-Options", "nosniff");
  unless_set("Referrer-Policy", "no-referrer");
  unless_set("Cross-Origin-Opener-Policy", "same-origin");
  unless_set("Cross-Origin-Resource-Policy", "same-origin");
  unless_set("Cache-Control", "no-store");
}

std::string gzip(std::string_view bytes) {
  z_stream stream{};
  if (deflateInit2(&stream, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK) return {};
  std::string out(deflateBound(&stream, bytes.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));  // zlib's old signature: it reads only
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  const bool done = deflate(&stream, Z_FINISH) == Z_STREAM_END;
  out.resize(done ? stream.total_out : 0);
  deflateEnd(&stream);
  return out;
}

// JSON and text of some size, for a client that takes it. What is sealed is compressed by the engine's hand: the seal is of the same bytes.
void compress(const Engine& engine, const Request& request, Response& response) {
  const std::string_view body = response.bytes();
  if (body.size() < gzip_from || body.size() > (std::size_t{64} << 20) || !response.header("Content-Encoding").empty()) return;
  const std::string_view type = response.header("Content-Type");
  if (!type.starts_with("application/json") && !type.starts_with("text/")) return;
  response.headers.push_back({"Vary", "Accept-Encoding"});
  if (request.local || !accepts_encoding(request.header("accept-encoding"), "gzip")) return;
  std::string small = gzip(body);
  if (small.empty() || small.size() >= body.size()) return;
  response.body = seal_asset(engine, std::move(small));
  response.headers.push_back({"Content-Encoding", "gzip"});
}

Response error_response(const Engine& engine, int status, std::string_view code, std::string_view message, const Error& more = {}) {
  json::object error{{"code", code}, {"message", message}};
  if (!more.where.empty()) error["where"] = more.where;
  put_name(error, more.key, more.values);
  Response response{status, {{"Content-Type", "application/json"}}, seal_error(engine, json::serialize(json::object{{"error", std::move(error)}}))};
  return response;
}

bool is_loopback(std::string_view address) { return address.starts_with("127.") || address == "::1"; }

std::string with_remedy(const Error& error) { return error.remedy.empty() ? error.message : error.message + "; " + error.remedy; }

bool safe(Method method) { return method == Method::get || method == Method::head || method == Method::options; }

// Who the client is, behind a proxy that may be believed: the last address that the proxy itself saw.
void look_behind_proxy(const RouterOptions& options, Call& call) {
  const Request& request = call.request;
  call.address = request.local ? "local" : request.peer;
  if (request.local || !(is_loopback(request.peer) || std::ranges::count(options.trusted_proxies, request.peer))) return;
  call.tls = equal_ignoring_case(request.header("x-forwarded-proto"), "https");
  const std::string_view chain = request.header("x-forwarded-for");
  if (!chain.empty()) call.address = std::string(trim(chain.substr(chain.rfind(',') + 1))).substr(0, 64);
}

// Did this come from one of our own pages? A page of another origin cannot forge Sec-Fetch-Site, nor Origin.
bool from_own_page(const Call& call) {
  if (const auto site = call.request.header("sec-fetch-site"); !site.empty()) return site == "same-origin" || (site == "none" && safe(call.request.method));
  const std::string_view origin = call.request.header("origin");
  const auto host_at = origin.find("://");
  if (host_at == std::string_view::npos) return false;
  const std::string_view host = origin.substr(host_at + 3);
  if (equal_ignoring_case(host, call.request.header("host"))) return true;
  return call.tls && equal_ignoring_case(host, call.request.header("x-forwarded-host"));
}

Result<Proof> who_asks(Accounts& accounts, const Call& call) {
  const std::string_view authorization = call.request.header("authorization");
  if (!authorization.empty()) {
    constexpr std::string_view bearer = "bearer ";
    if (authorization.size() <= bearer.size() || !equal_ignoring_case(authorization.substr(0, bearer.size()), bearer))
      return fail(Code::unauthorised, "a token is expected: Authorization: Bearer weir_…");
    return accounts.token(trim(authorization.substr(bearer.size())));
  }
  if (call.request.local) return accounts.local();
  const auto secret = cookie(call.request.header("cookie"), session_cookie(call.tls));
  if (!secret) return fail(Code::unauthorised, "sign in, or send a token: Authorization: Bearer weir_…");
  return accounts.session(*secret);
}

bool may(const Route& route, const Call& call) {
  switch (route.access) {
    case Access::open: return true;
    case Access::read: return call.who.may_read();
    case Access::write: return call.who.may_write();
    case Access::push: return call.who.may_push(call.source);
    case Access::operator_: return call.who.may_operate();
    case Access::local: return call.credential.kind == Credential::Kind::socket;
    case Access::unset: break;
  }
  return false;
}

void take_ids(Call& call, const std::vector<std::string>& values) {
  std::size_t next = 0;
  for (const std::string_view part : split(call.route->path, '/')) {
    if (part.empty() || part[0] != '{') continue;
    const std::string& value = values[next++];
    std::int64_t id = 0;
    std::from_chars(value.data(), value.data() + value.size(), id);
    if (part == "{source}") call.source = SourceId{id};
    else if (part == "{item}") call.item = ItemId{id};
    else if (part == "{id}") call.id = id;
    else call.rest = value;
  }
}

}  // namespace

Router::Router(Engine& engine, Accounts& accounts, RouterOptions options) : engine_(engine), accounts_(accounts), options_(std::move(options)) {}

Response Router::refuse(int status, std::string_view code, std::string_view message, int retry_after) const {
  Response response = error_response(engine_, status, code, message);
  if (retry_after > 0) response.headers.push_back({"Retry-After", std::to_string(retry_after)});
  if (status == 401) response.headers.push_back({"WWW-Authenticate", "Bearer realm=\"weir\""});
  protect(response);
  count(status);
  return response;
}

std::variant<Call, Response> Router::admit(const Request& head) const {
  Call call{.engine = engine_, .accounts = accounts_, .router = *this, .request = head};
  look_behind_proxy(options_, call);
  const auto target = parse_target(head.target);
  if (!target) return refuse(400, "malformed", "this is not the path of a request");

  // Every route of this path, and the one with this method.
  const Method method = head.method == Method::head ? Method::get : head.method;
  std::string allowed;
  bool open = true;  // nobody need sign in: the route is public, or, for a method it does not have, the whole path
  for (const Route& route : routes()) {
    auto values = match(route.path, target->path);
    if (!values) continue;
    allowed += (allowed.empty() ? "" : ", ") + std::string(to_string(route.method)) + (route.method == Method::get ? ", HEAD" : "");
    if (!call.route) open = open && route.access == Access::open;
    if (route.method != method) continue;
    open = route.access == Access::open;
    call.route = &route;
    take_ids(call, *values);
  }

  if (auto proof = who_asks(accounts_, call)) {
    call.who = std::move(proof->who);
    call.credential = std::move(proof->credential);
  } else if (!open || allowed.empty()) {
    const Error& error = proof.error();
    if (error.code != Code::unauthorised && error.code != Code::not_found) return fail_with(error);
    return refuse(401, "unauthorised", with_remedy(error));
  }
  if (allowed.empty()) return refuse(404, "not_found", "there is nothing at this path");
  if (!call.route) {
    Response response = refuse(405, "method_not_allowed", "this path takes " + allowed);
    response.headers.push_back({"Allow", std::move(allowed)});
    return response;
  }
  if (!may(*call.route, call)) return refuse(403, "forbidden", call.who.user ? "this token or account may not do that" : "sign in first");
  const bool by_cookie = call.credential.kind == Credential::Kind::session;
  const bool from_a_browser = !head.header("sec-fetch-site").empty() || !head.header("origin").empty();
  if (!safe(method) && (by_cookie || (call.route->access == Access::open && from_a_browser)) && !from_own_page(call))
    return refuse(403, "forbidden",
                  "a signed-in browser may change things from Weir's own pages only: Sec-Fetch-Site or Origin must say so; programs send a token");
  call.query = Query::parse(target->query);
  if (call.query.broken()) return refuse(400, "invalid", "the query is not UTF-8 in percent-encoding");
  return call;
}

Response Router::run(Call& call) const {
  Result<Response> result = call.route->handler(call);
  if (!result) return fail_with(result.error());
  Response response = std::move(*result);
  compress(engine_, call.request, response);
  protect(response);
  count(response.status);
  return response;
}

Response Router::answer(const Request& request) const {
  auto admitted = admit(request);
  if (auto* no = std::get_if<Response>(&admitted)) return std::move(*no);
  Call& call = std::get<Call>(admitted);
  if (request.body.size() > call.route->body) return refuse(413, "too_large", "the body is larger than this path takes");
  return run(call);
}

Response Router::fail_with(const Error& error) const {
  const int status = status_of(error.code);
  if (status >= 500) log_error("http", "{}", to_string(error.code));  // the text may hold what came from outside
  Response response = error_response(engine_, status, to_string(error.code), with_remedy(error), error);
  if (status == 503) response.headers.push_back({"Retry-After", "2"});
  protect(response);
  count(status);
  return response;
}

std::array<std::uint64_t, 5> Router::answered() const {
  std::array<std::uint64_t, 5> out{};
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = answered_[i].load(std::memory_order_relaxed);
  return out;
}

}  // namespace weir::http

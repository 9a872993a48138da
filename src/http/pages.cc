// What a browser loads: the reader's pages, signing in and out without a script, and assets. Only these pages may run anything, and only our own files.
#include <fmt/format.h>

#include "base/hash.h"
#include "base/text.h"
#include "engine/exits.h"
#include "http/assets.h"
#include "http/cookies.h"
#include "http/handlers.h"

namespace weir::http {
namespace {

// Article images are shown as they are linked to (there is no image proxy yet); everything else is our own origin, and no HTML is ever parsed from a
// string but by the reader's own cleaning ("weir").
constexpr std::string_view page_policy =
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; font-src 'self'; manifest-src 'self'; worker-src 'self'; "
    "img-src 'self' data: https: http:; media-src https: http:; form-action 'self'; frame-ancestors 'none'; base-uri 'none'; "
    "require-trusted-types-for 'script'; trusted-types weir";

Response page(const Engine& engine, int status, std::string html, std::string_view cache = "no-cache") {
  return {status,
          {{"Content-Type", "text/html; charset=utf-8"},
           {"Content-Security-Policy", std::string(page_policy)},
           // A form of ours is sent with its Origin, which no-referrer would turn into "null"; other sites still learn nothing.
           {"Referrer-Policy", "same-origin"},
           {"Cache-Control", std::string(cache)},
           {"Vary", "Accept-Encoding"}},
          seal_asset(engine, std::move(html))};
}

// What the pages without a file say, in the language that the browser asks for first of the two.
struct Words {
  std::string_view tag, sign_in, sign_out, name, password, hint, wrong, used, wait, busy, runs, no_reader;
};
constexpr Words english{.tag = "en",
                        .sign_in = "Sign in",
                        .sign_out = "Sign out",
                        .name = "Name",
                        .password = "Password",
                        .hint = "No password yet? On the machine that runs Weir, this prints a link that signs you in once:",
                        .wrong = "Name or password is wrong.",
                        .used = "This sign-in link was used already, or its day is over. This prints a new one:",
                        .wait = "Too many attempts. Wait a little, then try again.",
                        .busy = "Weir is busy. Try again in a while.",
                        .runs = "Weir runs",
                        .no_reader =
                            "<p>This build has no reader in it: node and its packages were missing. <code>scripts/bootstrap</code> fetches them, "
                            "<code>scripts/build</code> builds the reader in.</p>\n"
                            "<p>Programs find everything at <a href=\"/api/openapi.json\">/api/openapi.json</a>.</p>"};
constexpr Words chinese{.tag = "zh-Hans",
                        .sign_in = "登录",
                        .sign_out = "退出登录",
                        .name = "名称",
                        .password = "密码",
                        .hint = "还没有密码？在运行 Weir 的机器上，这个命令会打印一个一次性登录链接：",
                        .wrong = "名称或密码不对。",
                        .used = "这个登录链接已经用过，或已超过一天。这个命令会打印一个新的：",
                        .wait = "尝试次数过多。请稍候再试。",
                        .busy = "Weir 正忙，请稍候再试。",
                        .runs = "Weir 正在运行",
                        .no_reader =
                            "<p>这个构建不含阅读页面：当时缺少 node 和它的软件包。<code>scripts/bootstrap</code> 会取来它们，"
                            "<code>scripts/build</code> 会把阅读页面加进去。</p>\n"
                            "<p>其他程序需要的都在 <a href=\"/api/openapi.json\">/api/openapi.json</a>。</p>"};

const Words& words_for(const Call& call) {
  for (const std::string_view one : split(call.request.header("accept-language"), ',')) {
    const std::string_view tag = trim(one).substr(0, 2);
    if (tag == "zh") return chinese;
    if (tag == "en") return english;
  }
  return english;
}

// A page that needs no file: the form of signing in when there is no reader, of a one-time link, of signing out.
Response small_page(const Call& call, int status, std::string_view title, std::string_view form) {
  return page(call.engine, status,
              fmt::format("<!doctype html>\n<html lang=\"{}\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">"
                          "<title>Weir</title><link rel=\"stylesheet\" href=\"/assets/form.css\"></head>\n<body><main><h1>{}</h1>\n{}\n</main></body></html>\n",
                          words_for(call).tag, escape_html(title), form),
              "no-store");
}

// `said` is why it is here again; empty at first.
Response password_page(const Call& call, int status, std::string_view said) {
  const Words& words = words_for(call);
  const std::string why = said.empty() ? "" : fmt::format("<p role=\"alert\">{}{}</p>\n", said, said == words.used ? " <code>weir user link</code>" : "");
  const std::string hint = said == words.used ? "" : fmt::format("<p>{} <code>weir user link</code></p>", words.hint);
  return small_page(call, status, words.sign_in,
                    fmt::format("{}<form method=\"post\" action=\"/login\">\n"
                                "<p><label>{} <input name=\"user\" autocomplete=\"username\" autocapitalize=\"none\" required autofocus></label></p>\n"
                                "<p><label>{} <input name=\"password\" type=\"password\" autocomplete=\"current-password\" required></label></p>\n"
                                "<p><button>{}</button></p>\n</form>\n{}",
                                why, words.name, words.password, words.sign_in, hint));
}

Result<Response> file(const Call& call, std::string_view path) {
  const auto found = TRY(find_asset(call.router.options().assets, path, call.request.header("accept-encoding")));
  const bool is_page = found.type.starts_with("text/html");
  if (!found.etag.empty() && call.request.header("if-none-match") == found.etag)
    return Response{304, {{"ETag", found.etag}, {"Cache-Control", found.cache}}, {}};
  Response response = is_page ? page(call.engine, 200, std::string(found.bytes), found.cache)
                              : Response{200,
                                         {{"Content-Type", found.type}, {"Cache-Control", found.cache}, {"Vary", "Accept-Encoding"}},
                                         seal_asset(call.engine, std::string(found.bytes))};
  if (path == "sw.js") response.headers.push_back({"Content-Security-Policy", "default-src 'none'; connect-src 'self'; frame-ancestors 'none'"});
  if (!found.encoding.empty()) response.headers.push_back({"Content-Encoding", found.encoding});
  if (!found.etag.empty()) response.headers.push_back({"ETag", found.etag});
  return response;
}

Response see(std::string_view path) { return {303, {{"Location", std::string(path)}}, {}}; }  // only ever to a path that is written here

Response signed_in(const Call& call, const Accounts::Session& session) {
  Response response = see("/");
  response.headers.push_back({"Set-Cookie", set_cookie(call.tls, session.secret, std::chrono::hours(24 * 90))});
  return response;
}

}  // namespace

Result<Response> home_page(Call& call) {
  auto found = file(call, "index.html");
  if (found) return found;
  const Words& words = words_for(call);
  return small_page(call, 200, words.runs, words.no_reader);
}

// A one-time link is a form that posts itself: opening the address alone (a preview, a prefetch) uses nothing up.
Result<Response> login_page(Call& call) {
  if (const auto link = call.query.get("link"))
    return small_page(call, 200, words_for(call).sign_in,
                      fmt::format("<form method=\"post\" action=\"/login\">\n<input type=\"hidden\" name=\"link\" value=\"{}\">\n"
                                  "<p><button>{}</button></p>\n</form>\n<script src=\"/assets/form.js\"></script>",
                                  escape_html(*link), words_for(call).sign_in));
  auto found = file(call, "login.html");
  return found ? found : password_page(call, 200, "");
}

Result<Response> login_form(Call& call) {
  if (call.request.header("content-type").starts_with("application/json")) return sign_in(call);
  const Query form = Query::parse(call.request.body);
  const auto link = form.get("link");
  auto session = link ? call.accounts.sign_in_by_link(*link, call.address)
                      : call.accounts.sign_in(form.get("user").value_or(""), form.get("password").value_or(""), call.address);
  if (session) {
    if (call.credential.kind == Credential::Kind::session) TRY(call.accounts.sign_out(call.credential));
    return signed_in(call, *session);
  }
  const Refusal& no = session.error();
  const int status = no.error.code == Code::unauthorised ? 401 : no.error.code == Code::refused ? 429 : 503;
  const Words& words = words_for(call);
  Response response = password_page(call, status, status == 429 ? words.wait : status == 503 ? words.busy : link ? words.used : words.wrong);
  if (no.wait.count() > 0) response.headers.push_back({"Retry-After", std::to_string(no.wait.count())});
  return response;
}

Result<Response> logout_page(Call& call) {
  const std::string_view name = words_for(call).sign_out;
  return small_page(call, 200, name, fmt::format("<form method=\"post\" action=\"/logout\"><p><button>{}</button></p></form>", name));
}

Result<Response> logout_form(Call& call) {
  TRY(call.accounts.sign_out(call.credential));
  Response response = see("/login");
  response.headers.push_back({"Set-Cookie", clear_cookie(call.tls)});
  response.headers.push_back({"Clear-Site-Data", "\"cache\""});
  return response;
}

Result<Response> asset(Call& call) { return file(call, "assets/" + call.rest); }

Result<Response> root_asset(Call& call) { return file(call, call.route->path.substr(1)); }

}  // namespace weir::http

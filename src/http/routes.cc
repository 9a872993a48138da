// The one table of routes. What is here is all there is: docs/api.md and /api/openapi.json are made from it, tests/http walks it.
#include <array>

#include "http/handlers.h"

namespace weir::http {
namespace {

using enum Method;
constexpr auto open = Access::open, read = Access::read, write = Access::write, push = Access::push, oper = Access::operator_, local = Access::local;
constexpr auto nobody = Owner::nobody, caller = Owner::caller, source = Owner::source, item = Owner::item, token = Owner::token, user = Owner::user;
constexpr auto fast = Lane::fast, ingest = Lane::ingest, slow = Lane::slow, hash = Lane::hash;
constexpr std::size_t small = 64 << 10, large = 16 << 20, huge = 32 << 20;

constexpr std::array table = std::to_array<Route>({
    // ---- pages
    {get, "/", open, nobody, home_page, "the reader", "text/html"},
    {get, "/login", open, nobody, login_page, "the form for signing in; with a one-time link, the form that uses it", "text/html", fast, 0, "link?:string"},
    {post, "/login", open, nobody, login_form, "signs in and goes to /; a form or JSON", "303 200:User", hash, small,
     "user?:string password?:string link?:string"},
    {get, "/logout", open, nobody, logout_page, "the form for signing out", "text/html"},
    {post, "/logout", open, nobody, logout_form, "signs out and goes to /login", "303", fast, small},
    {get, "/assets/{rest}", open, nobody, asset, "the reader's files", "*/*"},
    {get, "/favicon.ico", open, nobody, root_asset, "icon", "image/x-icon"},
    {get, "/manifest.webmanifest", open, nobody, root_asset, "manifest for installing the reader", "application/manifest+json"},
    {get, "/sw.js", open, nobody, root_asset, "service worker", "text/javascript"},
    {get, "/robots.txt", open, nobody, root_asset, "for crawlers: nothing here", "text/plain"},
    {get, "/healthz", open, nobody, healthz, "200 when it can serve", "Health"},
    {get, "/api/openapi.json", open, nobody, openapi, "this table as OpenAPI 3.1", "Document"},

    // ---- sources
    {get, "/api/sources", read, caller, list_sources, "your sources with their counters", "Sources"},
    {post, "/api/sources", write, caller, add_source,
     "adds a feed by its address or a page's, fetched before the answer (≤ 15 s; 422 when there is none), and names the page's other feeds; with choose, a "
     "page that has several is answered by 200 and their list alone; or adds a source to push to",
     "201:Source 200:Choice", slow, small, "url?:string title?:string folder?:string push?:boolean choose?:boolean"},
    {get, "/api/sources/{source}", read, source, get_source, "one source", "Source"},
    {patch, "/api/sources/{source}", write, source, edit_source, "renames, moves, readdresses; keep_days: 0 is for ever, null your own setting again", "Source",
     fast, small, "title?:string folder?:string url?:string keep_days?:integer"},
    {delete_, "/api/sources/{source}", write, source, remove_source, "unsubscribes", "204", fast, small},
    {post, "/api/sources/{source}/items", push, source, push_items, "pushes items: a JSON array, a JSON Feed or JSON lines; answered after the commit",
     "Pushed", ingest, huge, "items:items"},
    {get, "/api/sources/{source}/icon", read, source, source_icon, "the source's icon", "image/*"},
    {post, "/api/sources/{source}/refresh", write, source, refresh_source, "fetches soon", "202:Asked", fast, small},
    {post, "/api/refresh", write, caller, refresh_all, "fetches all your sources soon", "202:Asked", fast, small},
    {post, "/api/import", write, caller, import_file, "subscribes to what an OPML file lists; kind=feed: the items of a feed file, once", "Imported", slow,
     large, "file:opml &kind?:string &name?:string"},
    {get, "/api/export", read, caller, export_opml, "your sources as OPML, without credentials", "text/x-opml"},

    // ---- items
    {get, "/api/items", read, caller, list_items, "a page of items", "Page", fast, 0,
     "order?:string state?:string source?:integer folder?:string q?:string limit?:integer cursor?:string bodies?:boolean"},
    {post, "/api/items/mark-read", write, caller, mark_read, "marks a source, a folder or all as read, up to a time", "Marked", fast, small,
     "source?:integer folder?:string all?:boolean before?:string"},
    {get, "/api/items/{item}", read, item, get_item, "one item", "Item"},
    {patch, "/api/items/{item}", write, item, patch_item, "sets read and starred", "State", fast, small, "read?:boolean starred?:boolean"},
    {get, "/api/items/{item}/why", read, item, why_item, "the score in its named parts, which sum to it, and the past items that carry them", "Why"},
    {post, "/api/signals", write, item, post_signals, "what you did with items: one signal or an array; idempotent by id", "Stored", fast, large,
     "item:integer kind:string at?:string dwell_s?:number id?:string signals?:many"},
    {get, "/api/flow", read, caller, flow, "what came in, by hour and source", "Flow"},
    {get, "/events", read, caller, events, "server-sent events; Last-Event-ID goes on where you were", "text/event-stream", fast, 0, "last_event_id?:integer"},

    // ---- you
    {post, "/api/session", open, nobody, sign_in, "signs in: sets the session cookie", "User", hash, small, "user?:string password?:string link?:string"},
    {delete_, "/api/session", read, caller, sign_out, "signs out: the session is dead", "204", fast, small},
    {get, "/api/me", read, caller, get_me, "who you are, your counters, what is known of your taste, how far the encoder is", "Me"},
    {put, "/api/me/password", write, caller, change_password, "changes the password; ends all sessions but a new one", "204", hash, small,
     "current?:string password:string"},
    {get, "/api/settings", read, caller, get_settings, "your settings", "Settings"},
    {put, "/api/settings", write, caller, put_settings,
     "replaces your settings; keep_days and keep_starred_days say how long items stay, the others are your own", "Settings", fast, small,
     "keep_days?:integer keep_starred_days?:integer"},
    {get, "/api/tokens", write, caller, list_tokens, "your tokens, without their secrets", "Tokens"},
    {post, "/api/tokens", write, caller, add_token, "a new token, shown once; write unless said; never with more rights than yours", "201:Token", fast, small,
     "scope?:string source?:integer name?:string user?:string"},
    {delete_, "/api/tokens/{id}", write, token, remove_token, "ends a token", "204", fast, small},

    // ---- the operator
    {get, "/api/users", oper, user, list_users, "all users", "Users"},
    {post, "/api/users", oper, user, add_user, "a new user", "201:User", hash, small, "name:string password?:string"},
    {delete_, "/api/users/{id}", oper, user, remove_user, "removes a user with everything that is theirs", "204", fast, small},
    {put, "/api/users/{id}/password", oper, user, set_user_password, "sets a password; ends the user's sessions", "204", hash, small, "password:string"},
    {post, "/api/users/{id}/link", oper, user, new_user_link, "a one-time sign-in link, good for a day", "201:Link", fast, small},
    {get, "/api/doctor", oper, nobody, doctor, "what can be wrong, and its remedy", "Report", slow, 0, "thorough?:boolean"},
    {post, "/api/backup", local, nobody, backup, "writes a consistent copy of the database to a file of this machine; by the unix socket only", "201:File",
     slow, small, "file:string"},
    {get, "/metrics", read, nobody, metrics, "Prometheus text: counts of the whole program, nobody's content", "text/plain"},
});

// ---- a route that is not complete, or lies about its own pattern, does not compile

constexpr bool has(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

constexpr bool changes(Method method) { return method == post || method == put || method == patch || method == delete_; }

constexpr bool complete(const Route& route) {
  if (route.method == Method::other || route.method == head || route.method == options) return false;
  if (!route.path.starts_with("/") || route.says.empty() || route.answers.empty() || route.handler == nullptr) return false;
  if (route.access == Access::unset || route.owner == Owner::unset) return false;
  // What the pattern names must be what is checked.
  if (has(route.path, "{source}") && route.owner != Owner::source) return false;
  if (has(route.path, "{item}") && route.owner != Owner::item) return false;
  if (has(route.path, "{id}") && route.owner != Owner::token && route.owner != Owner::user) return false;
  if (route.access == Access::push && route.owner != Owner::source) return false;
  if (route.owner == Owner::user && route.access != Access::operator_) return false;
  // Anybody may use what is nobody's; a reader's things have a reader. GET changes nothing, so it needs no right to write but for what only a writer may see.
  if (route.access == Access::open && route.owner != Owner::nobody) return false;
  if (changes(route.method) && route.access == Access::read && route.path != "/api/session") return false;
  if (!changes(route.method) && route.body != 0) return false;
  return true;
}

constexpr bool each_complete() {
  for (const Route& route : table)
    if (!complete(route)) return false;
  return true;
}

constexpr bool each_once() {
  for (std::size_t i = 0; i < table.size(); ++i)
    for (std::size_t j = 0; j < i; ++j)
      if (table[i].method == table[j].method && table[i].path == table[j].path) return false;
  return true;
}

static_assert(each_complete(), "a route lacks its access rule, owner check, handler, words or answers, or they do not fit its pattern");
static_assert(each_once(), "two routes for the same method and path");

}  // namespace

std::span<const Route> routes() { return table; }

}  // namespace weir::http

#include "base/text.h"
#include "engine/exits.h"
#include "http/cookies.h"
#include "http/handlers.h"

namespace weir::http {
namespace {

Response too_early(const Call& call, const Refusal& refusal) {
  const bool counted = refusal.error.code == Code::refused;
  return call.router.refuse(counted ? 429 : 503, counted ? "too_many_tries" : "unavailable", refusal.error.message, static_cast<int>(refusal.wait.count()));
}

bool covers(Scope have, Scope want) {
  if (have == Scope::operator_) return true;
  return have == Scope::write && want != Scope::operator_;
}

}  // namespace

Result<Response> get_me(Call& call) {
  const User user = TRY(call.accounts.user(call.who.user));
  json::object out = to_json(user);
  out["scope"] = to_string(call.who.scope);
  out["via"] = call.who.via;
  const Engine::Counts counts = TRY(call.engine.counts(user.id));
  out["counts"] = json::object{{"unread", counts.unread}, {"starred", counts.starred}, {"total", counts.total}};
  const Engine::Taste taste = TRY(call.engine.taste(user.id));
  out["taste"] = json::object{{"signals", taste.signals}, {"enough", taste.enough}, {"model", taste.model}};
  if (const auto encoding = TRY(call.engine.encoding())) out["encoding"] = json::object{{"encoded", encoding->encoded}, {"queued", encoding->queued}};
  return reply(call, out);
}

// Whoever holds a session only has to know the password too; the new session takes the place of all others.
Result<Response> change_password(Call& call) {
  const json::object body = TRY(object_from_body(call.request.body));
  const User user = TRY(call.accounts.user(call.who.user));
  const std::string_view fresh = find_string(body, "password").value_or("");
  if (user.has_password) {
    const auto checked = call.accounts.sign_in(user.name, find_string(body, "current").value_or(""), call.address);
    if (!checked && checked.error().error.code != Code::unauthorised) return too_early(call, checked.error());
    if (!checked) return fail(Code::forbidden, say("password_now_wrong", "the current password is wrong"), "current");
  }
  TRY(call.accounts.set_password(user.id, fresh));
  Response response = done();
  if (call.credential.kind == Credential::Kind::session) {
    const auto session = call.accounts.sign_in(user.name, fresh, call.address);
    if (!session) return too_early(call, session.error());
    response.headers.push_back({"Set-Cookie", set_cookie(call.tls, session->secret, std::chrono::hours(24 * 90))});
  }
  return response;
}

Result<Response> get_settings(Call& call) { return reply(call, TRY(call.engine.settings(call.who.user))); }

Result<Response> put_settings(Call& call) {
  TRY(call.engine.set_settings(call.who.user, TRY(object_from_body(call.request.body))));
  return get_settings(call);
}

// ---- tokens

Result<Response> list_tokens(Call& call) {
  json::array out;
  for (const Token& one : TRY(call.accounts.tokens(call.who.user))) out.push_back(to_json(one));
  return reply(call, json::object{{"tokens", std::move(out)}});
}

Result<Response> add_token(Call& call) {
  const json::object body = TRY(object_from_body(call.request.body));
  const auto scope = scope_named(find_string(body, "scope").value_or("write"));
  if (!scope) return fail(Code::invalid, "read, write, ingest, agent or operator is expected", "scope");
  if (!covers(call.who.scope, *scope)) return fail(Code::forbidden, "a token cannot make one that may do more", "scope");
  UserId owner = call.who.user;
  if (const auto name = find_string(body, "user")) {
    const auto named = call.accounts.user_named(*name);
    if (!call.who.may_operate() && (!named || named->id != owner)) return fail(Code::forbidden, "only the operator makes tokens for others", "user");
    if (!named) return std::unexpected(named.error());
    owner = named->id;
  }
  const auto made =
      TRY(call.accounts.new_token(owner, *scope, SourceId{find_int(body, "source").value_or(0)}, repair_utf8(find_string(body, "name").value_or(""))));
  json::object out = to_json(made.token);
  out["token"] = made.text;  // the one time it is seen
  return reply(call, out, 201);
}

Result<Response> remove_token(Call& call) {
  TRY(call.accounts.remove_token(call.who.user, call.id));
  return done();
}

// ---- users: for the operator

Result<Response> list_users(Call& call) {
  json::array out;
  for (const User& one : TRY(call.accounts.users())) out.push_back(to_json(one));
  return reply(call, json::object{{"users", std::move(out)}});
}

Result<Response> add_user(Call& call) {
  const json::object body = TRY(object_from_body(call.request.body));
  User user = TRY(call.accounts.add_user(find_string(body, "name").value_or("")));
  if (const auto password = find_string(body, "password")) {
    if (const Status set = call.accounts.set_password(user.id, *password); !set) {
      TRY(call.accounts.remove_user(user.id));  // half a user would be in the way of the next try
      return std::unexpected(set.error());
    }
    user = TRY(call.accounts.user(user.id));
  }
  return reply(call, to_json(user), 201);
}

Result<Response> remove_user(Call& call) {
  TRY(call.accounts.remove_user(UserId{call.id}));
  return done();
}

Result<Response> set_user_password(Call& call) {
  const json::object body = TRY(object_from_body(call.request.body));
  TRY(call.accounts.user(UserId{call.id}));
  TRY(call.accounts.set_password(UserId{call.id}, find_string(body, "password").value_or("")));
  return done();
}

Result<Response> new_user_link(Call& call) {
  TRY(call.accounts.user(UserId{call.id}));
  const std::string code = TRY(call.accounts.new_link(UserId{call.id}));
  return reply(call, json::object{{"path", "/login?link=" + code}}, 201);
}

// ---- signing in and out

Result<Response> sign_in(Call& call) {
  const auto parsed = object_from_body(call.request.body);
  if (!parsed) return fail(Code::unauthorised, R"(sign in with {"user","password"} or {"link"})");  // who are you comes before what did you send
  const json::object& body = *parsed;
  const auto link = find_string(body, "link");
  const std::string_view name = find_string(body, "user").value_or(find_string(body, "name").value_or(""));
  auto session =
      link ? call.accounts.sign_in_by_link(*link, call.address) : call.accounts.sign_in(name, find_string(body, "password").value_or(""), call.address);
  if (!session) {
    if (session.error().error.code == Code::refused || session.error().error.code == Code::unavailable) return too_early(call, session.error());
    return std::unexpected(session.error().error);
  }
  if (call.credential.kind == Credential::Kind::session) TRY(call.accounts.sign_out(call.credential));  // the one before: never two for one browser
  Response response = reply(call, to_json(TRY(call.accounts.user(session->proof.who.user))));
  response.headers.push_back({"Set-Cookie", set_cookie(call.tls, session->secret, std::chrono::hours(24 * 90))});
  return response;
}

Result<Response> sign_out(Call& call) {
  TRY(call.accounts.sign_out(call.credential));
  Response response = done();
  response.headers.push_back({"Set-Cookie", clear_cookie(call.tls)});
  return response;
}

}  // namespace weir::http

// Users and what they prove themselves with.
#include <fmt/format.h>

#include <algorithm>

#include "base/json.h"
#include "base/text.h"
#include "store/shared.h"

namespace weir::store {
namespace {

Blob blob(const Sha256& hash) { return {{reinterpret_cast<const char*>(hash.data()), hash.size()}}; }

bool equal(std::string_view stored, const Sha256& hash) {  // in constant time
  if (stored.size() != hash.size()) return false;
  unsigned char differ = 0;
  for (std::size_t i = 0; i < hash.size(); ++i) differ |= static_cast<unsigned char>(static_cast<unsigned char>(stored[i]) ^ hash[i]);
  return differ == 0;
}

#define USER_COLUMNS "id, name, operator, password<>'', created, settings"

User read_user(Query& row) {
  User user{.id = UserId{row.integer(0)},
            .name = row.string(1),
            .is_operator = row.integer(2) != 0,
            .has_password = row.integer(3) != 0,
            .created_at = row.time(4),
            .settings = {}};
  if (const auto settings = parse_json(row.text(5)); settings && settings->is_object()) user.settings = settings->get_object();
  return user;
}

#define TOKEN_COLUMNS "id, user, scope, source, name, created, last_used"

Token read_token(Query& row) {
  return {.id = row.integer(0),
          .user = UserId{row.integer(1)},
          .scope = scope_named(row.text(2)).value_or(Scope::read),
          .source = SourceId{row.integer(3)},
          .name = row.string(4),
          .created_at = row.time(5),
          .last_used_at = row.maybe_time(6)};
}

std::unexpected<Error> no_user(std::string where) { return fail(Code::not_found, "there is no such user", std::move(where), "weir user add NAME makes one"); }
std::string named(UserId id) { return fmt::format("user {}", id.value); }

}  // namespace

// ---- reading ------------------------------------------------------------------------------------------------------------------------------------

Result<std::vector<User>> Reader::users() {
  Query query(*TRY(db()), "SELECT " USER_COLUMNS " FROM users ORDER BY id");
  std::vector<User> out;
  while (TRY(query.next())) out.push_back(read_user(query));
  return out;
}

Result<User> Reader::user(UserId id) {
  Query query(*TRY(db()), "SELECT " USER_COLUMNS " FROM users WHERE id=?", id);
  if (!TRY(query.next())) return no_user(named(id));
  return read_user(query);
}

Result<User> Reader::user_named(std::string_view name) {
  Query query(*TRY(db()), "SELECT " USER_COLUMNS " FROM users WHERE name=?", name);
  if (!TRY(query.next())) return no_user(std::string(name));
  return read_user(query);
}

Result<std::string> Reader::password_hash(UserId id) {
  const auto hash = TRY(TRY(db())->text("SELECT password FROM users WHERE id=?", id));
  if (!hash) return no_user(named(id));
  return *hash;
}

Result<Session> Reader::session(const Sha256& token, Time now) {
  Query query(*TRY(db()), "SELECT user, created, seen, idle_until, ends FROM sessions WHERE token=?", blob(token));
  if (TRY(query.next()) && query.time(3) > now && query.time(4) > now)
    return Session{.token = token,
                   .user = UserId{query.integer(0)},
                   .created_at = query.time(1),
                   .seen_at = query.time(2),
                   .idle_until = query.time(3),
                   .ends_at = query.time(4)};
  return fail(Code::unauthorised, "the session has ended", {}, "sign in again");
}

Result<Token> Reader::token(std::int64_t id, const Sha256& secret) {
  Query query(*TRY(db()), "SELECT " TOKEN_COLUMNS ", secret FROM tokens WHERE id=?", id);
  if (!TRY(query.next()) || !equal(query.blob(7), secret)) return fail(Code::unauthorised, "the token is not known", {}, "weir token new makes one");
  return read_token(query);
}

Result<std::vector<Token>> Reader::tokens(UserId user) {
  Query query(*TRY(db()), "SELECT " TOKEN_COLUMNS " FROM tokens WHERE user=? ORDER BY id", user);
  std::vector<Token> out;
  while (TRY(query.next())) out.push_back(read_token(query));
  return out;
}

// ---- writing ------------------------------------------------------------------------------------------------------------------------------------

Result<UserId> Writer::add_user(std::string_view name, Time now) {
  const bool plain = !name.empty() && name.size() <= 64 && is_valid_utf8(name) && trim(name) == name &&
                     std::ranges::none_of(name, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
  if (!plain)
    return fail(Code::invalid, say("user_name_plain", "a user's name has 1 to 64 bytes, no control characters and no spaces around it"), std::string(name));
  if (TRY(db_->integer("SELECT id FROM users WHERE name=?", name)))
    return fail(Code::exists, say("user_exists", "there is a user of this name"), std::string(name));
  const bool first = !TRY(db_->integer("SELECT id FROM users LIMIT 1"));
  return UserId{TRY(db_->integer("INSERT INTO users(name, operator, created) VALUES(?, ?, ?) RETURNING id", name, first, now)).value_or(0)};
}

Status Writer::set_password_hash(UserId user, std::string_view hash) {
  TRY(db_->run("UPDATE users SET password=?2 WHERE id=?1", user, hash));
  if (db_->changes() == 0) return no_user(named(user));
  return end_sessions(user);
}

Status Writer::set_settings(UserId user, const json::object& settings) {
  TRY(db_->run("UPDATE users SET settings=?2 WHERE id=?1", user, json::serialize(settings)));
  if (db_->changes() == 0) return no_user(named(user));
  return {};
}

Status Writer::remove_user(UserId user) {
  const auto is_operator = TRY(db_->integer("SELECT operator FROM users WHERE id=?", user));
  if (!is_operator) return no_user(named(user));
  if (*is_operator != 0 && !TRY(db_->integer("SELECT 1 FROM users WHERE operator AND id<>? LIMIT 1", user)))
    return fail(Code::refused, "the last operator stays", named(user), "make another operator first");
  for (const char* sql : {"DELETE FROM users WHERE id=?", "DELETE FROM links WHERE user=?", "DELETE FROM sessions WHERE user=?",
                          "DELETE FROM tokens WHERE user=?", "DELETE FROM subscriptions WHERE user=?", "DELETE FROM box WHERE user=?",
                          "DELETE FROM starred WHERE user=?", "DELETE FROM left_stars WHERE user=?", "DELETE FROM signals WHERE user=?"})
    TRY(db_->run(sql, user));
  return stop_unread_sources(*db_);
}

Status Writer::add_sign_in_link(UserId user, const Sha256& token, Time until) {
  if (!TRY(db_->integer("SELECT 1 FROM users WHERE id=?", user))) return no_user(named(user));
  return db_->run("INSERT OR REPLACE INTO links(token, user, until) VALUES(?, ?, ?)", blob(token), user, until);
}

Result<UserId> Writer::use_sign_in_link(const Sha256& token, Time now) {
  const auto user = TRY(db_->integer("SELECT user FROM links WHERE token=? AND until>?", blob(token), now));
  TRY(db_->run("DELETE FROM links WHERE token=? OR until<=?", blob(token), now));
  if (!user) return fail(Code::unauthorised, "the link was used or is too old", {}, "weir user link prints a new one");
  return UserId{*user};
}

Status Writer::add_session(const Session& session) {
  TRY(db_->run("DELETE FROM sessions WHERE user=?1 AND (idle_until<=?2 OR ends<=?2)", session.user, session.created_at));
  return db_->run("INSERT INTO sessions(token, user, created, seen, idle_until, ends) VALUES(?, ?, ?, ?, ?, ?)", blob(session.token), session.user,
                  session.created_at, session.seen_at, session.idle_until, session.ends_at);
}

Status Writer::touch_session(const Sha256& token, Time seen_at, Time idle_until) {
  return db_->run("UPDATE sessions SET seen=?2, idle_until=?3 WHERE token=?1", blob(token), seen_at, idle_until);
}

Status Writer::end_session(const Sha256& token) { return db_->run("DELETE FROM sessions WHERE token=?", blob(token)); }
Status Writer::end_sessions(UserId user) { return db_->run("DELETE FROM sessions WHERE user=?", user); }

Result<std::int64_t> Writer::add_token(const Token& token, const Sha256& secret) {
  if (!TRY(db_->integer("SELECT 1 FROM users WHERE id=?", token.user))) return no_user(named(token.user));
  return TRY(db_->integer("INSERT INTO tokens(user, scope, source, name, secret, created) VALUES(?, ?, ?, ?, ?, ?) RETURNING id", token.user,
                          to_string(token.scope), token.source, token.name, blob(secret), token.created_at))
      .value_or(0);
}

Status Writer::touch_token(std::int64_t id, Time now) { return db_->run("UPDATE tokens SET last_used=?2 WHERE id=?1", id, now); }

Status Writer::revoke_token(UserId user, std::int64_t id) {
  TRY(db_->run("DELETE FROM tokens WHERE user=? AND id=?", user, id));
  if (db_->changes() == 0) return fail(Code::not_found, "there is no such token", fmt::format("token {}", id));
  return {};
}

}  // namespace weir::store

// People and programs that read: users, and what they prove themselves with. A Principal is who asks, worked out once at the door.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/id.h"
#include "base/json.h"
#include "base/time.h"

namespace weir {

enum class Scope { read, write, ingest, agent, operator_ };  // operator ⊃ write ⊃ read; ingest posts to one source only; agent reads

std::string_view to_string(Scope scope);  // "read" … "operator"
std::optional<Scope> scope_named(std::string_view text);

struct User {
  UserId id;
  std::string name;
  bool is_operator = false;   // the first user is
  bool has_password = false;  // the hash itself stays in store
  Time created_at{};
  json::object settings;  // the reader's own: keep days, order, theme, language, keys
};

struct Token {
  std::int64_t id = 0;
  UserId user;
  Scope scope = Scope::read;
  SourceId source;   // of an ingest token
  std::string name;  // for people
  Time created_at{};
  std::optional<Time> last_used_at;
};

struct Principal {
  UserId user;
  Scope scope = Scope::read;
  SourceId source;  // of an ingest token
  std::string via;  // "session", "token", "socket": for the log

  // operator ⊃ write ⊃ read; agent may read; ingest may do nothing but post to its source.
  bool may_read() const { return scope != Scope::ingest; }
  bool may_write() const { return scope == Scope::write || scope == Scope::operator_; }
  bool may_operate() const { return scope == Scope::operator_; }
  bool may_push(SourceId to) const { return may_write() || (scope == Scope::ingest && source == to); }
};

}  // namespace weir

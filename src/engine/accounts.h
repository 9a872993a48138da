// Who may come in: users with passwords (argon2id), one-time sign-in links, sessions, and tokens with scopes. A secret is made here, given out once and
// kept as its SHA-256 only (256 random bits need no slow hash); a password is kept as its argon2id hash.
//
// Threads: any. At most two password hashes run at once; more wait a little, then are refused. Nothing is cached: what is ended is ended with the
// commit that says so. Cost: session(), token(), holds() one indexed read; a password about 25 ms and 19 MiB.
#pragma once

#include <chrono>
#include <cstdint>
#include <expected>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/id.h"
#include "base/json.h"
#include "base/result.h"
#include "base/time.h"
#include "types/reader.h"

namespace weir {

namespace store {
class Store;
}

// What a Principal was proved with, so that it can be asked again whether it still holds (streams) and be ended (sign-out).
struct Credential {
  enum class Kind { none, session, token, socket } kind = Kind::none;
  std::string key;  // of a session or token, as it is kept: not the secret
};

struct Proof {
  Principal who;
  Credential credential;
};

// Why nobody got in: unauthorised, refused (too many tries: stay away for `wait`) or unavailable (busy: try again after `wait`).
struct Refusal {
  Error error;
  std::chrono::seconds wait{0};
};

class Accounts {
 public:
  Accounts(store::Store& store, const Clock& clock);
  ~Accounts();

  // Users. A name has 1 … 64 characters, none of them a control character, ":" or "/"; the first user is the operator.
  Result<User> add_user(std::string_view name);
  Result<std::vector<User>> users();
  Result<User> user(UserId id);
  Result<User> user_named(std::string_view name);
  Result<User> first_user();                                  // not_found when there is none
  static Status check_password(std::string_view password);    // invalid: 8 … 1,024 bytes
  Status set_password(UserId id, std::string_view password);  // ends the sessions of that user
  Status remove_user(UserId id);                              // with everything that is theirs; the operator cannot be removed

  // Signing in. `address` is the client's: tries are counted by it and by the name. `secret` is what the cookie holds.
  struct Session {
    Proof proof;
    std::string secret;
    Time ends_at;
  };
  std::expected<Session, Refusal> sign_in(std::string_view name, std::string_view password, std::string_view address);
  Result<std::string> new_link(UserId id);  // a code for one sign-in, good for 24 h
  std::expected<Session, Refusal> sign_in_by_link(std::string_view code, std::string_view address);
  Result<Proof> session(std::string_view secret);  // unauthorised; idle 14 days or 90 days old: ended
  Status sign_out(const Credential& credential);
  Status sign_out_everywhere(UserId id);

  // Tokens: "weir_<id>_<secret><crc>", id decimal, secret 43 and crc 6 characters of base62 (CRC-32 of what stands before it).
  struct NewToken {
    Token token;
    std::string text;
  };
  Result<NewToken> new_token(UserId user, Scope scope, SourceId source, std::string_view name);
  Result<std::vector<Token>> tokens(UserId user);
  Status remove_token(UserId user, std::int64_t id);
  Result<Proof> token(std::string_view text);  // unauthorised

  // DIR/weir.sock and this process: the operator. not_found when there is no user.
  Result<Proof> local();
  // Does it still hold?
  bool holds(const Credential& credential);
  // Called after something was ended, from the thread that did it: streams are looked at again. One caller only; empty: nobody.
  void on_end(std::function<void()> call);

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace weir

#include "engine/accounts.h"

#include <sodium.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <map>
#include <mutex>
#include <semaphore>

#include "base/hash.h"
#include "base/log.h"
#include "base/text.h"
#include "store/store.h"

namespace weir {
namespace {

using std::chrono::hours;
using std::chrono::seconds;

constexpr auto idle_limit = hours(24 * 14), age_limit = hours(24 * 90), link_life = hours(24);
constexpr auto touch_every = hours(1);  // how stale "last used" may be: reading must not write each time
constexpr std::size_t shortest_password = 8, longest_password = 1024;

// argon2id at the floor of OWASP's advice: a machine with two slow cores and little memory still serves while two people sign in.
constexpr unsigned long long hash_passes = 2;
constexpr std::size_t hash_memory = std::size_t{19} << 20;
// A hash of nothing with the same cost, for names that do not exist: the time to say no tells nobody which names do.
constexpr const char* dummy_hash = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

constexpr std::string_view base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
constexpr std::size_t secret_length = 43, crc_length = 6;  // 43 · log2(62) = 256 bits
constexpr std::string_view token_prefix = "weir_";

std::string new_secret() {
  std::string out;
  while (out.size() < secret_length)
    for (const char c : random_bytes(64)) {
      const auto byte = static_cast<unsigned char>(c);
      if (byte < 62 * 4 && out.size() < secret_length) out += base62[byte % 62];  // the rest would favour some characters
    }
  return out;
}

std::string crc_text(std::string_view text) {
  std::uint32_t crc = ~std::uint32_t{0};
  for (const char c : text) {
    crc ^= static_cast<unsigned char>(c);
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ (0xEDB88320U & (~(crc & 1) + 1));
  }
  crc = ~crc;
  std::string out(crc_length, '0');
  for (auto at = out.rbegin(); at != out.rend(); ++at, crc /= 62) *at = base62[crc % 62];
  return out;
}

std::string raw(const Sha256& hash) { return {hash.begin(), hash.end()}; }

struct TokenText {
  std::int64_t id = 0;
  Sha256 secret{};
};

std::optional<TokenText> parse_token(std::string_view text) {
  if (!text.starts_with(token_prefix)) return std::nullopt;
  const auto mark = text.find('_', token_prefix.size());
  if (mark == std::string_view::npos || text.size() != mark + 1 + secret_length + crc_length) return std::nullopt;
  TokenText token;
  const char* end = text.data() + mark;
  const auto [last, error] = std::from_chars(text.data() + token_prefix.size(), end, token.id);
  if (error != std::errc() || last != end || token.id <= 0) return std::nullopt;
  const std::size_t body = text.size() - crc_length;
  if (crc_text(text.substr(0, body)) != text.substr(body)) return std::nullopt;
  token.secret = sha256(text.substr(mark + 1, secret_length));
  return token;
}

// Tries by key: each has a bucket of `burst` that fills by one every `refill`.
class Tries {
 public:
  // Nothing when one may try now; else how long to wait.
  std::optional<seconds> take(const std::string& key, double burst, seconds refill, std::chrono::steady_clock::time_point now) {
    const std::scoped_lock lock(mutex_);
    if (buckets_.size() >= max_buckets) forget_full(now);
    auto& bucket = buckets_.try_emplace(key, Bucket{burst, burst, refill, now}).first->second;
    bucket.left = bucket.level(now);
    bucket.at = now;
    if (bucket.left >= 1) {
      bucket.left -= 1;
      return std::nullopt;
    }
    return std::max(seconds(1), seconds(static_cast<std::int64_t>((1 - bucket.left) * static_cast<double>(refill.count())) + 1));
  }

  // One that succeeded does not count.
  void give_back(const std::string& key) {
    const std::scoped_lock lock(mutex_);
    if (const auto found = buckets_.find(key); found != buckets_.end()) found->second.left = std::min(found->second.burst, found->second.left + 1);
  }
  void forget(const std::string& key) {
    const std::scoped_lock lock(mutex_);
    buckets_.erase(key);
  }

 private:
  struct Bucket {
    double left, burst;
    seconds refill;
    std::chrono::steady_clock::time_point at;
    double level(std::chrono::steady_clock::time_point now) const { return std::min(burst, left + std::chrono::duration<double>(now - at) / refill); }
  };
  static constexpr std::size_t max_buckets = 20'000;

  void forget_full(std::chrono::steady_clock::time_point now) {
    std::erase_if(buckets_, [&](const auto& entry) { return entry.second.level(now) >= entry.second.burst; });
    if (buckets_.size() >= max_buckets) buckets_.clear();  // a flood: better to forget than to grow
  }

  std::mutex mutex_;
  std::map<std::string, Bucket> buckets_;
};

// An IPv6 customer owns a /64: tries are counted by its first four groups.
std::string address_key(std::string_view address) {
  if (address.find(':') == std::string_view::npos) return std::string(address);
  std::size_t groups = 0, at = 0;
  while (at < address.size() && groups < 4) groups += address[at++] == ':';
  return std::string(address.substr(0, at));
}

Refusal refusal(Code code, std::string message, seconds wait = {}) { return {Error{code, std::move(message), {}, {}}, wait}; }

Error wrong() { return Error{Code::unauthorised, "the name or the password is wrong", {}, {}}; }

}  // namespace

struct Accounts::Parts {
  store::Store& store;
  const Clock& clock;
  std::counting_semaphore<2> hashing{2};
  Tries by_address, by_name;  // apart, so that a flood of addresses makes no name's tries forgotten
  std::mutex mutex;
  std::function<void()> on_end;

  Parts(store::Store& s, const Clock& c) : store(s), clock(c) {}

  void ended() {
    std::function<void()> call;
    {
      const std::scoped_lock lock(mutex);
      call = on_end;
    }
    if (call) call();
  }

  Result<Proof> proof(UserId id, Credential credential, std::string via) {
    const User user = TRY(store.reader()->user(id));
    return Proof{{id, user.is_operator ? Scope::operator_ : Scope::write, {}, std::move(via)}, std::move(credential)};
  }

  std::expected<Session, Refusal> open_session(UserId user) {
    const Time now = clock.now();
    Session session{{}, new_secret(), now + age_limit};
    const Sha256 hash = sha256(session.secret);
    const auto stored = store.write([&](store::Writer& writer) { return writer.add_session({hash, user, now, now, now + idle_limit, session.ends_at}); });
    if (!stored) return std::unexpected(Refusal{stored.error(), {}});
    auto who = proof(user, {Credential::Kind::session, raw(hash)}, "session");
    if (!who) return std::unexpected(Refusal{who.error(), {}});
    session.proof = std::move(*who);
    return session;
  }

  // One try less for this address; how long to wait when there is none left.
  std::optional<seconds> try_from(std::string_view address) { return by_address.take(address_key(address), 20, seconds(3), clock.steady()); }
};

Accounts::Accounts(store::Store& store, const Clock& clock) : parts_(std::make_unique<Parts>(store, clock)) { CHECK(sodium_init() >= 0); }
Accounts::~Accounts() = default;

// ---- users

Result<User> Accounts::add_user(std::string_view name) {
  const bool allowed = !name.empty() && name.size() <= 64 && is_valid_utf8(name) && trim(name) == name &&
                       std::ranges::none_of(name, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f || c == ':' || c == '/'; });
  if (!allowed)
    return fail(Code::invalid, say("user_name_rule", "a user's name has 1 to 64 bytes, without control characters, \":\", \"/\" and spaces around it"), "name");
  const UserId id = TRY(parts_->store.write([&](store::Writer& writer) { return writer.add_user(name, parts_->clock.now()); }));
  return user(id);
}

Result<std::vector<User>> Accounts::users() { return parts_->store.reader()->users(); }
Result<User> Accounts::user(UserId id) { return parts_->store.reader()->user(id); }
Result<User> Accounts::user_named(std::string_view name) { return parts_->store.reader()->user_named(name); }

Result<User> Accounts::first_user() {
  const std::vector<User> all = TRY(users());
  const auto first = std::ranges::min_element(all, {}, [](const User& user) { return user.id.value; });
  if (first == all.end()) return fail(Code::not_found, "there is no user yet", {}, "weir user add NAME");
  return *first;
}

Status Accounts::check_password(std::string_view password) {
  if (password.size() < shortest_password || password.size() > longest_password)
    return fail(Code::invalid, say("password_length", "a password has {least} to {most} bytes", {{"least", shortest_password}, {"most", longest_password}}),
                "password", "choose another");
  return {};
}

Status Accounts::set_password(UserId id, std::string_view password) {
  TRY(check_password(password));
  std::array<char, crypto_pwhash_STRBYTES> hash{};
  {
    if (!parts_->hashing.try_acquire_for(seconds(5))) return fail(Code::unavailable, say("passwords_busy", "too many passwords are being checked"));
    const int failed = crypto_pwhash_str_alg(hash.data(), password.data(), password.size(), hash_passes, hash_memory, crypto_pwhash_ALG_ARGON2ID13);
    parts_->hashing.release();
    if (failed) return fail(Code::unavailable, "no memory to hash a password", {}, "free 19 MiB");
  }
  TRY(parts_->store.write([&](store::Writer& writer) { return writer.set_password_hash(id, hash.data()); }));
  parts_->ended();
  return {};
}

Status Accounts::remove_user(UserId id) {
  TRY(parts_->store.write([&](store::Writer& writer) { return writer.remove_user(id); }));
  parts_->ended();
  return {};
}

// ---- signing in

std::expected<Accounts::Session, Refusal> Accounts::sign_in(std::string_view name, std::string_view password, std::string_view address) {
  const std::string name_key(name.substr(0, 64));
  auto wait = parts_->try_from(address);
  if (!wait) wait = parts_->by_name.take(name_key, 10, seconds(10), parts_->clock.steady());
  if (wait) return std::unexpected(refusal(Code::refused, "too many tries to sign in", *wait));
  if (password.size() > longest_password) return std::unexpected(Refusal{wrong(), {}});

  const auto known = user_named(name);
  if (!known && known.error().code != Code::not_found) return std::unexpected(Refusal{known.error(), {}});
  std::string hash = known ? parts_->store.reader()->password_hash(known->id).value_or("") : "";
  const bool has_password = !hash.empty();
  if (!has_password) hash = dummy_hash;

  if (!parts_->hashing.try_acquire_for(seconds(2))) return std::unexpected(refusal(Code::unavailable, "too many passwords are being checked", seconds(2)));
  const bool right = crypto_pwhash_str_verify(hash.c_str(), password.data(), password.size()) == 0;
  parts_->hashing.release();
  if (!right || !has_password) return std::unexpected(Refusal{wrong(), {}});
  parts_->by_name.forget(name_key);
  parts_->by_address.give_back(address_key(address));
  return parts_->open_session(known->id);
}

Result<std::string> Accounts::new_link(UserId id) {
  std::string code = new_secret();
  TRY(parts_->store.write([&](store::Writer& writer) { return writer.add_sign_in_link(id, sha256(code), parts_->clock.now() + link_life); }));
  return code;
}

std::expected<Accounts::Session, Refusal> Accounts::sign_in_by_link(std::string_view code, std::string_view address) {
  if (const auto wait = parts_->try_from(address)) return std::unexpected(refusal(Code::refused, "too many tries to sign in", *wait));
  const auto id = parts_->store.write([&](store::Writer& writer) { return writer.use_sign_in_link(sha256(code), parts_->clock.now()); });
  if (!id && id.error().code != Code::unauthorised) return std::unexpected(Refusal{id.error(), {}});
  if (!id) return std::unexpected(Refusal{{Code::unauthorised, "this sign-in link was used already, or its day is over", {}, "weir user link"}, {}});
  parts_->by_address.give_back(address_key(address));
  return parts_->open_session(*id);
}

Result<Proof> Accounts::session(std::string_view secret) {
  if (secret.size() != secret_length) return fail(Code::unauthorised, "the session has ended");
  const Time now = parts_->clock.now();
  const Sha256 hash = sha256(secret);
  const store::Session session = TRY(parts_->store.reader()->session(hash, now));
  if (now - session.seen_at > touch_every)
    parts_->store.submit([=](store::Writer& writer) { return writer.touch_session(hash, now, now + idle_limit); }, [](const Status&) {});
  return parts_->proof(session.user, {Credential::Kind::session, raw(hash)}, "session");
}

Status Accounts::sign_out(const Credential& credential) {
  if (credential.kind != Credential::Kind::session) return {};
  Sha256 hash{};
  std::ranges::copy(credential.key, hash.begin());
  TRY(parts_->store.write([&](store::Writer& writer) { return writer.end_session(hash); }));
  parts_->ended();
  return {};
}

Status Accounts::sign_out_everywhere(UserId id) {
  TRY(parts_->store.write([&](store::Writer& writer) { return writer.end_sessions(id); }));
  parts_->ended();
  return {};
}

// ---- tokens

Result<Accounts::NewToken> Accounts::new_token(UserId id, Scope scope, SourceId source, std::string_view name) {
  const User owner = TRY(user(id));
  if (scope == Scope::operator_ && !owner.is_operator)
    return fail(Code::forbidden, say("token_scope_operator", "only the operator has tokens with this scope"), "scope");
  if (name.size() > 200 || !is_valid_utf8(name)) return fail(Code::invalid, say("token_name_long", "a token's name has at most 200 bytes"), "name");
  if (scope == Scope::ingest) {
    const auto owner_of = TRY(parts_->store.reader()->owner_of(source));
    if (owner_of != id) return fail(Code::not_found, say("no_push_source", "no push source of this user has that id"), "source");
  } else if (source) {
    return fail(Code::invalid, "only an ingest token names a source", "source");
  }
  const std::string secret = new_secret();
  Token token{0, id, scope, source, std::string(name), parts_->clock.now(), {}};
  token.id = TRY(parts_->store.write([&](store::Writer& writer) { return writer.add_token(token, sha256(secret)); }));
  std::string text = std::string(token_prefix) + std::to_string(token.id) + "_" + secret;
  text += crc_text(text);
  return NewToken{std::move(token), std::move(text)};
}

Result<std::vector<Token>> Accounts::tokens(UserId id) { return parts_->store.reader()->tokens(id); }

Status Accounts::remove_token(UserId user, std::int64_t id) {
  TRY(parts_->store.write([&](store::Writer& writer) { return writer.revoke_token(user, id); }));
  parts_->ended();
  return {};
}

Result<Proof> Accounts::token(std::string_view text) {
  const auto parsed = parse_token(text);
  if (!parsed) return fail(Code::unauthorised, "this is not a token of Weir");
  const Token token = TRY(parts_->store.reader()->token(parsed->id, parsed->secret));
  const Time now = parts_->clock.now();
  if (!token.last_used_at || now - *token.last_used_at > touch_every)
    parts_->store.submit([id = token.id, now](store::Writer& writer) { return writer.touch_token(id, now); }, [](const Status&) {});
  return Proof{{token.user, token.scope, token.source, "token"}, {Credential::Kind::token, std::to_string(token.id) + ":" + raw(parsed->secret)}};
}

// ---- who is there already

Result<Proof> Accounts::local() {
  const User first = TRY(first_user());
  return Proof{{first.id, Scope::operator_, {}, "socket"}, {Credential::Kind::socket, {}}};
}

bool Accounts::holds(const Credential& credential) {
  Sha256 hash{};
  if (credential.kind == Credential::Kind::session && credential.key.size() == hash.size()) {
    std::ranges::copy(credential.key, hash.begin());
    return parts_->store.reader()->session(hash, parts_->clock.now()).has_value();
  }
  if (credential.kind == Credential::Kind::token && credential.key.size() > hash.size()) {
    std::ranges::copy(credential.key.substr(credential.key.size() - hash.size()), hash.begin());
    std::int64_t id = 0;
    std::from_chars(credential.key.data(), credential.key.data() + credential.key.size(), id);
    return parts_->store.reader()->token(id, hash).has_value();
  }
  return credential.kind == Credential::Kind::socket;
}

void Accounts::on_end(std::function<void()> call) {
  const std::scoped_lock lock(parts_->mutex);
  parts_->on_end = std::move(call);
}

}  // namespace weir

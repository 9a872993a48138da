// The session cookie: its name, what sets and clears it. `__Host-` (Secure, this host only) behind TLS; a plain one on plain HTTP, where a browser would
// refuse the other.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

namespace weir::http {

constexpr std::string_view session_cookie(bool tls) { return tls ? "__Host-weir" : "weir"; }

inline std::string set_cookie(bool tls, std::string_view secret, std::chrono::seconds life) {
  return std::string(session_cookie(tls)) + "=" + std::string(secret) + "; Path=/; Max-Age=" + std::to_string(life.count()) + "; HttpOnly; SameSite=Lax" +
         (tls ? "; Secure" : "");
}

inline std::string clear_cookie(bool tls) { return set_cookie(tls, "", std::chrono::seconds(0)); }

}  // namespace weir::http

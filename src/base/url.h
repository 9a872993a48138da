// URLs as browsers read them: the WHATWG URL Standard (url.spec.whatwg.org), by lexbor. Any thread; every thread keeps a parser of its own (a few kB).
// A URL longer than max_url bytes is refused. Cost: about 20 ns for an http URL that is already in its normal form, about 1 µs otherwise.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace weir {

inline constexpr std::size_t max_url = 64 * 1024;

// The parts as the standard has them: lower-case scheme without ":", host in ASCII (an IPv6 address in brackets), path with its leading "/", query
// without "?", fragment without "#"; percent-encoding as it stands in the normal form. An empty query or fragment counts as absent.
struct Url {
  std::string scheme, username, password, host;
  std::optional<std::uint16_t> port;  // absent when it is the scheme's own
  std::string path, query, fragment;
  bool authority = false;  // "//" is written: not for "mailto:a@b"

  bool operator==(const Url&) const = default;
};

// Errors: malformed, too_large. `base`, when it is not empty, is an absolute URL that `text` is read against.
Result<Url> parse_url(std::string_view text, std::string_view base = {});
std::string to_string(const Url& url);
// The port to dial: the one that is written, else 80, 443, 21 by scheme; 0 for others.
std::uint16_t port_of(const Url& url);

// `relative` read against `base`, in normal form; empty when it cannot be. Without a base only an absolute URL can be read. A thread remembers the
// last base it parsed, so the URLs of one document cost no parsing of it again.
std::string resolve(std::string_view relative, std::string_view base = {});

// An absolute http or https URL.
bool is_http(std::string_view text);

// What may be shown, logged, exported: no user and password, and the values of query and fragment keys that look like secrets (token, key, apikey,
// api_key, auth, secret, password, pass, pwd, sig, signature, access_token, hash, …; see url.cc) are "REDACTED". Works on text that does not parse too.
std::string without_credentials(std::string_view url);

// For identity: normal form, without fragment, without an empty query, without parameters that only follow the reader (utm_*, fbclid, gclid, …).
// What does not parse stays as it is.
std::string canonical_url(std::string_view url);

}  // namespace weir

// The one place where Weir opens a socket outward. A connection is allowed by the address that is really dialled, after DNS and on every hop: what a
// URL or a name looks like decides nothing, so other spellings of an address, redirects and names that change their mind are all the same here.
//
// Allowed is the public internet: IPv4 outside the special-purpose registries, IPv6 inside 2000::/3 without what carries an IPv4 address or is reserved
// (RFC 6890 and successors). The operator adds private ranges by CIDR. Some ports are never dialled: services that do not speak HTTP and could be
// driven by it. Immutable after allowing(); any thread.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

struct sockaddr;

namespace weir {

// An IPv6 address, or an IPv4 one in its mapped form ::ffff:a.b.c.d.
struct NetAddress {
  std::array<std::uint8_t, 16> bytes{};
  auto operator<=>(const NetAddress&) const = default;
  bool is_v4() const;
  std::string text() const;
  static std::optional<NetAddress> parse(std::string_view text);   // "10.0.0.1", "fe80::1"; no names, no zones
  static std::optional<NetAddress> from(const sockaddr& address);  // nothing for a family that is not IP
};

struct NetRange {
  NetAddress base;
  unsigned bits = 128;  // of the 128; an IPv4 prefix of n is 96 + n
  bool contains(const NetAddress& address) const;
  std::string text() const;
  // "10.0.0.0/8", "fd00::/8", "127.0.0.1" (one address). Errors: invalid, with what was expected.
  static Result<NetRange> parse(std::string_view text);
};

// Is it on the public internet? Pure; the whole table is in dialer.cc.
bool is_public(const NetAddress& address);
// Is it a port that a fetch may go to? 80, 443 and anything that is not on the deny-list.
bool is_permitted_port(std::uint16_t port);

class Dialer {
 public:
  Dialer() = default;  // the public internet only
  // allow_net: CIDRs beyond it (--allow-net); logged, one line each. Errors: invalid.
  static Result<Dialer> allowing(std::span<const std::string> allow_net);

  bool permits(const NetAddress& address) const;

  enum class Refusal { none, family, address, port, descriptors, system };
  // A new non-blocking, close-on-exec socket for exactly this address, or −1 with the reason. Does not connect.
  int open(const sockaddr& address, int type, int protocol, Refusal& why) const;

 private:
  std::vector<NetRange> allowed_;
};

}  // namespace weir

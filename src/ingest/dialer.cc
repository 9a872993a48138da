#include "ingest/dialer.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>

#include "base/log.h"

namespace weir {

namespace {

struct Block {
  const char* prefix;
  const char* what;
};

// IANA's IPv4 special-purpose registry, with multicast and the reserved top: nothing in here is a public server.
constexpr Block kClosed4[] = {
    {"0.0.0.0/8", "this network"},
    {"10.0.0.0/8", "private"},
    {"100.64.0.0/10", "carrier NAT"},
    {"127.0.0.0/8", "loopback"},
    {"169.254.0.0/16", "link-local, cloud metadata"},
    {"172.16.0.0/12", "private"},
    {"192.0.0.0/24", "protocol assignments"},
    {"192.0.2.0/24", "documentation"},
    {"192.88.99.0/24", "6to4 relays"},
    {"192.168.0.0/16", "private"},
    {"198.18.0.0/15", "benchmarking"},
    {"198.51.100.0/24", "documentation"},
    {"203.0.113.0/24", "documentation"},
    {"224.0.0.0/4", "multicast"},
    {"240.0.0.0/4", "reserved, broadcast"},
};

// IPv6 is closed but for 2000::/3, so ::, ::1, ::/96, 64:ff9b::/96, 64:ff9b:1::/48, fc00::/7, fe80::/10, ff00::/8 need no row; these are holes in it.
constexpr Block kOpen6 = {"2000::/3", "global unicast"};
constexpr Block kClosed6[] = {
    {"2001::/23", "protocol assignments: Teredo, ORCHID, benchmarking"},
    {"2001:db8::/32", "documentation"},
    {"2002::/16", "6to4: carries an IPv4 address"},
    {"3fff::/20", "documentation"},
};

struct Table {
  std::vector<NetRange> closed;
  NetRange open6;
};

const Table& table() {
  static const Table built = [] {
    Table out;
    const auto range = [](const Block& block) {
      const Result<NetRange> parsed = NetRange::parse(block.prefix);
      CHECK(parsed.has_value());
      return *parsed;
    };
    for (const Block& block : kClosed4) out.closed.push_back(range(block));
    for (const Block& block : kClosed6) out.closed.push_back(range(block));
    out.open6 = range(kOpen6);
    return out;
  }();
  return built;
}

// Fetch's "bad ports" (fetch.spec.whatwg.org), then databases, buses and control planes that a request line could drive or wake. Sorted.
constexpr std::uint16_t kClosedPorts[] = {0,    1,    7,    9,    11,   13,   15,   17,   19,   20,   21,   22,    23,    25,    37,    42,    43,   53,   69,
                                          77,   79,   87,   95,   101,  102,  103,  104,  109,  110,  111,  113,   115,   117,   119,   123,   135,  137,  139,
                                          143,  161,  179,  389,  427,  445,  465,  512,  513,  514,  515,  526,   530,   531,   532,   540,   548,  554,  556,
                                          563,  587,  601,  636,  873,  989,  990,  993,  995,  1433, 1521, 1719,  1720,  1723,  2049,  2181,  2375, 2376, 2379,
                                          2380, 3306, 3389, 3659, 4045, 4190, 4222, 4369, 5060, 5061, 5432, 5672,  5900,  5984,  6000,  6222,  6379, 6566, 6665,
                                          6666, 6667, 6668, 6669, 6679, 6697, 8222, 9042, 9092, 9200, 9300, 10080, 10250, 11211, 27017, 27018, 27019};
static_assert(std::ranges::is_sorted(kClosedPorts));

}  // namespace

bool NetAddress::is_v4() const {
  static constexpr std::uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  return std::memcmp(bytes.data(), mapped, sizeof mapped) == 0;
}

std::string NetAddress::text() const {
  char buffer[INET6_ADDRSTRLEN] = {};
  const bool v4 = is_v4();
  inet_ntop(v4 ? AF_INET : AF_INET6, bytes.data() + (v4 ? 12 : 0), buffer, sizeof buffer);
  return buffer;
}

std::optional<NetAddress> NetAddress::parse(std::string_view text) {
  const std::string zero_ended(text);
  NetAddress out;
  if (inet_pton(AF_INET6, zero_ended.c_str(), out.bytes.data()) == 1) return out;
  out.bytes[10] = out.bytes[11] = 0xff;
  std::fill_n(out.bytes.begin(), 10, std::uint8_t{0});
  if (inet_pton(AF_INET, zero_ended.c_str(), out.bytes.data() + 12) == 1) return out;
  return std::nullopt;
}

std::optional<NetAddress> NetAddress::from(const sockaddr& address) {
  NetAddress out;
  if (address.sa_family == AF_INET) {
    out.bytes[10] = out.bytes[11] = 0xff;
    std::memcpy(out.bytes.data() + 12, &reinterpret_cast<const sockaddr_in&>(address).sin_addr, 4);
    return out;
  }
  if (address.sa_family == AF_INET6) {
    std::memcpy(out.bytes.data(), &reinterpret_cast<const sockaddr_in6&>(address).sin6_addr, 16);
    return out;
  }
  return std::nullopt;
}

bool NetRange::contains(const NetAddress& address) const {
  const std::size_t whole = bits / 8;
  if (std::memcmp(base.bytes.data(), address.bytes.data(), whole) != 0) return false;
  const unsigned rest = bits % 8;
  return rest == 0 || ((base.bytes[whole] ^ address.bytes[whole]) >> (8 - rest)) == 0;
}

std::string NetRange::text() const {
  const bool v4 = base.is_v4() && bits >= 96;
  return fmt::format("{}/{}", base.text(), v4 ? bits - 96 : bits);
}

Result<NetRange> NetRange::parse(std::string_view text) {
  const auto wrong = [&](std::string what) { return fail(Code::invalid, std::move(what), std::string(text), "write a range as 192.168.0.0/16 or fd00::/8"); };
  const std::size_t slash = text.find('/');
  const std::optional<NetAddress> base = NetAddress::parse(text.substr(0, slash));
  if (!base) return wrong("not an IP address");
  const unsigned width = text.find(':') == std::string_view::npos ? 32 : 128;
  unsigned bits = width;
  if (slash != std::string_view::npos) {
    const std::string_view number = text.substr(slash + 1);
    const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), bits);
    if (error != std::errc{} || end != number.data() + number.size() || bits > width)
      return wrong(fmt::format("the prefix length is a number from 0 to {}", width));
  }
  NetRange out{*base, bits + (128 - width)};
  for (unsigned bit = out.bits; bit < 128; ++bit) out.base.bytes[bit / 8] &= static_cast<std::uint8_t>(~(0x80u >> (bit % 8)));
  return out;
}

bool is_public(const NetAddress& address) {
  if (!address.is_v4() && !table().open6.contains(address)) return false;
  return std::ranges::none_of(table().closed, [&](const NetRange& range) { return range.contains(address); });
}

bool is_permitted_port(std::uint16_t port) { return !std::ranges::binary_search(kClosedPorts, port); }

Result<Dialer> Dialer::allowing(std::span<const std::string> allow_net) {
  Dialer out;
  for (const std::string& text : allow_net) {
    out.allowed_.push_back(TRY(NetRange::parse(text)));
    log_info("net", "{} may be fetched from (--allow-net)", out.allowed_.back().text());
  }
  return out;
}

bool Dialer::permits(const NetAddress& address) const {
  return is_public(address) || std::ranges::any_of(allowed_, [&](const NetRange& range) { return range.contains(address); });
}

int Dialer::open(const sockaddr& address, int type, int protocol, Refusal& why) const {
  const std::optional<NetAddress> ip = NetAddress::from(address);
  why = Refusal::family;
  if (!ip || type != SOCK_STREAM) return -1;
  why = Refusal::address;
  if (!permits(*ip)) return -1;
  why = Refusal::port;
  const std::uint16_t port =
      address.sa_family == AF_INET ? reinterpret_cast<const sockaddr_in&>(address).sin_port : reinterpret_cast<const sockaddr_in6&>(address).sin6_port;
  if (!is_permitted_port(ntohs(port))) return -1;
  const int fd = ::socket(address.sa_family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol);
  why = fd >= 0 ? Refusal::none : errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM ? Refusal::descriptors : Refusal::system;
  return fd;
}

}  // namespace weir

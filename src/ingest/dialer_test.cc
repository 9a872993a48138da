#include "ingest/dialer.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <rapidcheck.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>

namespace weir {
namespace {

NetAddress ip(std::string_view text) {
  const auto parsed = NetAddress::parse(text);
  EXPECT_TRUE(parsed) << text;
  return parsed.value_or(NetAddress{});
}

TEST(Dialer, FirstAndLastAddressOfEveryClosedRangeIsClosedAndItsNeighboursAreNot) {
  struct Row {
    const char *before, *first, *last, *after;
  };  // "" where the neighbour is closed by another row
  const Row rows[] = {
      {"", "0.0.0.0", "0.255.255.255", "1.0.0.0"},
      {"9.255.255.255", "10.0.0.0", "10.255.255.255", "11.0.0.0"},
      {"100.63.255.255", "100.64.0.0", "100.127.255.255", "100.128.0.0"},
      {"126.255.255.255", "127.0.0.0", "127.255.255.255", "128.0.0.0"},
      {"169.253.255.255", "169.254.0.0", "169.254.255.255", "169.255.0.0"},
      {"172.15.255.255", "172.16.0.0", "172.31.255.255", "172.32.0.0"},
      {"191.255.255.255", "192.0.0.0", "192.0.0.255", "192.0.1.0"},
      {"192.0.1.255", "192.0.2.0", "192.0.2.255", "192.0.3.0"},
      {"192.88.98.255", "192.88.99.0", "192.88.99.255", "192.88.100.0"},
      {"192.167.255.255", "192.168.0.0", "192.168.255.255", "192.169.0.0"},
      {"198.17.255.255", "198.18.0.0", "198.19.255.255", "198.20.0.0"},
      {"198.51.99.255", "198.51.100.0", "198.51.100.255", "198.51.101.0"},
      {"203.0.112.255", "203.0.113.0", "203.0.113.255", "203.0.114.0"},
      {"223.255.255.255", "224.0.0.0", "239.255.255.255", ""},
      {"", "240.0.0.0", "255.255.255.255", ""},
      {"", "::", "::ffff", ""},
      {"", "::1", "::1", ""},
      {"", "64:ff9b::", "64:ff9b::ffff:ffff", ""},
      {"", "64:ff9b:1::", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff", ""},
      {"", "100::", "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2000::"},
      {"2000:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2001::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", "2001:200::"},
      {"2001:db7:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db9::"},
      {"2001:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2002::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2003::"},
      {"3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff", "3fff:1000::"},
      {"", "4000::", "fbff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", ""},
      {"", "fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", ""},
      {"", "fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", ""},
      {"", "fec0::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", ""},
  };
  for (const Row& row : rows) {
    EXPECT_FALSE(is_public(ip(row.first))) << row.first;
    EXPECT_FALSE(is_public(ip(row.last))) << row.last;
    EXPECT_TRUE(*row.before == 0 || is_public(ip(row.before))) << row.before;
    EXPECT_TRUE(*row.after == 0 || is_public(ip(row.after))) << row.after;
  }
}

TEST(Dialer, MappedIsJudgedAsTheIpv4AddressItCarries) {
  EXPECT_FALSE(is_public(ip("::ffff:169.254.169.254")));
  EXPECT_FALSE(is_public(ip("::ffff:a9fe:a9fe")));
  EXPECT_TRUE(is_public(ip("::ffff:8.8.8.8")));
  EXPECT_EQ(ip("::ffff:8.8.8.8"), ip("8.8.8.8"));
}

TEST(Dialer, EveryPrivateIpv4AddressIsClosedInEveryIpv6Dress) {
  EXPECT_TRUE(rc::check([](std::uint32_t low) {
    const auto v4 = *NetAddress::parse("10." + std::to_string(low & 255) + "." + std::to_string(low >> 8 & 255) + "." + std::to_string(low >> 16 & 255));
    for (const char* prefix : {"::", "64:ff9b::", "64:ff9b:1::", "::ffff:0:0:0"}) {
      NetAddress dressed = *NetAddress::parse(prefix);
      std::copy_n(v4.bytes.begin() + 12, 4, dressed.bytes.begin() + 12);
      RC_ASSERT(!is_public(dressed));
    }
    NetAddress six_to_four = *NetAddress::parse("2002::1");
    std::copy_n(v4.bytes.begin() + 12, 4, six_to_four.bytes.begin() + 2);
    RC_ASSERT(!is_public(six_to_four));
    NetAddress teredo = *NetAddress::parse("2001::1");
    for (int i = 0; i < 4; ++i) teredo.bytes[12 + i] = static_cast<std::uint8_t>(~v4.bytes[12 + i]);
    RC_ASSERT(!is_public(teredo));
  }));
}

TEST(Dialer, RangesAreReadAndPrinted) {
  EXPECT_EQ(NetRange::parse("192.168.7.9/16")->text(), "192.168.0.0/16");
  EXPECT_EQ(NetRange::parse("127.0.0.1")->text(), "127.0.0.1/32");
  EXPECT_EQ(NetRange::parse("fd00:1::9/8")->text(), "fd00::/8");
  EXPECT_EQ(NetRange::parse("10.0.0.0/0")->bits, 96u);
  for (const char* bad : {"", "10.0.0/8", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/8x", "10.0.0.0/-1", "::/129", "localhost", "10.0.0.0/8/8", "0x7f.1"})
    EXPECT_FALSE(NetRange::parse(bad)) << bad;
}

TEST(Dialer, RangeContainsExactlyItsPrefix) {
  EXPECT_TRUE(rc::check([](const std::array<std::uint8_t, 16>& base, const std::array<std::uint8_t, 16>& other) {
    const unsigned bits = *rc::gen::inRange(0u, 129u);
    const NetRange range{NetAddress{base}, bits};
    NetAddress inside{other};
    for (unsigned bit = 0; bit < bits; ++bit) {
      const std::uint8_t mask = static_cast<std::uint8_t>(0x80u >> (bit % 8));
      inside.bytes[bit / 8] = static_cast<std::uint8_t>((inside.bytes[bit / 8] & ~mask) | (base[bit / 8] & mask));
    }
    RC_ASSERT(range.contains(inside));
    if (bits > 0) {
      const unsigned flip = *rc::gen::inRange(0u, bits);
      inside.bytes[flip / 8] ^= static_cast<std::uint8_t>(0x80u >> (flip % 8));
      RC_ASSERT(!range.contains(inside));
    }
  }));
}

TEST(Dialer, OnlyTheOperatorOpensAPrivateRange) {
  const std::vector<std::string> allow = {"127.0.0.0/8", "fd12::/16"};
  const Dialer dialer = *Dialer::allowing(allow);
  EXPECT_TRUE(dialer.permits(ip("127.9.9.9")));
  EXPECT_TRUE(dialer.permits(ip("::ffff:127.0.0.1")));
  EXPECT_TRUE(dialer.permits(ip("fd12::1")));
  EXPECT_FALSE(dialer.permits(ip("fd13::1")));
  EXPECT_FALSE(dialer.permits(ip("::1")));
  EXPECT_FALSE(dialer.permits(ip("10.0.0.1")));
  EXPECT_FALSE(Dialer().permits(ip("127.0.0.1")));
  EXPECT_FALSE(Dialer::allowing(std::vector<std::string>{"127.0.0.1/8", "nonsense"}));
}

TEST(Dialer, OpensNoOtherFamilyTypeOrPort) {
  const Dialer dialer = *Dialer::allowing(std::vector<std::string>{"127.0.0.0/8"});
  Dialer::Refusal why{};
  sockaddr_un local{.sun_family = AF_UNIX};
  EXPECT_EQ(dialer.open(reinterpret_cast<const sockaddr&>(local), SOCK_STREAM, 0, why), -1);
  EXPECT_EQ(why, Dialer::Refusal::family);
  sockaddr_in to{.sin_family = AF_INET, .sin_port = htons(8080), .sin_addr = {htonl(INADDR_LOOPBACK)}};
  EXPECT_EQ(dialer.open(reinterpret_cast<const sockaddr&>(to), SOCK_DGRAM, 0, why), -1);
  EXPECT_EQ(why, Dialer::Refusal::family);
  for (const std::uint16_t port : {0, 22, 25, 4222, 5432, 6379, 11211, 27017}) {
    to.sin_port = htons(port);
    EXPECT_EQ(dialer.open(reinterpret_cast<const sockaddr&>(to), SOCK_STREAM, 0, why), -1) << port;
    EXPECT_EQ(why, Dialer::Refusal::port) << port;
  }
  to.sin_port = htons(8080);
  EXPECT_EQ(Dialer().open(reinterpret_cast<const sockaddr&>(to), SOCK_STREAM, 0, why), -1);
  EXPECT_EQ(why, Dialer::Refusal::address);
  const int fd = dialer.open(reinterpret_cast<const sockaddr&>(to), SOCK_STREAM, 0, why);
  EXPECT_GE(fd, 0);
  EXPECT_EQ(why, Dialer::Refusal::none);
  ::close(fd);
}

}  // namespace
}  // namespace weir

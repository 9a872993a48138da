#include "base/url.h"

#include <gtest/gtest.h>

namespace weir {
namespace {

TEST(Url, Parts) {
  const Url url = *parse_url("HTTPS://user:p%40ss@Example.ORG:8443/a/../b c?q=1&r=ü#frag");
  EXPECT_EQ(url.scheme, "https");
  EXPECT_EQ(url.username, "user");
  EXPECT_EQ(url.password, "p%40ss");
  EXPECT_EQ(url.host, "example.org");
  EXPECT_EQ(url.port, 8443);
  EXPECT_EQ(url.path, "/b%20c");
  EXPECT_EQ(url.query, "q=1&r=%C3%BC");
  EXPECT_EQ(url.fragment, "frag");
  EXPECT_EQ(to_string(url), "https://user:p%40ss@example.org:8443/b%20c?q=1&r=%C3%BC#frag");
  EXPECT_EQ(port_of(*parse_url("http://a/")), 80);
  EXPECT_EQ(port_of(*parse_url("https://a/")), 443);
  EXPECT_EQ(port_of(*parse_url("http://a:81/")), 81);
}

// What the dialer and the reader must agree on with browsers: an address in disguise is that address.
TEST(Url, HostsInDisguise) {
  for (const auto& [text, host] : {std::pair{"http://2130706433/", "127.0.0.1"},
                                   {"http://0177.1/", "127.0.0.1"},
                                   {"http://0x7f.1/", "127.0.0.1"},
                                   {"http://127.1/", "127.0.0.1"},
                                   {"http://[::FFFF:169.254.169.254]/", "[::ffff:a9fe:a9fe]"},
                                   {"http://a@b.example/", "b.example"},
                                   {"http:\\\\b.example\\x", "b.example"},
                                   {"http://１２７.0.0.1/", "127.0.0.1"},
                                   {"http://bücher.example/", "xn--bcher-kva.example"},
                                   {"http:b.example", "b.example"}})
    EXPECT_EQ(parse_url(text)->host, host) << text;
  for (const char* text : {"http://", "http://a b/", "http://[::1", "http://256.256.256.256/", "http://a:99999/", "//x", "x", "", "http://%00/"})
    EXPECT_FALSE(parse_url(text)) << text;
}

TEST(Url, Resolve) {
  const std::string base = "http://example.org/a/b?c#d";
  for (const auto& [relative, want] : {std::pair{"../x", "http://example.org/x"},
                                       {"//cdn.example/y", "http://cdn.example/y"},
                                       {"?q", "http://example.org/a/b?q"},
                                       {"#f", "http://example.org/a/b?c#f"},
                                       {"", "http://example.org/a/b?c"},
                                       {"/\t\nz", "http://example.org/z"},
                                       {"mailto:a@b", "mailto:a@b"},
                                       {"https://other.example", "https://other.example/"},
                                       {" java\tscript:alert(1)", "javascript:alert(1)"},
                                       {"\\\\evil.example", "http://evil.example/"}})
    EXPECT_EQ(resolve(relative, base), want) << relative;
  EXPECT_EQ(resolve("x", ""), "");
  EXPECT_EQ(resolve("x", "not a base"), "");
  EXPECT_EQ(resolve("x", "mailto:a@b"), "");
  EXPECT_EQ(resolve("http://ok.example/", "not a base"), "http://ok.example/");
  EXPECT_EQ(resolve(std::string("\xff\xfe"), "http://e.example/"), "http://e.example/%EF%BF%BD%EF%BF%BD");
}

// Texts the short way must leave to the real parser, or give back as the real parser would.
TEST(Url, ShortWayAgrees) {
  for (const char* text : {"http://a.example/x",
                           "http://a.example/x/../y",
                           "http://a.example/%2e%2e/y",
                           "http://a.example/%2E/y",
                           "http://1.2/",
                           "http://a.0x7f/",
                           "http://a.b.1/",
                           "http://xn--a.example/",
                           "http://a..b/",
                           "http://.a/",
                           "http://a.example/a'b?c'd#e'f",
                           "http://a.example./",
                           "http://a_b.example/",
                           "http://a.example:80/",
                           "http://a.example?x",
                           "http://a.example/?#",
                           "http://-/",
                           "http://a-/x",
                           "http://a--b/",
                           "http://ab--c.example/"}) {
    const Result<Url> url = parse_url(text);
    const std::string got = resolve(text);
    EXPECT_EQ(got.empty(), !url) << text;
    if (!url || got.ends_with('#') || got.ends_with('?')) continue;
    EXPECT_EQ(got, to_string(*url)) << text;
  }
}

TEST(Url, Limits) {
  const std::string big = "http://a.example/" + std::string(max_url, 'x');
  EXPECT_EQ(parse_url(big).error().code, Code::too_large);
  EXPECT_EQ(resolve(big), "");
  EXPECT_FALSE(is_http(big));
}

TEST(Url, IsHttp) {
  EXPECT_TRUE(is_http("http://a.example/"));
  EXPECT_TRUE(is_http(" HTTPS://A.example"));
  for (const char* text : {"", "/x", "ftp://a/", "javascript:alert(1)", "httpx://a/", "http//a"}) EXPECT_FALSE(is_http(text)) << text;
}

TEST(Url, WithoutCredentials) {
  for (const auto& [text, want] : {std::pair{"https://me:secret@a.example/f?x=1", "https://a.example/f?x=1"},
                                   {"https://a.example/f?token=abc&n=1", "https://a.example/f?token=REDACTED&n=1"},
                                   {"https://a.example/f?Api_Key=abc#access_token=z", "https://a.example/f?Api_Key=REDACTED#access_token=REDACTED"},
                                   {"https://a.example/?X-Amz-Signature=9", "https://a.example/?X-Amz-Signature=REDACTED"},
                                   {"https://a.example/?to%6Ben=abc", "https://a.example/?to%6Ben=REDACTED"},
                                   {"http://me:pw@ bad host/?key=1", "http:// bad host/?key=REDACTED"},
                                   {"//me:pw@host/x", "//host/x"},
                                   {"see /\\me:pw@host", "see /\\host"},
                                   {"https://a.example/@user/x", "https://a.example/@user/x"},
                                   {"https://a.example/?keyword=x&monkey=2", "https://a.example/?keyword=x&monkey=2"},
                                   {"not a url", "not a url"},
                                   {"", ""}})
    EXPECT_EQ(without_credentials(text), want) << text;
}

TEST(Url, Canonical) {
  EXPECT_EQ(canonical_url("HTTP://Example.org:80/a?utm_source=x&b=1&fbclid=2#top"), "http://example.org/a?b=1");
  EXPECT_EQ(canonical_url("http://example.org/?utm_source=x"), "http://example.org/");
  EXPECT_EQ(canonical_url("http://example.org"), canonical_url("http://EXAMPLE.org/#"));
  EXPECT_EQ(canonical_url("tag:a,2024:1#x"), "tag:a,2024:1#x");
  EXPECT_EQ(canonical_url("not a url"), "not a url");
}

}  // namespace
}  // namespace weir

#include "http/parse.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace weir::http {
namespace {

TEST(Parse, PercentDecode) {
  EXPECT_EQ(percent_decode("a%20b+c"), "a b+c");
  EXPECT_EQ(percent_decode("a%20b+c", true), "a b c");
  EXPECT_EQ(percent_decode("%E6%96%B0"), "新");
  for (const auto* bad : {"%", "%4", "%zz", "%00", "%ff", "a%C3"}) EXPECT_FALSE(percent_decode(bad)) << bad;
  EXPECT_EQ(percent_decode(percent_encode("a b/新?&=%")), "a b/新?&=%");
}

TEST(Parse, QueryTakesTheFirstAndPassesOverWhatIsBroken) {
  const Query query = Query::parse("q=%E6%96%B0+a&limit=5&limit=6&bad=%zz&=x&flag");
  EXPECT_TRUE(query.broken());
  EXPECT_FALSE(Query::parse("q=%E6%96%B0+a&flag&=x&&").broken());
  EXPECT_EQ(query.get("q"), "新 a");
  EXPECT_EQ(query.get("limit"), "5");
  EXPECT_EQ(query.get("flag"), "");
  EXPECT_FALSE(query.has("bad"));
  std::string many;
  for (int i = 0; i < 10'000; ++i) many += "a=1&";
  EXPECT_EQ(Query::parse(many).pairs().size(), 256U);
}

TEST(Parse, Target) {
  EXPECT_EQ(parse_target("/a/b?c=d")->path, "/a/b");
  EXPECT_EQ(parse_target("/a/b?c=d?e")->query, "c=d?e");
  EXPECT_EQ(parse_target("http://h:1/a")->path, "/a");
  EXPECT_EQ(parse_target("HTTP://h")->path, "/");
  EXPECT_EQ(parse_target("http://h?x")->query, "x");
  for (const auto* bad : {"", "*", "a", "http:///a", "/a b", "/a#b", "/a\x7f", "ftp://h/a"}) EXPECT_FALSE(parse_target(bad)) << bad;
}

TEST(Parse, Cookie) {
  EXPECT_EQ(cookie("a=1; weir=x=y ;b=2", "weir"), "x=y");
  EXPECT_EQ(cookie("weir=\"q\"", "weir"), "q");
  EXPECT_EQ(cookie("xweir=1;weir=2;weir=3", "weir"), "2");
  EXPECT_FALSE(cookie("weird=1;;=;", "weir"));
}

TEST(Parse, AcceptEncoding) {
  EXPECT_TRUE(accepts_encoding("gzip, deflate, br", "br"));
  EXPECT_TRUE(accepts_encoding("br;q=0.5", "br"));
  EXPECT_FALSE(accepts_encoding("br;q=0.0, gzip", "br"));
  EXPECT_FALSE(accepts_encoding("", "gzip"));
}

TEST(Parse, Match) {
  EXPECT_EQ(match("/api/items/{item}/why", "/api/items/12/why"), std::vector<std::string>{"12"});
  EXPECT_EQ(match("/", "/"), std::vector<std::string>{});
  EXPECT_EQ(match("/assets/{rest}", "/assets/a/b%20c.js"), std::vector<std::string>{"a/b c.js"});
  for (const auto* bad : {"/api/items/0/why", "/api/items/01/why", "/api/items/-1/why", "/api/items/9007199254740993/why", "/api/items/x/why",
                          "/api/items//why", "/api/items/12/why/", "/api/items/12", "api/items/12/why", "/api/items/99999999999999999999/why"})
    EXPECT_FALSE(match("/api/items/{item}/why", bad)) << bad;
  for (const auto* bad : {"/assets/", "/assets", "/assets/../x", "/assets/%2e%2e/x", "/assets/a//b", "/assets/a%5cb", "/assets/%00"})
    EXPECT_FALSE(match("/assets/{rest}", bad)) << bad;
}

TEST(Parse, ItemsOfEveryForm) {
  for (const auto* body : {R"([{"id":"1"},{"id":"2"}])", "{\"version\":\"https://jsonfeed.org/version/1.1\",\n\"items\":[{\"id\":\"1\"},{\"id\":\"2\"}]}",
                           "{\"id\":\"1\"}\n\n{\"id\":\"2\"}\r\n", "\xEF\xBB\xBF {\"id\":\"1\"}\n{\"id\":\"2\"}"}) {
    const auto items = items_from_body(body);
    ASSERT_TRUE(items) << body << ": " << items.error().text();
    ASSERT_EQ(items->size(), 2U);
    EXPECT_EQ((*items)[1].id, "2");
  }
  EXPECT_EQ(items_from_body("{\n\"id\":1}")->front().id, "1");
  EXPECT_EQ(items_from_body("[]")->size(), 0U);
}

TEST(Parse, AnAddressThatIsNoneIsLeftOut) {
  for (const auto* url : {"javascript:alert(1)", "/relative", "mailto:a@e.org", "data:,x"}) {
    const auto items = items_from_body(fmt::format(R"([{{"id":"1","url":"{0}","attachments":[{{"url":"{0}"}},{{"url":"https://e.org/a"}}]}}])", url));
    ASSERT_TRUE(items) << items.error().text();
    EXPECT_EQ(items->front().url, "");
    EXPECT_EQ(items->front().attachments.size(), 1U);
  }
}

TEST(Parse, ItemsSayWhereTheyAreBroken) {
  EXPECT_EQ(items_from_body(R"([{"id":"1"},{"id":"2","title":5}])").error().where, "item 2, title");
  EXPECT_EQ(items_from_body("{\"id\":\"1\"}\n{\"id\":").error().where.substr(0, 6), "line 2");
  EXPECT_EQ(items_from_body("{\"id\":\"1\"}\n[1]").error().where, "line 2");
  for (const auto* bad : {"", "  ", "5", "\"x\"", "{", "[{]", "null", "{\"items\":5}"}) EXPECT_EQ(items_from_body(bad).error().code, Code::malformed) << bad;
  EXPECT_EQ(items_from_body("[{},{},{}]", 2).error().code, Code::too_large);
  EXPECT_EQ(items_from_body("{}\n{}\n{}", 2).error().code, Code::too_large);
  EXPECT_EQ(items_from_body(std::string(100'000, '[')).error().code, Code::too_deep);
}

}  // namespace
}  // namespace weir::http

// The whole door in one process: requests in, answers out, over a real engine and store.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "base/hash.h"
#include "http/handlers.h"
#include "http/local.h"

namespace weir::http {
namespace {

using testing::HasSubstr;
using testing::Not;

class RoutesTest : public testing::Test {
 protected:
  void SetUp() override {
    dir_ = std::filesystem::temp_directory_path() / ("weir-routes-" + to_hex(random_bytes(6)));
    auto engine = Engine::open({.data = dir_, .model = false, .poll = false});
    ASSERT_TRUE(engine) << engine.error().text();
    engine_ = std::move(*engine);
    accounts_ = std::make_unique<Accounts>(engine_->store(), engine_->clock());
    ASSERT_TRUE(accounts_->add_user("op"));
  }
  void TearDown() override {
    accounts_.reset();
    engine_.reset();
    std::filesystem::remove_all(dir_);
  }
  Response ask(std::string_view method, std::string target, std::string body = {}) {
    return handle(
        *engine_, *accounts_,
        {.method = method_named(method), .target = std::move(target), .headers = {{"host", "x"}}, .body = std::move(body), .peer = {}, .local = true});
  }
  json::value value(const Response& response) { return parse_json(response.bytes()).value(); }
  std::int64_t push_source() { return value(ask("POST", "/api/sources", R"({"push":true,"title":"pushed"})")).at("id").as_int64(); }

  std::filesystem::path dir_;
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<Accounts> accounts_;
};

TEST_F(RoutesTest, PushListReadStar) {
  const std::string source = std::to_string(push_source());
  const Response pushed =
      ask("POST", "/api/sources/" + source + "/items",
          R"([{"id":"1","title":"First","content_html":"<p>one<script>x()</script>","_weir":{"read":true,"id":99},"own":[1]},{"id":"2","title":"Second"}])");
  EXPECT_EQ(pushed.bytes(), R"({"stored":2,"duplicates":0})");
  EXPECT_EQ(ask("POST", "/api/sources/" + source + "/items", R"({"id":"2","title":"Second"})").bytes(), R"({"stored":0,"duplicates":1})");

  const json::value page = value(ask("GET", "/api/items?order=oldest"));
  ASSERT_EQ(page.at("items").as_array().size(), 2U);
  const json::object& first = page.at("items").at(0).as_object();
  EXPECT_EQ(first.at("id"), "1");
  EXPECT_EQ(first.at("own"), json::value(json::array{1})) << "unknown members are carried through";
  EXPECT_THAT(std::string(first.at("content_html").as_string()), Not(HasSubstr("script")));
  const json::object& ours = first.at("_weir").as_object();
  EXPECT_EQ(ours.at("read"), false) << "what came in as _weir is not believed";
  const std::string id = std::to_string(ours.at("id").as_int64());

  EXPECT_EQ(ask("PATCH", "/api/items/" + id, R"({"read":true,"starred":true})").status, 200);
  EXPECT_EQ(value(ask("GET", "/api/items/" + id)).at("_weir").at("starred"), true);
  EXPECT_EQ(value(ask("GET", "/api/items?state=unread")).at("items").as_array().size(), 1U);
  EXPECT_EQ(value(ask("GET", "/api/items?state=starred")).at("items").as_array().size(), 1U);
  EXPECT_EQ(value(ask("POST", "/api/items/mark-read", R"({"all":true})")).at("marked"), 1);
  EXPECT_EQ(ask("POST", "/api/items/mark-read", R"({"all":true,"source":1})").status, 400);
}

TEST_F(RoutesTest, PagesLoseAndRepeatNothing) {
  const std::string source = std::to_string(push_source());
  json::array items;
  for (int i = 0; i < 25; ++i) items.push_back(json::object{{"id", std::to_string(i)}, {"title", "t"}});
  ask("POST", "/api/sources/" + source + "/items", json::serialize(items));
  std::set<std::string> seen;
  std::string cursor;
  int pages = 0;
  do {
    const json::value page = value(ask("GET", "/api/items?limit=10&cursor=" + percent_encode(cursor)));
    for (const json::value& item : page.at("items").as_array()) EXPECT_TRUE(seen.insert(std::string(item.at("id").as_string())).second);
    cursor = page.as_object().contains("cursor") ? std::string(page.at("cursor").as_string()) : "";
    ++pages;
  } while (!cursor.empty());
  EXPECT_EQ(seen.size(), 25U);
  EXPECT_EQ(pages, 3);
}

TEST_F(RoutesTest, SignalsAreIdempotentByTheirId) {
  const std::string source = std::to_string(push_source());
  ask("POST", "/api/sources/" + source + "/items", R"([{"id":"1","title":"t"}])");
  const json::value page = value(ask("GET", "/api/items"));
  const std::string id = std::to_string(page.at("items").at(0).at("_weir").at("id").as_int64());
  const std::string like = R"({"id":"s1","item":)" + id + R"(,"kind":"like"})";
  EXPECT_EQ(value(ask("POST", "/api/signals", like)).at("stored"), 1);
  EXPECT_EQ(value(ask("POST", "/api/signals", "[" + like + "]")).at("stored"), 0);
  EXPECT_EQ(ask("POST", "/api/signals", R"({"item":)" + id + R"(,"kind":"open"})").status, 200);
  EXPECT_EQ(value(ask("GET", "/api/items/" + id)).at("_weir").at("read"), true);
  EXPECT_EQ(ask("POST", "/api/signals", R"({"item":1000000,"kind":"like"})").status, 404);
  EXPECT_EQ(ask("POST", "/api/signals", R"({"item":)" + id + R"(,"kind":"love"})").status, 400);
  const json::value why = value(ask("GET", "/api/items/" + id + "/why"));
  double sum = 0;
  for (const json::value& part : why.at("why").as_array()) sum += part.at("value").to_number<double>();
  EXPECT_NEAR(sum, why.at("score").to_number<double>(), 1e-5);
  EXPECT_EQ(why.at("enough"), false);
}

TEST_F(RoutesTest, CredentialsInAddressesNeverLeave) {
  const std::string source = std::to_string(push_source());
  ask("POST", "/api/sources/" + source + "/items", R"([{"id":"1","url":"https://ann:hunter2@example.org/","title":"see https://ann:hunter2@example.org/x"}])");
  ask("POST", "/api/import", R"(<opml version="2.0"><body><outline type="rss" text="x" xmlUrl="http://bob:hunter2@example.org/feed"/></body></opml>)");
  for (const auto* path : {"/api/items", "/api/sources", "/api/export", "/api/items?q=example", "/metrics", "/api/doctor"}) {
    const Response response = ask("GET", path);
    EXPECT_EQ(response.status, 200) << path;
    EXPECT_THAT(std::string(response.bytes()), Not(HasSubstr("hunter2"))) << path;
  }
  EXPECT_THAT(std::string(ask("GET", "/api/sources").bytes()), HasSubstr("example.org/feed"));
}

TEST_F(RoutesTest, ErrorsSayWhatAndWhere) {
  const auto error = [&](const Response& response) { return value(response).at("error").as_object(); };
  EXPECT_EQ(error(ask("GET", "/api/items?limit=0")).at("where"), "limit");
  EXPECT_EQ(error(ask("GET", "/api/items/5")).at("code"), "not_found");
  EXPECT_EQ(error(ask("POST", "/api/sources", "{")).at("code"), "malformed");
  EXPECT_EQ(ask("POST", "/api/sources", std::string(100'000, ' ')).status, 413);
  const json::object named = error(ask("GET", "/api/items?q=in*"));
  EXPECT_EQ(named.at("key"), "search_prefix_short");
  EXPECT_FALSE(named.contains("values"));
  EXPECT_EQ(json::serialize(error(ask("POST", "/api/users", R"({"name":"ann","password":"short"})")).at("values")), R"({"least":"8","most":"1024"})");
  EXPECT_EQ(ask("DELETE", "/api/items").status, 405);
  EXPECT_EQ(ask("DELETE", "/api/items").header("allow"), "GET, HEAD");
  EXPECT_EQ(ask("GET", "/events").status, 400);
  EXPECT_EQ(ask("GET", "nothing").status, 400);
}

// A page in another language than English needs no word of the English text: each of doctor's sentences, and what an order did, has its name.
TEST_F(RoutesTest, SentencesHaveNames) {
  const json::value report = value(ask("GET", "/api/doctor?thorough=true"));
  EXPECT_GE(report.at("checks").as_array().size(), 9u);
  for (const json::value& check : report.at("checks").as_array()) {
    EXPECT_FALSE(check.at("says").as_array().empty()) << check;
    for (const json::value& sentence : check.at("says").as_array()) EXPECT_FALSE(sentence.at("key").as_string().empty()) << check;
    EXPECT_EQ(check.as_object().contains("remedy"), check.as_object().contains("remedy_says")) << check;
    if (check.as_object().contains("remedy")) { EXPECT_FALSE(check.at("remedy_says").at("key").as_string().empty()) << check; }
  }
  const json::value page = value(ask("GET", "/api/items?q=river&order=relevance"));
  EXPECT_EQ(json::serialize(page.at("note_says")), R"({"key":"note_relevance","values":{"n":"200"}})");
}

TEST_F(RoutesTest, SettingsAreTheReadersOwn) {
  EXPECT_EQ(ask("PUT", "/api/settings", R"({"theme":"dark","keep_days":30})").status, 200);
  EXPECT_EQ(value(ask("GET", "/api/settings")).at("theme"), "dark");
  EXPECT_EQ(ask("PUT", "/api/settings", "[]").status, 400);
}

TEST(Routes, OpenApiNamesEveryRoute) {
  const json::object document = openapi_document();
  std::size_t operations = 0;
  for (const auto& path : document.at("paths").as_object()) operations += path.value().as_object().size();
  EXPECT_EQ(operations, routes().size());
  for (const Route& route : routes()) EXPECT_TRUE(document.at("paths").as_object().contains(route.path)) << route.path;
}

}  // namespace
}  // namespace weir::http

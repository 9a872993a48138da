#include <gtest/gtest.h>
#include <unistd.h>

#include <thread>

#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/queue.h"
#include "base/result.h"
#include "base/text.h"
#include "base/time.h"

namespace weir {
namespace {

Result<int> half(int n) {
  if (n % 2) return fail(Code::invalid, "odd", "n", "give an even number");
  return n / 2;
}
Result<int> quarter(int n) { return TRY(half(TRY(half(n)))); }

TEST(Result, TryPassesTheErrorOn) {
  EXPECT_EQ(*quarter(8), 2);
  EXPECT_EQ(quarter(6).error().text(), "n: odd (give an even number)");
}

TEST(Sentence, TextAndNameAreOfOneMaking) {
  const Sentence one = say("http_status", "the server answered {status} at {place}", {{"place", "{status}"}, {"status", 404}});
  EXPECT_EQ(one.text, "the server answered 404 at {status}");  // what a value holds is no place for another
  EXPECT_EQ(say("plain", "nothing in it").text, "nothing in it");
  EXPECT_DEATH(say("odd", "a {value} that nobody gives"), "a mistake of ours");

  json::object out;
  put_name(out, one.key, one.values);
  EXPECT_EQ(json::serialize(out), R"({"key":"http_status","values":{"place":"{status}","status":"404"}})");
  Error back{};
  take_name(out, back);
  EXPECT_EQ(back.key, "http_status");
  ASSERT_EQ(back.values.size(), 2u);
  EXPECT_EQ(back.values[1].text, "404");

  // Of a process that may say anything: no names that are none, no floods.
  for (const char* key : {"", "__proto__.x", "Aa", "x y", "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"}) {
    Error none{};
    take_name(json::object{{"key", key}, {"values", json::object{{"a", "b"}}}}, none);
    EXPECT_TRUE(none.key.empty() && none.values.empty()) << key;
  }
  json::object many;
  for (int i = 0; i < 100; ++i) many["v" + std::to_string(i)] = std::string(static_cast<std::size_t>(i) * 20, 'x');
  many["n"] = 1;
  Error few{};
  take_name(json::object{{"key", "k"}, {"values", std::move(many)}}, few);
  EXPECT_EQ(few.values.size(), 8u);
}

TEST(Time, Rfc3339RoundTrips) {
  for (const char* text : {"1970-01-01T00:00:00Z", "2026-11-24T03:41:02Z", "2026-02-28T23:59:59.123456Z", "1969-12-31T23:59:59.5Z", "0001-01-01T00:00:00Z"})
    EXPECT_EQ(to_rfc3339(*parse_rfc3339(text)), text);
  EXPECT_EQ(to_rfc3339(*parse_rfc3339("2026-11-24T05:41:02+02:00")), "2026-11-24T03:41:02Z");
  for (const char* text :
       {"", "2026-13-01T00:00:00Z", "2026-02-30T00:00:00Z", "2026-01-01T24:00:00Z", "2026-01-01T00:00:00", "2026-01-01T00:00:00Zx", "2026-01-01T00:00:00.Z"})
    EXPECT_FALSE(parse_rfc3339(text)) << text;
}

TEST(Json, LimitsAndPlaces) {
  EXPECT_TRUE(parse_json(R"({"a":[1,2,{"b":null}]} )"));
  EXPECT_EQ(parse_json("{} x").error().where, "byte 3");
  EXPECT_EQ(parse_json("{\"a\":").error().code, Code::malformed);
  EXPECT_EQ(parse_json(std::string(100, '[')).error().code, Code::too_deep);
  EXPECT_EQ(json::serialize(*parse_json("[0e999, -0.0e400, 1e-999, 1e308]")), "[0E0,0E0,0E0,1E308]");
  for (const char* number : {"1e309", "-1e309", "110000000e0089608"}) {
    const auto beyond = parse_json(std::string(R"({"a":[1,{"b":)") + number + "}]}");
    ASSERT_FALSE(beyond);
    EXPECT_EQ(beyond.error().code, Code::malformed);
    EXPECT_EQ(beyond.error().where, "/a/1/b");
  }
}

TEST(Text, Utf8) {
  EXPECT_TRUE(is_valid_utf8("héllo 注意力 😀"));
  EXPECT_FALSE(is_valid_utf8("\xED\xA0\x80"));  // a surrogate
  EXPECT_FALSE(is_valid_utf8("\xC0\xAF"));      // overlong
  EXPECT_EQ(repair_utf8("a\xE6\xB3z"), "a\xEF\xBF\xBDz");
  EXPECT_EQ(repair_utf8("a\xFF\xFEz"), "a\xEF\xBF\xBD\xEF\xBF\xBDz");
  for (char32_t c : {U'a', U'é', U'注', U'😀'}) {
    std::string s;
    append_utf8(s, c);
    std::size_t at = 0;
    EXPECT_EQ(next_code_point(s, at), c);
    EXPECT_EQ(at, s.size());
  }
  EXPECT_EQ(collapse_spaces("  a \n\t b　c  "), "a b c");
}

TEST(File, WriteIsWholeAndReadIsLimited) {
  const auto path = std::filesystem::temp_directory_path() / ("weir_base_test." + std::to_string(::getpid()));
  ASSERT_TRUE(write_file(path, "hello"));
  EXPECT_EQ(*read_file(path), "hello");
  EXPECT_EQ(read_file(path, 4).error().code, Code::too_large);
  EXPECT_EQ(MappedFile::open(path)->bytes().size(), 5u);
  std::filesystem::remove(path);
  EXPECT_EQ(read_file(path).error().code, Code::not_found);
  EXPECT_EQ(read_file("/").error().code, Code::invalid);
}

TEST(Hash, KnownAnswers) {
  EXPECT_EQ(to_hex(sha256("abc")), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_NE(random_bytes(16), random_bytes(16));
}

TEST(Queue, BoundedAndClosable) {
  Queue<int> queue(2);
  EXPECT_TRUE(queue.try_push(1));
  EXPECT_TRUE(queue.try_push(2));
  EXPECT_FALSE(queue.try_push(3));
  std::jthread other([&] {
    queue.push(3);
    queue.close();
  });
  EXPECT_EQ(queue.pop(), 1);
  EXPECT_EQ(queue.pop(), 2);
  EXPECT_EQ(queue.pop(), 3);
  EXPECT_EQ(queue.pop(), std::nullopt);
}

}  // namespace
}  // namespace weir

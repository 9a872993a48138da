#include "ingest/headers.h"

#include <gtest/gtest.h>

namespace weir {
namespace {

using std::chrono::seconds;
const Time kNow = *parse_rfc3339("1994-11-06T08:49:37Z");

TEST(Headers, ValidatorsAreOpaque) {
  ReplyHeaders headers;
  for (const char* line :
       {"HTTP/1.1 200 OK\r\n", "ETag:   W/\"a, \\\"b\"  \r\n", "ETag: \"second\"\r\n", "last-modified: yesterday, more or less\r\n", "no colon\r\n"})
    headers.add(line);
  EXPECT_EQ(headers.status, 200);
  EXPECT_EQ(headers.etag, "W/\"a, \\\"b\"");
  EXPECT_EQ(headers.last_modified, "yesterday, more or less");
}

TEST(Headers, AnInterimReplySaysNothingAboutTheFinalOne) {
  ReplyHeaders headers;
  for (const char* line : {"HTTP/1.1 103 Early Hints\r\n", "ETag: \"early\"\r\n", "Location: /x\r\n", "HTTP/2 304 \r\n"}) headers.add(line);
  EXPECT_EQ(headers.status, 304);
  EXPECT_EQ(headers.etag, "");
  EXPECT_EQ(headers.location, "");
}

TEST(Headers, ThreeFormsOfDate) {
  for (const char* text : {"Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"})
    EXPECT_EQ(parse_http_date(text), kNow) << text;
  for (const char* text : {"", "now", "Sun, 31 Feb 1994 08:49:37 GMT", "Sun, 06 Nov 1994 24:49:37 GMT", "Sun, 06 Nov 1994 08:49:37 CET",
                           "Sun, 06 Nov 19942 08:49:37 GMT", "Sun, -6 Nov 1994 08:49:37 GMT", "Sun, 06 ovD 1994 08:49:37 GMT", "a b c d e f g h i"})
    EXPECT_EQ(parse_http_date(text), std::nullopt) << text;
}

TEST(Headers, RetryAfter) {
  EXPECT_EQ(parse_retry_after("120", "", kNow), seconds(120));
  EXPECT_EQ(parse_retry_after("Sun, 06 Nov 1994 08:50:37 GMT", "", kNow), seconds(60));
  EXPECT_EQ(parse_retry_after("Sun, 06 Nov 1994 08:50:37 GMT", "Sun, 06 Nov 1994 08:50:07 GMT", kNow), seconds(30)) << "by the server's own clock";
  EXPECT_EQ(parse_retry_after("Sun, 06 Nov 1984 08:50:37 GMT", "", kNow), seconds(0));
  EXPECT_EQ(parse_retry_after("99999999999999999999999", "", kNow), seconds(365 * 86'400));
  for (const char* text : {"", "-1", "soon", "1.5", "0x10"}) EXPECT_EQ(parse_retry_after(text, "", kNow), std::nullopt) << text;
}

TEST(Headers, MaxAge) {
  EXPECT_EQ(parse_max_age("public, Max-Age=600, stale-while-revalidate=5"), seconds(600));
  EXPECT_EQ(parse_max_age("max-age=\"60\""), seconds(60));
  EXPECT_EQ(parse_max_age("s-maxage=600"), std::nullopt);
  EXPECT_EQ(parse_max_age("max-age=600, no-store"), std::nullopt);
  EXPECT_EQ(parse_max_age("no-cache, max-age=600"), std::nullopt);
  EXPECT_EQ(parse_max_age("max-age=-5"), std::nullopt);
}

}  // namespace
}  // namespace weir

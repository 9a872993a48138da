#include <gtest/gtest.h>

#include "types/feed.h"
#include "types/item.h"
#include "types/signal.h"

namespace weir {
namespace {

TEST(Item, JsonRoundTripsAndCarriesWhatItDoesNotKnow) {
  const char* text =
      R"({"id":"a","url":"https://x/y","title":"T","content_html":"<p>x</p>","date_published":"2026-11-24T03:41:02Z","authors":[{"name":"N","avatar":"https://x/n.png"}],)"
      R"("tags":["a","b"],"language":"zh","attachments":[{"url":"https://x/z.mp3","mime_type":"audio/mpeg","size_in_bytes":5,"title":"z"}],"_x":{"k":[1,null]}})";
  const Item item = *item_from_json(*parse_json(text));
  EXPECT_EQ(json::serialize(to_json(item)), text);
}

TEST(Item, SaysWhichMemberIsWrong) {
  EXPECT_EQ(item_from_json(*parse_json(R"({"id":"a","title":5})")).error().where, "title");
  EXPECT_EQ(item_from_json(*parse_json(R"({"date_published":"yesterday"})")).error().where, "date_published");
  EXPECT_EQ(item_from_json(*parse_json("[]")).error().code, Code::malformed);
  EXPECT_EQ(item_from_json(*parse_json(R"({"id":17})"))->id, "17");
}

TEST(Item, PlainTextIsTitleThenText) {
  EXPECT_EQ(plain_text({.title = "T", .content_html = "<p>a <b>b</b>\n c</p><p>1 &lt; 2 &amp;amp; 注意</p><ul><li>x</li></ul>"}),
            "T\na b c\n1 < 2 &amp; 注意\nx");
  EXPECT_EQ(plain_text({.title = "T", .content_html = "<p>x</p>", .content_text = "y"}), "T\ny");
  EXPECT_EQ(plain_text({.summary = "s"}), "s");
  EXPECT_EQ(text_of_clean_html("a<br>b <"), "a\nb");
}

TEST(Feed, JsonRoundTrips) {
  Feed feed;
  feed.title = "F";
  feed.format = "rss2.0";
  feed.encoding = "utf-8";
  feed.authors = {{"A", "https://a/"}};
  feed.items.resize(2);
  feed.items[1].title = "two";
  feed.ttl = std::chrono::seconds(60);
  feed.skip_hours = 3;
  feed.warnings = {"w"};
  const auto out = to_json(feed, "file.xml");
  EXPECT_EQ(json::serialize(to_json(*feed_from_json(out), "file.xml")), json::serialize(out));
}

TEST(Signal, NamesRoundTripAndASkimCountsAgainst) {
  for (int i = 0; i < 7; ++i) EXPECT_EQ(signal_kind(to_string(static_cast<SignalKind>(i))), static_cast<SignalKind>(i));
  EXPECT_LT(strength({.kind = SignalKind::open, .dwell_seconds = 3}), 0);
  EXPECT_GT(strength({.kind = SignalKind::open, .dwell_seconds = 30}), 0);
}

}  // namespace
}  // namespace weir
